//! Tests of this class, most of them with real processes.

mod budget;
mod policy;
mod protocol;
mod reading;
mod spec;
mod stopping;
mod support;
