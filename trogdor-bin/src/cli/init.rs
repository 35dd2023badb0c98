//! `trogdor init`: writes a platform file to start from. It holds one node, so that it works as it
//! is, and says in comments what else there is.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::BAD_INPUT;
use super::answer::Answer;
use super::out::Out;

/// What is written.
pub const PLATFORM_FILE: &str = include_str!("platform.conf");

/// Arguments of `trogdor init`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Write a platform file to start from", infer_long_args = true)]
pub struct InitArgs {
    /// The file to write
    #[arg(default_value = "trogdor.conf")]
    file: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

/// Runs `trogdor init` and gives its exit code.
pub fn init(args: &InitArgs, out: &mut dyn Out) -> u8 {
    let file = args.file.display();
    let answer = match write(&args.file, args.force) {
        Ok(()) => Answer::fine(format!("Wrote {file}.\n")),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Answer::failed(BAD_INPUT, [format!("{file} exists; --force overwrites it")])
        }
        Err(error) => Answer::failed(BAD_INPUT, [format!("cannot write {file}: {error}")]),
    };
    answer.print("trogdor init", BAD_INPUT, out)
}

fn write(file: &Path, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(file)?.write_all(PLATFORM_FILE.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trogdor_core::{NodeName, Topology};

    #[test]
    fn the_file_is_one_that_the_daemons_read() {
        let topology = Topology::from_platform_file(PLATFORM_FILE.as_bytes()).unwrap();
        assert_eq!(topology.nodes().count(), 1);
        let node = topology.node(&NodeName::from("node0")).unwrap();
        assert_eq!((node.agent_port(), node.coordinator_port()), (Some(8888), Some(8889)));
        assert_eq!((node.hostname.as_str(), node.heartbeat_ms()), ("localhost", 1000));
    }
}
