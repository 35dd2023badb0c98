//! `rdkafka_performance`, the C program that comes with the client library that both use: built once, from the sources
//! that cargo has fetched, into the target folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::figures::Failure;
use crate::processes::{Ended, watched};

/// What the program sets by itself and our clients leave as it is in the library.
const LIBRARY_DEFAULTS: [(&str, &str); 6] = [
    ("linger.ms", "5"),
    ("message.send.max.retries", "2147483647"),
    ("retry.backoff.ms", "100"),
    ("queued.min.messages", "100000"),
    ("session.timeout.ms", "45000"),
    ("auto.offset.reset", "earliest"),
];

/// The program, ready to run.
pub struct CTool(PathBuf);

impl CTool {
    /// Builds it, unless that was done before.
    pub async fn build() -> Result<CTool, Failure> {
        let metadata = cargo_metadata::MetadataCommand::new().exec()?;
        let package = metadata.packages.iter().find(|package| package.name.as_str() == "rdkafka-sys");
        let package = package.ok_or("rdkafka-sys is no dependency any more")?;
        let source = package.manifest_path.parent().ok_or("a manifest lies in a folder")?.join("librdkafka");
        let folder = metadata.target_directory.join(format!("rdkafka_performance-{}", package.version));
        let program = folder.join("examples/rdkafka_performance");
        if !program.exists() {
            eprintln!("building rdkafka_performance");
            let script = "rm -rf \"$2\" && cp -r \"$1\" \"$2\" && cd \"$2\" && \
                 ./configure --disable-ssl --disable-gssapi --disable-curl && \
                 make -j2 libs && make -C examples rdkafka_performance";
            let arguments = ["-c", script, "sh", source.as_str(), folder.as_str()];
            let mut build = Command::new("sh");
            let output = build.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
            }
        }
        Ok(CTool(program.into()))
    }

    /// Sends so many records of one constant value, without keys; the library chooses the partitions. Gives the records
    /// per second that it tells.
    pub async fn produce(
        &self,
        settings: &BTreeMap<String, String>,
        topic: &str,
        (records, value_bytes): (u64, usize),
    ) -> Result<(f64, Ended), Failure> {
        let (records, value_bytes) = (records.to_string(), value_bytes.to_string());
        let ended = self.run(settings, ["-P", "-t", topic, "-c", &records, "-s", &value_bytes]).await?;
        let is_complete = ended.printed.contains(&format!(" bytes), {records} delivered "));
        let rate = rate(&ended.printed, " messages produced ").filter(|_| is_complete);
        Ok((rate.ok_or_else(|| self.complaint(&ended))?, ended))
    }

    /// Reads so many records as the only member of a group, one by one, or so many at a time as are given.
    pub async fn consume(
        &self,
        settings: &BTreeMap<String, String>,
        (group, topic): (&str, &str),
        records: u64,
        at_a_time: Option<u32>,
    ) -> Result<(f64, Ended), Failure> {
        let (records, batch) = (records.to_string(), at_a_time.unwrap_or(0).to_string());
        let ended = self.run(settings, ["-G", group, "-t", topic, "-c", &records, "-B", &batch]).await?;
        Ok((rate(&ended.printed, " consumed in ").ok_or_else(|| self.complaint(&ended))?, ended))
    }

    async fn run<const N: usize>(
        &self,
        settings: &BTreeMap<String, String>,
        args: [&str; N],
    ) -> Result<Ended, Failure> {
        let mut command = Command::new(&self.0);
        command.args(args).arg("-q");
        let given = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in LIBRARY_DEFAULTS.into_iter().chain(given) {
            // The program names the group itself.
            if name != "group.id" {
                command.arg("-X").arg(format!("{name}={value}"));
            }
        }
        watched(command).await
    }

    fn complaint(&self, ended: &Ended) -> Failure {
        format!("{}: {}", self.0.display(), ended.printed).into()
    }
}

/// What its last line of this kind says, `% 4000000 messages (2048000000 bytes) consumed in 2013ms: 1987083 msgs/s …`.
fn rate(printed: &str, kind: &str) -> Option<f64> {
    let line = printed.lines().rfind(|line| line.contains(kind))?;
    let (_, rest) = line.split_once("ms: ")?;
    rest.split_whitespace().next()?.parse().ok()
}
