//! Times between hosts whose clocks are a minute apart: real daemons, two of them with a clock of their own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Daemon, TROGDOR, all_done, kafka, paced_spec, platform, stdout, topic, trogdor};

/// Shifts the wall clock of a process, and its waits until a time by that clock, by SHIFT_S seconds. The usual library for this,
/// libfaketime, allocates where it begins, and waits for the program's allocator, which waits for the clock.
const SHIFTED: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

typedef int wait_until(cnd_t *, mtx_t *, const struct timespec *);

static long shift_s;
static wait_until *system_wait;

__attribute__((constructor)) static void begin(void) {
    shift_s = atol(getenv("SHIFT_S"));
    system_wait = (wait_until *)dlsym(RTLD_NEXT, "cnd_timedwait");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += shift_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return failed;
}

time_t time(time_t *copy) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (copy) *copy = now.tv_sec;
    return now.tv_sec;
}

int cnd_timedwait(cnd_t *restrict event, mtx_t *restrict lock, const struct timespec *restrict until) {
    struct timespec then = *until;
    then.tv_sec -= shift_s;
    return system_wait(event, lock, &then);
}
"#;

/// Makes the library of [`SHIFTED`].
async fn shifted(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shifted.c"), folder.join("shifted.so"));
    std::fs::write(&source, SHIFTED).unwrap();
    let mut compiler = Command::new("cc");
    let made =
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).status().await.unwrap();
    assert!(made.success(), "cc: {made}");
    library
}

/// As if on another host: its wall clock is so far from ours, and it has a boot of its own. The monotonic clock is everybody's.
fn elsewhere(folder: &Path, name: &str, library: &Path, shift_s: i32) -> Command {
    const SCRIPT: &str = r#"mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@""#;
    let boot = folder.join(name);
    std::fs::write(&boot, format!("{name}\n")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]).arg(boot);
    command.args([
        "env",
        &format!("LD_PRELOAD={}", library.display()),
        &format!("SHIFT_S={shift_s}"),
        TROGDOR,
    ]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_clocks_are_apart_tell_the_real_time_between_them_or_none() {
    // More than records wait for.
    const SHIFT_S: i32 = 60;
    const SHIFT_US: u64 = SHIFT_S as u64 * 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let library = shifted(folder.path()).await;
    let config = platform(folder.path(), &["node0", "ahead", "behind"].map(|name| (name, Some(1), None)));
    let here = Daemon::start("agent", &config, "node0", &["--port", "0"]).await;
    let start = async |name: &str, shift_s: i32| {
        let command = elsewhere(folder.path(), name, &library, shift_s);
        Daemon::start_as(command, "agent", &config, name, &["--port", "0"]).await
    };
    let (ahead, behind) = (start("ahead", SHIFT_S).await, start("behind", -SHIFT_S).await);
    let agents = [("node0", here.port), ("ahead", ahead.port), ("behind", behind.port)];
    let config = platform(folder.path(), &agents.map(|(name, port)| (name, Some(port), None)));
    let coordinator = Daemon::start("coordinator", &config, "node0", &["--port", "0"]).await;
    let target = coordinator.target();

    let topic = topic("clocks");
    let mut produce = paced_spec(&topic, 1000, 200);
    produce["bootstrapServers"] = json!(kafka().await.bootstrap());
    let consume = |node: &str| {
        json!({
            "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
            "durationMs": 60_000, "consumerNode": node, "maxMessages": 1000,
            "bootstrapServers": produce["bootstrapServers"], "activeTopics": [&topic],
        })
    };
    let tasks =
        [("produce", produce.clone()), ("to-ahead", consume("ahead")), ("to-behind", consume("behind"))];
    // One after the other, so that records wait for seconds: of clocks that are compared over a network, milliseconds are not told.
    for (id, spec) in &tasks {
        let created =
            trogdor(&["client", "createTask", "-t", &target, "-i", id, "-s", &spec.to_string()]).await;
        assert!(created.status.success(), "{}", stdout(&created));
        let waited = trogdor(&["client", "wait", "-t", &target, "-i", id]).await;
        assert!(all_done(&waited), "{}", stdout(&waited));
    }
    let figures = async |consumer: &str| -> Value {
        let output =
            trogdor(&["client", "result", "-t", &target, "-i", "produce", "-i", consumer, "--json"]).await;
        serde_json::from_str(&stdout(&output)).unwrap()
    };

    let figures_ahead = figures("to-ahead").await;
    for quantile in ["p50Us", "p99Us", "maxUs"] {
        let told = figures_ahead["latencies"]["endToEnd"][quantile].as_u64().unwrap();
        let bound = |end: usize| {
            figures_ahead["endToEnd"]["bounds"][quantile][end]
                .as_u64()
                .unwrap_or_else(|| panic!("{figures_ahead}"))
        };
        let (low, high) = (bound(0), bound(1));
        // Both clocks are one that is shifted, so the real time is known.
        let real = told.checked_sub(SHIFT_US).unwrap_or_else(|| panic!("{figures_ahead}"));
        assert!((low..=high).contains(&real), "{real} µs: {figures_ahead}");
        assert!(high - low < SHIFT_US / 100, "{figures_ahead}");
    }
    let refused = figures("to-behind").await;
    let why = refused["endToEnd"]["refused"].as_str().unwrap_or_else(|| panic!("{refused}"));
    assert!(why.starts_with("records were received before they were made"), "{why}");
}
