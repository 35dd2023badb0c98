//! Finding `java`, and the command line of a JVM that starts fast and leaves nothing outside its directory. Nothing
//! is run here but `java -version`.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::error::{LabError, Trying};

/// Name of the archive of loaded classes.
pub(crate) const ARCHIVE: &str = "classes.jsa";

/// The `java` of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    program: PathBuf,
    version: String,
}

/// What to do about the archive of loaded classes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Archive<'a> {
    /// Start without.
    None,
    /// Start with it; the JVM checks that it fits.
    Use(&'a Path),
    /// Write it at the end, as the file [`ARCHIVE`] of the directory.
    Train,
}

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Program<'a> {
    pub(crate) class_path: &'a str,
    pub(crate) main_class: &'a str,
    pub(crate) args: Vec<OsString>,
    /// As in `-Xmx`.
    pub(crate) heap: &'a str,
    /// Whether the slow, thorough compiler is used: good for long runs, bad for a quick start.
    pub(crate) c2: bool,
    pub(crate) archive: Archive<'a>,
}

impl Java {
    pub(crate) async fn find() -> Result<Self, LabError> {
        let home = env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
        let program = home.map_or_else(|| PathBuf::from("java"), |home| Path::new(&home).join("bin/java"));
        let ran = Command::new(&program).arg("-version").output().await;
        let ran = match ran {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LabError::MissingProgram { program: "java", package: "openjdk-17-jre-headless" });
            }
            ran => ran.trying(|| format!("run `{}`", program.display()))?,
        };
        Ok(Self { program, version: String::from_utf8_lossy(&ran.stderr).into_owned() })
    }

    /// What `java -version` prints.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The command line of `program` in `directory`.
    pub(crate) fn command(&self, program: &Program<'_>, directory: &Path) -> Vec<OsString> {
        let mut command = vec![self.program.clone().into_os_string()];
        let in_directory = |option: &str, name: &str| joined(option, &directory.join(name));
        command.push(format!("-Xmx{}", program.heap).into());
        command
            .extend(["-XX:+UseSerialGC", "-Xshare:auto", "-XX:+ExitOnOutOfMemoryError"].map(OsString::from));
        if !program.c2 {
            command.push("-XX:TieredStopAtLevel=1".into());
        }
        match program.archive {
            Archive::None => {}
            Archive::Use(path) => command.push(joined("-XX:SharedArchiveFile=", path)),
            Archive::Train => command.push(in_directory("-XX:ArchiveClassesAtExit=", ARCHIVE)),
        }
        // Else a killed JVM leaves files in the system's temporary folder.
        command.push("-XX:-UsePerfData".into());
        command.push(in_directory("-Djava.io.tmpdir=", "tmp"));
        command.push(in_directory("-XX:ErrorFile=", "hs_err.log"));
        command.extend(
            [
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            ]
            .map(OsString::from),
        );
        command.extend(["-cp", program.class_path, program.main_class].map(OsString::from));
        command.extend(program.args.iter().cloned());
        command
    }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut option = OsString::from(option);
    option.push(path);
    option
}
