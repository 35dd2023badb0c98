//! What is in contrib/ for those who run the daemons for good: units and a container file. No systemd and no container
//! engine is needed here; what is held is that they name options and files that there are.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Parser;
use regex::Regex;
use tokio::process::Command;
use trogdor_bin::daemon::{AgentArgs, CoordinatorArgs};

use crate::support::{Daemon, platform};

/// The daemons' options, without a program to run.
#[derive(Parser)]
enum Line {
    Agent(AgentArgs),
    Coordinator(CoordinatorArgs),
}

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(contrib(path)).unwrap().replace("\\\n", " ")
}

/// The value of a setting of a unit.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    unit.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn units_start_the_daemons_with_options_that_there_are() {
    for (file, node) in [("trogdor-agent@.service", "%i"), ("trogdor-coordinator.service", "${COORDINATOR}")]
    {
        let unit = read(&format!("systemd/{file}"));
        let line = setting(&unit, "ExecStart");
        let line =
            Line::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (name, state) = match line {
            Line::Agent(args) => {
                let timeout: u64 = setting(&unit, "TimeoutStopSec").parse().unwrap();
                assert!(timeout > args.stop_grace, "{file}: its workers have {} s to end", args.stop_grace);
                (args.node_name, args.state_dir)
            }
            Line::Coordinator(args) => (args.node_name, args.state_dir),
        };
        assert_eq!(name, node);
        // Each has a folder of its own: systemd gives the whole of it to the unit's user.
        let folder = Path::new("/var/lib").join(setting(&unit, "StateDirectory"));
        assert_eq!(state, Some(folder), "{file}");
    }
}

#[test]
fn the_container_file_takes_what_is_there_and_runs_as_nobody_special() {
    let text = read("container/Containerfile");
    let copied = Regex::new(r"(?m)^COPY (?:--chmod=\d+ )?(contrib/\S+) ").unwrap();
    for path in copied.captures_iter(&text) {
        assert!(contrib("..").join(&path[1]).exists(), "{}", &path[1]);
    }
    for line in ["USER trogdor", "VOLUME /var/lib/trogdor", "EXPOSE 8888 8889", "ENTRYPOINT [\"trogdor\"]"] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    // The stage that is kept begins after the compiler's.
    let kept = text.rsplit("\nFROM ").next().unwrap();
    for word in ["rust:", "COPY . ", "build-essential"] {
        assert!(!kept.contains(word), "{word}");
    }
}

#[tokio::test]
async fn a_container_is_healthy_as_long_as_its_daemon_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(1), Some(1))]);
    let coordinator = Daemon::start("coordinator", &config, "node0", &["--port", "0"]).await;
    let port = coordinator.port.to_string();
    let healthy = async || {
        let mut command = Command::new(contrib("container/healthy"));
        command.env("HEALTH_HOST", "127.0.0.1").env("HEALTH_PORT", &port).stderr(Stdio::null());
        command.status().await.unwrap().code()
    };
    assert_eq!(healthy().await, Some(0), "curl is needed; scripts/prepare --tests installs it");
    coordinator.kill().await;
    assert_eq!(healthy().await, Some(1));
}
