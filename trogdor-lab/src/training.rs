//! What is made once per Kafka version and JVM: the feature levels, written by Kafka's own format tool, and the
//! archives of loaded classes, written by a JVM at its end. Both go to the cache, under its lock. A JVM that cannot
//! write an archive is no failure: an empty file says "start without", so that nobody tries again.

use std::{path::PathBuf, time::Duration};

use crate::{
    cache::{Cache, Entry, fnv1a},
    distribution::Distribution,
    error::LabError,
    java::{ARCHIVE, Archive, Program},
    jvm::Jvm,
    node::{Node, Plan, random_cluster_id},
    properties,
    scratch::Scratch,
    security::Users,
    tool,
};

/// The dump takes some seconds on top of an orderly end.
const DUMP_LIMIT: Duration = Duration::from_secs(120);
const FORMAT_LIMIT: Duration = Duration::from_secs(60);

/// Makes what is missing for a broker.
pub(crate) async fn of_broker(cache: &Cache, distribution: &Distribution) -> Result<(), LabError> {
    let complete = || distribution.formatted().exists() && distribution.entry.path(ARCHIVE).exists();
    if complete() {
        return Ok(());
    }
    let _lock = cache.lock(&distribution.entry).await?;
    if complete() {
        return Ok(());
    }
    tracing::info!(version = %distribution.version, "training kafka for fast starts");
    if !distribution.formatted().exists() {
        format(distribution, &[], properties::FORMATTED).await?;
    }
    let plan = Plan { heap: "256m".to_owned(), archive: Some(Archive::Train), ..Plan::new(distribution) };
    let node = Node::start(plan).await?;
    keep_archive(node.into_jvm(), &distribution.entry).await
}

/// Ends a JVM that was started with [`Archive::Train`] and moves the archive to the cache.
pub(crate) async fn keep_archive(mut jvm: Jvm, entry: &Entry) -> Result<(), LabError> {
    let path = jvm.directory().join(ARCHIVE);
    jvm.signal(nix::sys::signal::Signal::SIGTERM)?;
    let ended = jvm.wait(DUMP_LIMIT).await?.is_some();
    if ended && path.exists() {
        return entry.import(&path, ARCHIVE);
    }
    tracing::warn!(log = %jvm.log_tail(5), "the JVM wrote no archive of its classes; starts will be slower");
    entry.write(ARCHIVE, "")
}

/// A formatted log directory whose cluster knows these users.
pub(crate) async fn format_with_users(
    distribution: &Distribution,
    users: &Users,
) -> Result<PathBuf, LabError> {
    let args = users.format_args();
    let name = format!("{}-{:016x}", properties::FORMATTED, fnv1a(args.join("\n").as_bytes()));
    let path = distribution.entry.path(&name);
    if !path.exists() {
        let _lock = Cache::open()?.lock(&distribution.entry).await?;
        if !path.exists() {
            format(distribution, &args, &name).await?;
        }
    }
    Ok(path)
}

/// Runs Kafka's own tool and keeps what it makes in the cache, as `name`.
async fn format(distribution: &Distribution, more_args: &[String], name: &str) -> Result<(), LabError> {
    let scratch = Scratch::create("format").await?;
    let data = scratch.path().join(properties::DATA);
    let properties = scratch.path().join(properties::FILE);
    // Nothing is bound, so any port will do.
    let ports = properties::Ports { data: 9092, controller: 9093, secured: None };
    properties::write(scratch.path(), &properties::Seat::alone(ports), &[])?;
    let id = random_cluster_id();
    let args = ["format", "-t", &id, "-c"].map(Into::into).into_iter().chain([properties.into()]);
    let args = args.chain(more_args.iter().map(Into::into));
    let program = Program {
        class_path: &distribution.class_path,
        main_class: "kafka.tools.StorageTool",
        args: args.collect(),
        heap: "128m",
        c2: false,
        archive: Archive::None,
    };
    let (output, _directory) = tool::run_in(scratch, &distribution.java, &program, FORMAT_LIMIT).await?;
    if output.code == 0 {
        let is_identity = |name: &str| name == properties::IDENTITY;
        return distribution.entry.import_tree(&data, name, is_identity);
    }
    let what = format!("the format tool of kafka {}", distribution.version);
    Err(LabError::Died { what, code: output.code, log: output.stdout + &output.stderr })
}
