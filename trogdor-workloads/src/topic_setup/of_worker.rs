//! The set-up of topics as a worker does it: which cluster, what it says of itself meanwhile, and how it ends when
//! the time is over before.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use trogdor_core::{StopReason, WorkerContext};

use super::{Setup, TopicSetup};
use crate::client_config::Translated;
use crate::created_topics::{CreatedTopics, RecordingAdmin};
use crate::embedded::EmbeddedBroker;
use crate::kafka::resolve;
use crate::topic_admin::{KafkaAdmin, TopicAdmin};
use crate::topics::PartitionsSpec;

/// How often the status is brought up to date.
const TELL_PERIOD: Duration = Duration::from_millis(500);

/// Brings a worker's topics into being and tells so in its status, with what keeps us from the cluster as long as
/// something does. `bootstrap` is the cluster as the spec names it, by which the embedded broker is recognised.
///
/// # Errors
/// What keeps topics from being there; also when the worker's time is over and the cluster was out of reach. For that
/// the caller must poll this before it looks at the stop signal itself.
pub(crate) async fn for_worker(
    ctx: &WorkerContext,
    bootstrap: &str,
    settings: &Translated,
    topics: &IndexMap<String, &PartitionsSpec>,
) -> Result<Setup, String> {
    let topics: Vec<_> = topics.iter().map(|(name, spec)| (name.as_str(), *spec)).collect();
    let admin = admin(ctx, bootstrap, settings).await?;
    let creating = format!("Creating {} topic(s)", topics.len());
    ctx.status.set(&creating);
    let setup = TopicSetup { admin: &*admin, clock: &*ctx.clock, retries: settings.ours.retries };
    let mut setup = tokio::select! {
        setup = tell(ctx, &*admin, &creating, setup.run(&topics)) => setup?,
        error = out_of_time(ctx, &*admin) => return Err(error),
    };
    ctx.status.set(format!("Created {} topic(s)", topics.len()));
    setup.warnings.extend(settings.notes.iter().map(|note| format!("admin client: {note}")));
    Ok(setup)
}

/// In words.
pub(crate) fn ending(reason: StopReason) -> &'static str {
    match reason {
        StopReason::TimeUp => "its time was over",
        StopReason::Requested => "it was stopped",
        StopReason::AgentExits => "its agent exited",
    }
}

async fn admin(
    ctx: &WorkerContext,
    bootstrap: &str,
    settings: &Translated,
) -> Result<Arc<dyn TopicAdmin>, String> {
    resolve(settings).await?;
    let admin: Arc<dyn TopicAdmin> = match ctx.extensions.get::<EmbeddedBroker>() {
        Some(broker) if broker.bootstrap() == bootstrap => broker,
        _ => Arc::new(KafkaAdmin::new(settings)?),
    };
    Ok(match ctx.extensions.get::<CreatedTopics>() {
        Some(created) => Arc::new(RecordingAdmin::new(admin, created, settings.clone())),
        None => admin,
    })
}

/// Returns if the worker's time is over and something keeps us from the cluster; a stop of another kind is no error.
async fn out_of_time(ctx: &WorkerContext, admin: &dyn TopicAdmin) -> String {
    let reason = ctx.stop.stopped().await;
    match admin.trouble() {
        Some(trouble) if reason == StopReason::TimeUp => {
            format!("{} before the first message: {trouble}", ending(reason))
        }
        _ => std::future::pending().await,
    }
}

/// Waits for something that needs the cluster. If that takes its time, the status tells what is waited for, and
/// what keeps us from the cluster as long as something does.
pub(crate) async fn tell<T>(
    ctx: &WorkerContext,
    admin: &dyn TopicAdmin,
    what: &str,
    awaited: impl Future<Output = T>,
) -> T {
    let mut awaited = std::pin::pin!(awaited);
    let mut told = String::new();
    loop {
        tokio::select! {
            result = &mut awaited => return result,
            () = tokio::time::sleep(TELL_PERIOD) => {}
        }
        let text = match admin.trouble() {
            None => what.to_owned(),
            Some(trouble) => format!("{what}; {trouble}"),
        };
        if text != told {
            ctx.status.set(&text);
            told = text;
        }
    }
}
