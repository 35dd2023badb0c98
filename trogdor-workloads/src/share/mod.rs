//! A small client for share groups (KIP-932), because librdkafka has none: it joins a group, borrows records from the
//! leaders of its partitions, tells what became of each, and leaves. The messages are those of the `kafka-protocol`
//! crate; what they mean is here.
//!
//! The pure parts hold the rules and their tests: [`membership`] (heartbeats), [`session`] (what a broker lends from,
//! and what it is told), [`delivery`] and [`records`] (which records were lent), [`acknowledgements`] and
//! [`accepted`] (ranges of offsets), [`cluster`] (who leads what). [`consumer`] is the loop that owns them all;
//! [`lines`] and [`connection`] are its hands. Absent on purpose: renewing locks, and lending by single records
//! instead of whole batches.

mod accepted;
mod acknowledgements;
mod cluster;
mod compression;
mod connection;
mod consumer;
mod delivery;
mod failure;
mod figures;
mod group_config;

mod lag;
mod lines;
mod membership;
mod progress;
mod records;
mod sasl;
mod session;
mod settings;
mod tls;

pub(crate) use accepted::Accepted;
pub(crate) use acknowledgements::Verdict;
pub(crate) use consumer::ShareConsumer;
pub(crate) use delivery::Delivered;
pub use figures::ShareFigures;
pub(crate) use figures::enter_outcomes;
pub(crate) use group_config::prepare_group;
pub(crate) use progress::has_read_all;

pub(crate) use settings::Settings;

/// Runs a member on the calling thread, with a small runtime for its connections.
///
/// # Errors
/// There is no runtime to be had, or that of the member.
pub(crate) fn block_on<T>(member: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    runtime.map_err(|error| format!("no runtime for the share consumer: {error}"))?.block_on(member)
}
