//! What all of these tests need: the memory of a process, somebody else who asks meanwhile, and raw connections.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::MissedTickBehavior;
use trogdor_core::{Clock, SystemClock};

use crate::support::{Daemon, LIMIT, TROGDOR, http, platform};

const MIB: u64 = 1 << 20;

/// How long an answer to somebody else may take: a thousand times what it takes.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long something takes.
pub struct Watch(std::sync::Arc<dyn Clock>);

impl Watch {
    pub fn start() -> Watch {
        // It counts from when it was made.
        Watch(SystemClock::shared())
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.now().mono_ms)
    }
}

/// A daemon that was started as from a shell that allows it few open files, with its agents at these ports.
pub async fn daemon(kind: &str, nodes: &[(&str, Option<u16>, Option<u16>)], more: &[&str]) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), nodes);
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -S -n 1024; exec "$@""#, "sh", TROGDOR]).env_remove("RUST_LOG");
    // What hostile peers make a daemon say is not for the eyes of whoever runs the tests.
    command.env("RUST_LOG", "off");
    let more = [&["--port", "0"], more].concat();
    Daemon::start_as(command, kind, &config, nodes[0].0, &more).await
}

/// A coordinator that has no agent to ask.
pub async fn coordinator() -> Daemon {
    daemon("coordinator", &[("node0", Some(1), None)], &[]).await
}

/// The most memory that a process ever had in RAM, bytes.
fn peak(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Its memory has never been more than this many MiB; tells how much it was.
pub fn assert_peak(daemon: &Daemon, what: &str, most_mib: u64) {
    let peak = peak(daemon) / MIB;
    eprintln!("{what}: {peak} MiB at most");
    assert!(peak < most_mib, "{what}: {peak} MiB");
}

/// Lets an attack go on while somebody else asks again and again, who has to be answered at once; and once more when
/// it has done its worst.
pub async fn meanwhile<T>(target: &str, path: &str, attack: impl Future<Output = T>) -> T {
    let asking = async {
        let mut took = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            took.push(ask(target, path).await);
            check(&took);
        }
    };
    let done = tokio::select! {
        done = attack => done,
        () = asking => unreachable!("it asks as long as the attack goes on"),
    };
    ask(target, path).await;
    done
}

/// How long an answer takes; never longer than if others kept it waiting until they are cut off.
async fn ask(target: &str, path: &str) -> Duration {
    let watch = Watch::start();
    let answer = tokio::time::timeout(Duration::from_secs(8), http(target, "GET", path, "")).await;
    assert_eq!(answer.expect("somebody else is answered meanwhile").0, 200);
    watch.elapsed()
}

/// One of twenty may be slower, since the machine is everybody's.
fn check(took: &[Duration]) {
    let slow = took.iter().filter(|took| **took > AT_ONCE).count();
    assert!(slow * 20 <= took.len() + 20, "{slow} of {} took more than {AT_ONCE:?}: {took:?}", took.len());
}

/// How many connections a daemon has places for (`docs/operations.md`).
const PLACES: usize = 4096;

/// Raises this process's limit of open files, and tells how many of this many connections it bears, beside so many
/// more. They are more than a daemon has places for: with fewer it would be tried with nothing.
pub fn connections(wanted: usize, more: usize) -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    // The rest is for the other tests.
    let possible = usize::try_from(hard).unwrap_or(usize::MAX).saturating_sub(2000 + more).min(wanted);
    eprintln!("{possible} of {wanted} connections, by a hard limit of {hard} open files");
    assert!(
        possible > PLACES,
        "a daemon has {PLACES} places, and only {possible} connections are possible here: raise the hard limit of open \
         files, which is {hard} (ulimit -Hn {})",
        2000 + more + wanted
    );
    possible
}

/// A connection from one of several addresses of this machine, so that there are ports for all.
pub async fn connect(target: &str, number: usize) -> TcpStream {
    let target: SocketAddr = target.parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    let host = u8::try_from(2 + number / 5000).unwrap();
    socket.bind(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
    tokio::time::timeout(LIMIT, socket.connect(target)).await.expect("it is taken").unwrap()
}

/// Reads to the end of a connection, which has to come; a reset is one, too. Gives what was said.
pub async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let reading = async {
        let mut part = [0; 4096];
        while let Ok(len) = stream.read(&mut part).await {
            if len == 0 {
                break;
            }
            said.extend_from_slice(&part[..len]);
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("the connection is ended");
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends a byte a second until the connection is ended; gives what was said to it, and how long it lasted.
pub async fn trickle(target: &str, head: &str, byte: &[u8]) -> (String, Duration) {
    let began = Watch::start();
    let (mut reader, mut writer) = TcpStream::connect(target).await.unwrap().into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let writing = async {
        while writer.write_all(byte).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        // An end or a reset: it is over.
        _ = reader.read_to_end(&mut said) => {}
        () = writing => {}
    }
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

/// The status of an answer, 0 if there is none.
pub fn status(said: &str) -> u16 {
    said.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}
