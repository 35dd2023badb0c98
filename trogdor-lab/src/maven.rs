//! From Maven coordinates to a class path. Maven runs only when a path of the cached class path is missing: offline
//! first, then online. Which repositories it asks is the user's business; nothing here names one.

use std::{env, path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::{
    cache::{Cache, DRAFT, Entry},
    error::{LabError, Trying},
    java::Java,
};

const CLASS_PATH: &str = "classpath.txt";
/// A download of 50 MB on a slow line.
const MAVEN_LIMIT: Duration = Duration::from_secs(600);

/// An artefact of `org.apache.kafka`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Artefact<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}

/// The paths of an artefact, its dependencies and a simple logger, and the cache folder that goes with them.
pub(crate) async fn class_path(
    cache: &Cache,
    java: &Java,
    artefact: Artefact<'_>,
) -> Result<(String, Entry), LabError> {
    let pom = artefact.pom();
    let key = format!("{pom}\n{}", java.version());
    let entry = cache.entry(&format!("{}-{}", artefact.name, artefact.version), &key)?;
    if let Some(class_path) = usable(&entry) {
        return Ok((class_path, entry));
    }
    let _lock = cache.lock(&entry).await?;
    if let Some(class_path) = usable(&entry) {
        return Ok((class_path, entry));
    }
    tracing::info!(?artefact, "asking maven for jars");
    entry.write("pom.xml", &pom)?;
    let class_path = match resolve(&entry, &["-o"]).await? {
        Ok(class_path) => class_path,
        Err(_offline) => resolve(&entry, &[]).await?.map_err(|output| LabError::Maven {
            coordinate: format!("org.apache.kafka:{}:{}", artefact.name, artefact.version),
            output,
        })?,
    };
    entry.write(CLASS_PATH, &class_path)?;
    Ok((class_path, entry))
}

impl Artefact<'_> {
    fn pom(&self) -> String {
        let Self { name, version } = self;
        let dependency = |group: &str, name: &str, version: &str| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
            )
        };
        // Without a logger there is no log at all.
        let kafka = dependency("org.apache.kafka", name, version);
        let logger = dependency("org.slf4j", "slf4j-simple", "1.7.36");
        format!(
            "<project><modelVersion>4.0.0</modelVersion>\
             <groupId>trogdor-lab</groupId><artifactId>trogdor-lab</artifactId><version>1</version>\
             <dependencies>{kafka}{logger}</dependencies></project>"
        )
    }
}

/// The cached class path, if every path in it still exists.
fn usable(entry: &Entry) -> Option<String> {
    let class_path = entry.read(CLASS_PATH)?;
    let all_there = !class_path.is_empty() && env::split_paths(&class_path).all(|path| path.exists());
    all_there.then_some(class_path)
}

/// Runs Maven; the inner error is what it printed.
async fn resolve(entry: &Entry, flags: &[&str]) -> Result<Result<String, String>, LabError> {
    let output = tempfile::Builder::new().prefix(DRAFT).tempfile_in(entry.dir());
    let output = output.trying(|| format!("write to `{}`", entry.dir().display()))?;
    let mut maven = Command::new("mvn");
    maven
        .args(flags)
        .args(["-q", "-B", "dependency:build-classpath"])
        .arg(format!("-Dmdep.outputFile={}", output.path().display()))
        .current_dir(entry.dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(MAVEN_LIMIT, maven.output()).await;
    let ran = ran.map_err(|_| LabError::TimedOut { what: "maven to end".to_owned(), limit: MAVEN_LIMIT })?;
    let ran = match ran {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LabError::MissingProgram { program: "mvn", package: "maven" });
        }
        ran => ran.trying(|| "run `mvn`".to_owned())?,
    };
    let class_path = read_trimmed(output.path());
    if ran.status.success() && !class_path.is_empty() {
        return Ok(Ok(class_path));
    }
    let printed = [ran.stdout, ran.stderr].concat();
    Ok(Err(String::from_utf8_lossy(&printed).lines().take(20).collect::<Vec<_>>().join("\n")))
}

fn read_trimmed(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
