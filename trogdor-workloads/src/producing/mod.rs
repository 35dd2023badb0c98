//! What workloads share that send generated records on a schedule: the hot loop with its book, and
//! the figures of their statuses. What a class sends, where and when is its own business, as are its
//! topics.

mod ledger;
mod schedule;
mod sender;
mod status;

use std::sync::Arc;

use trogdor_core::WorkerContext;

pub(crate) use schedule::Schedule;
pub(crate) use sender::{Job, Target};
pub use status::{Interval, ProduceBenchStatus};
pub(crate) use status::{Snapshot, java_float};

use crate::hot_thread::{HotThread, StopFlag};

/// Runs a job on a thread of its own until it is done or the worker is to stop, and gives the number
/// of records that it handed over.
pub(crate) async fn run(name: &str, mut job: Job, ctx: &WorkerContext) -> Result<u64, String> {
    let interval = statistics_interval(&job.targets);
    job.translated.librdkafka.entry("statistics.interval.ms".to_owned()).or_insert(interval);
    let flag = Arc::new(StopFlag::default());
    let status = ctx.status.clone();
    let work = move |flag: &StopFlag| sender::send(job, flag, &status);
    let mut thread = HotThread::spawn(name, flag.clone(), work)?;
    tokio::select! {
        result = thread.ended() => result,
        reason = ctx.stop.stopped() => {
            flag.stop_for(reason);
            thread.ended().await
        }
    }
}

/// How often the client tells its statistics, milliseconds: soon enough to see at its start when the
/// idempotent producer is ready, and seldom enough that listing all partitions costs nothing.
fn statistics_interval(targets: &[Target]) -> String {
    targets.len().clamp(50, 5000).to_string()
}
