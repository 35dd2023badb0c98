//! Generators: what decides the bytes of keys and values, and where transactions begin and end. A
//! generator in a spec is an immutable value; what runs is started from it and owns all state.
//! Nothing here talks to a broker or reads a clock.

mod constant;
mod java_random;
mod payload;
mod payloads;
mod strict_log;
mod tables;
mod transaction;

#[cfg(test)]
mod tests;

pub use constant::ConstantPayload;
pub use java_random::JavaRandom;
pub use payload::{GaussianSizes, MAX_PAYLOAD_BYTES, PayloadGenerator, RandomComponent};
pub use payloads::Payloads;
pub use tables::PAYLOAD;
pub use transaction::{TRANSACTION, TransactionAction, TransactionGenerator, Transactions};
