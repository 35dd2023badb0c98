//! Generators: what decides the bytes of keys and values, where transactions begin and end, when records are
//! due, how many messages go in a window of time, and when a flush follows. A generator in a spec is an immutable
//! value; what runs is started from it and owns all state. Nothing here talks to a broker or reads a
//! clock.

mod arrivals;
mod constant;
mod due_times;
mod flush;
mod java_random;
mod payload;
mod payloads;
mod position_random;
mod strict_log;
mod tables;
mod throughput;
mod transaction;
mod zipf;

#[cfg(test)]
mod tests;

pub use arrivals::{ARRIVALS, ArrivalStep, Arrivals};
pub use constant::ConstantPayload;
pub use due_times::DueTimes;
pub use flush::{FLUSH, FlushGenerator, Flushes};
pub use java_random::JavaRandom;
pub use payload::{GaussianSizes, MAX_PAYLOAD_BYTES, PayloadGenerator, RandomComponent};
pub use payloads::Payloads;
pub use tables::PAYLOAD;
pub use throughput::{THROUGHPUT, ThroughputGenerator, WindowCounts, Windows};
pub use transaction::{TRANSACTION, TransactionAction, TransactionGenerator, Transactions};
