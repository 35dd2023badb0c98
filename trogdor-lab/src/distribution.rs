//! One version of Kafka, ready to start: its class path, what a formatted log directory holds, and the archive of
//! loaded classes. It comes from Maven or from a folder named by the user. Formatting and archiving is in
//! `training.rs`.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    cache::{Cache, Entry},
    error::{LabError, Trying},
    java::{Archive, Java},
    maven::{self, Artefact},
    properties,
    security::Users,
    training,
};

/// Scala's version in the name of the broker's jar; the only one since Kafka 4.0.
const BROKER: &str = "kafka_2.13";

/// A Kafka that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    pub(crate) java: Java,
    pub(crate) version: String,
    pub(crate) class_path: String,
    pub(crate) entry: Entry,
}

impl Distribution {
    /// Finds or makes everything that a fast start needs. `directory` is an unpacked Kafka to use in place of Maven.
    pub(crate) async fn obtain(version: &str, directory: Option<&Path>) -> Result<Self, LabError> {
        let cache = Cache::open()?;
        let java = Java::find().await?;
        let unpacked = match directory {
            Some(directory) => Some(Unpacked::open(directory)?.expect_version(version)?),
            None => named_by_environment(version)?,
        };
        let distribution = match unpacked {
            Some(unpacked) => {
                let key = format!("{}\n{}", unpacked.fingerprint, java.version());
                let entry = cache.entry(&format!("directory-{version}"), &key)?;
                Self { java, version: version.to_owned(), class_path: unpacked.class_path, entry }
            }
            None => {
                let artefact = Artefact { name: BROKER, version };
                let (class_path, entry) = maven::class_path(&cache, &java, artefact).await?;
                Self { java, version: version.to_owned(), class_path, entry }
            }
        };
        training::of_broker(&cache, &distribution).await?;
        Ok(distribution)
    }

    /// A formatted log directory without the identity of a node: the feature levels. The name and place of the file
    /// depend on the version.
    pub(crate) fn formatted(&self) -> PathBuf {
        self.entry.path(properties::FORMATTED)
    }

    /// The same with these users, who have passwords for SCRAM. Made at their first use, in about a second.
    pub(crate) async fn formatted_with(&self, users: &Users) -> Result<PathBuf, LabError> {
        training::format_with_users(self, users).await
    }
}

/// The archive in a cache folder, which is empty where the JVM could not write one.
pub(crate) fn archive(path: &Path) -> Archive<'_> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => Archive::Use(path),
        _ => Archive::None,
    }
}

/// A folder with `libs/`.
struct Unpacked {
    path: PathBuf,
    version: String,
    class_path: String,
    /// Changes when a jar does.
    fingerprint: String,
}

impl Unpacked {
    fn open(path: &Path) -> Result<Self, LabError> {
        let not_kafka = || LabError::NotADistribution { path: path.to_owned() };
        let libs = path.join("libs").canonicalize().map_err(|_| not_kafka())?;
        let entries = fs::read_dir(&libs).trying(|| format!("list `{}`", libs.display()))?;
        let mut jars = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "jar"))
            .collect::<Vec<_>>();
        // The archive is bound to the order.
        jars.sort();
        let version = jars.iter().find_map(|jar| version_of(jar)).ok_or_else(not_kafka)?;
        let class_path = env::join_paths(&jars).map_err(|_| not_kafka())?;
        let class_path = class_path.into_string().map_err(|_| not_kafka())?;
        let fingerprint = jars.iter().map(|jar| stamp(jar)).collect::<Vec<_>>().join("\n");
        Ok(Self { path: path.to_owned(), version, class_path, fingerprint })
    }

    fn expect_version(self, wanted: &str) -> Result<Self, LabError> {
        if self.version == wanted {
            return Ok(self);
        }
        Err(LabError::WrongVersion { path: self.path, found: self.version, wanted: wanted.to_owned() })
    }
}

/// The folder of `TROGDOR_KAFKA_DIR`, if it holds this version; other versions still come from Maven.
fn named_by_environment(version: &str) -> Result<Option<Unpacked>, LabError> {
    let directory = env::var_os("TROGDOR_KAFKA_DIR").filter(|directory| !directory.is_empty());
    let unpacked = directory.map(|directory| Unpacked::open(Path::new(&directory))).transpose()?;
    Ok(unpacked.filter(|unpacked| unpacked.version == version))
}

fn version_of(jar: &Path) -> Option<String> {
    let version = jar.file_stem()?.to_str()?.strip_prefix(BROKER)?.strip_prefix('-')?;
    let companion = ["sources", "javadoc", "scaladoc", "test"].iter().any(|kind| version.ends_with(kind));
    (!companion).then(|| version.to_owned())
}

fn stamp(jar: &Path) -> String {
    let metadata = fs::metadata(jar);
    let (length, modified) = metadata.map_or((0, 0), |metadata| (metadata.len(), metadata.mtime()));
    format!("{} {length} {modified}", jar.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_in_the_name_of_the_broker_jar() {
        let version = |name: &str| version_of(Path::new(name));
        assert_eq!(version("libs/kafka_2.13-4.3.1.jar").as_deref(), Some("4.3.1"));
        assert_eq!(version("libs/kafka_2.13-4.5.0-SNAPSHOT.jar").as_deref(), Some("4.5.0-SNAPSHOT"));
        assert_eq!(version("libs/kafka_2.13-4.3.1-sources.jar"), None);
        assert_eq!(version("libs/kafka-clients-4.3.1.jar"), None);
    }

    #[test]
    fn a_folder_without_kafka_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = Unpacked::open(empty.path()).err().unwrap().to_string();
        assert!(error.contains("is not an unpacked kafka"), "{error}");
    }
}
