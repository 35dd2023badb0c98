//! What workloads share that send generated records on a schedule: the hot loop with its book, and
//! the figures of their statuses. What a class sends, where and when is its own business, as are its
//! topics.

mod broker_side;
mod ledger;
mod schedule;
mod sender;
mod status;
mod tally;

use std::sync::Arc;

use trogdor_core::WorkerContext;

pub use broker_side::BrokerSide;
pub(crate) use schedule::Schedule;
pub(crate) use sender::{Job, Target};
pub use status::{IntervalSummary, ProduceBenchStatus};
pub(crate) use status::{Snapshot, java_float};

use crate::hot_thread::{HotThread, StopFlag};
use tally::Clerk;

/// Runs a job on a thread of its own until it is done or the worker is to stop, and gives the number
/// of records that it handed over.
pub(crate) async fn run(name: &str, mut job: Job, ctx: &WorkerContext) -> Result<u64, String> {
    let interval = statistics_interval(&job.targets);
    job.translated.librdkafka.entry("statistics.interval.ms".to_owned()).or_insert(interval);
    let flag = Arc::new(StopFlag::default());
    let (clerk, desk) = Clerk::of(ctx, job.tell)?;
    let work = move |flag: &StopFlag| sender::send(job, flag, desk);
    let mut thread = HotThread::spawn(name, flag.clone(), work)?;
    let ending = async {
        tokio::select! {
            result = thread.ended() => result,
            reason = ctx.stop.stopped() => {
                flag.stop_for(reason);
                thread.ended().await
            }
        }
    };
    tokio::join!(ending, clerk.serve()).0
}

/// How often the client tells its statistics, milliseconds: soon enough to see at its start when the
/// idempotent producer is ready, and seldom enough that listing all partitions costs nothing.
fn statistics_interval(targets: &[Target]) -> String {
    targets.len().clamp(50, 5000).to_string()
}
