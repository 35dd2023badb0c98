//! End-to-end tests of all crates in one binary, since librdkafka is slow to link. They need Java
//! and Maven for real brokers and for the Java original; without them they fail, they do not skip.

#![allow(clippy::unwrap_used, reason = "tests")]

mod broker_side;
mod cli;
mod clocks;
mod compatibility;
mod configurable_producer;
mod connection_stress;
mod consume_bench;
mod contrib;
mod daemons;
mod examples;
mod external_command;
mod faults;
mod faults_on_files;
mod faults_on_kafka;
mod full_disk;
mod generators;
mod hostile;
mod interop;
mod interop_faults;
mod interop_restarts;
mod measurements;
mod observe;
mod openapi;
mod process_faults;
mod produce_bench;
mod report;
mod rerun;
mod rest;
mod results;
mod round_trip;
mod run;
mod secrets;
mod secured;
mod security;
mod share_groups;
mod share_round_trip;
mod specs;
mod stalls;
mod support;
mod survival;
mod sustained_connection;
mod trouble;
mod verdicts;
mod workspace;
