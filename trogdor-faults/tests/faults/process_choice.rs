//! Which processes a fault is for: by name, program, pid file and port; and who is never touched.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::kill;
use crate::node::{Node, NodeOptions};
use crate::process_stop::{is_stopped, jvm};
use crate::space::{Inmate, Space, inner_pid};

/// A shell under another name, with arguments, that waits.
fn program(space: &Space, name: &str) -> anyhow::Result<Inmate> {
    space.start([&*space.shell_called(name)?, "-s", "secret"])
}

/// A process that listens, and its port.
fn listener(space: &Space, address: &str) -> anyhow::Result<(Inmate, i64)> {
    let script = format!(
        "$| = 1; $s = IO::Socket::IP->new(LocalHost => '{address}', LocalPort => 0, Listen => 5) or die $!; \
         print $s->sockport, \"\\n\"; <STDIN>"
    );
    let mut command = space.command("perl");
    command.args(["-MIO::Socket::IP", "-e", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Inmate::start(&mut command)?;
    let mut line = String::new();
    let out = process.take_output().context("no pipe")?;
    BufReader::new(out).read_line(&mut line)?;
    Ok((process, line.trim().parse().context("no port")?))
}

fn pid_file(space: &Space, name: &str, text: &str) -> anyhow::Result<String> {
    let path = space.folder().join(name);
    std::fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}

fn spec(fields: &Value) -> Value {
    let mut spec =
        json!({"class": trogdor_faults::PROCESS_STOP, "durationMs": 600_000, "nodeNames": ["node0"]});
    for (name, value) in fields.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    spec
}

/// The error with which a fault ends that cannot be planned.
fn refusal(node: &mut Node, fields: &Value) -> anyhow::Result<String> {
    let before = node.journals();
    let worker = node.create(&spec(fields))?;
    let state = node.wait_done(worker)?;
    ensure!(node.journals() == before, "{state}");
    Ok(state["error"].as_str().context("no error")?.to_owned())
}

pub fn exactly_the_processes_that_meet_all_criteria_are_chosen() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (four, four_port) = listener(&space, "127.0.0.1")?;
    let (six, six_port) = listener(&space, "::1")?;
    let broker = program(&space, "broker")?;
    let full = space.folder().join("broker").to_string_lossy().into_owned();
    let pid = pid_file(&space, "pid", &format!(" {}\n", broker.inner_pid()?))?;
    let perl = std::fs::read_link(format!("/proc/{}/exe", four.pid()))?;
    let perl = perl.file_name().and_then(|name| name.to_str()).context("perl")?.to_owned();
    let everybody = [
        ("a", jvm(&space, "kafka.Kafka a.properties")?),
        ("b", jvm(&space, "kafka.Kafka")?),
        ("c", jvm(&space, "my.kafka.KafkaTool")?),
        ("broker", broker),
        ("four", four),
        ("six", six),
    ];
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let rows: [(Value, &[&str]); 11] = [
        (json!({"javaProcessName": "kafka.Kafka"}), &["a", "b", "c"]),
        (json!({"javaProcessName": "kafka.Kafka", "javaProcessMatch": "EXACT"}), &["a", "b"]),
        (json!({"javaProcessName": "kafka.Kafka a.properties", "javaProcessMatch": "EXACT"}), &["a"]),
        (json!({"javaProcessName": "Kafka.*(Tool|erties)$", "javaProcessMatch": "REGEX"}), &["a", "c"]),
        (json!({"executable": "java", "javaProcessName": "my."}), &["c"]),
        (json!({"executable": "broker"}), &["broker"]),
        (json!({"executable": full}), &["broker"]),
        (json!({"pidFile": pid}), &["broker"]),
        (json!({"listeningPort": four_port}), &["four"]),
        (json!({"listeningPort": six_port, "executable": perl}), &["six"]),
        (json!({"executable": perl}), &["four", "six"]),
    ];
    for (fields, expected) in rows {
        let worker = node.create(&spec(&fields))?;
        node.wait_for(worker, "stopped")?;
        let stopped: Vec<_> =
            everybody.iter().filter(|(_, p)| is_stopped(p)).map(|(name, _)| *name).collect();
        ensure!(stopped == expected, "{fields}: {stopped:?} are stopped");
        let state = node.end(worker)?;
        ensure!(state["status"]["node"] == "clean", "{state}");
        ensure!(!everybody.iter().any(|(_, process)| is_stopped(process)), "{fields}");
    }
    // Arguments may be secrets.
    let worker = node.create(&spec(&json!({"executable": "broker"})))?;
    let status = node.wait_for(worker, "stopped executable broker")?;
    ensure!(!status.to_string().contains("secret"), "{status}");
    Ok(())
}

pub fn nobody_found_is_an_error_that_says_who_was_looked_for_and_who_is_there() -> anyhow::Result<()> {
    let space = Space::new()?;
    let kafka = jvm(&space, "kafka.Kafka")?;
    let (_four, port) = listener(&space, "127.0.0.1")?;
    let inner = kafka.inner_pid()?;
    let zombie = zombie(&space)?;
    let file = |name: &str, text: &str| pid_file(&space, name, text);
    let rows = [
        (
            json!({"javaProcessName": "kafka.kafka"}),
            format!(
                "no process has \"kafka.kafka\" in its Java name; the Java processes here are {inner} (kafka.Kafka)"
            ),
        ),
        (
            json!({"javaProcessName": "Kafka", "javaProcessMatch": "EXACT", "executable": "java"}),
            "no process has the Java name \"Kafka\" and the executable \"java\"; the Java".to_owned(),
        ),
        (json!({"executable": "/bin/java"}), "no process has the executable \"/bin/java\"".to_owned()),
        (json!({"listeningPort": 1}), "nobody listens on TCP port 1 in the network of the agent".to_owned()),
        (
            json!({"listeningPort": port, "executable": "java"}),
            format!("no process has the executable \"java\" and a listener on TCP port {port}"),
        ),
        (json!({"pidFile": "/nowhere/x"}), "\"/nowhere/x\" cannot be read".to_owned()),
        (json!({"pidFile": file("word", "none")?}), "begins with \"none\", which is no pid".to_owned()),
        (json!({"pidFile": file("minus", "-1")?}), "begins with \"-1\", which is no pid".to_owned()),
        (json!({"pidFile": file("gone", "4000000")?}), "names process 4000000, which has ended".to_owned()),
        (
            json!({"pidFile": file("zombie", &zombie.1.to_string())?}),
            format!("names process {}, which has ended, or is", zombie.1),
        ),
        // What is wrong with the spec is told all at once.
        (
            json!({"javaProcessName": "(", "javaProcessMatch": "REGEX", "pidFile": "a", "listeningPort": -1}),
            "listeningPort is -1; give 1 to 65535".to_owned(),
        ),
        (json!({"javaProcessMatch": "EXACT"}), "every Java process".to_owned()),
    ];
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    for (fields, expected) in rows {
        let error = refusal(&mut node, &fields)?;
        ensure!(error.contains(&expected), "{fields}: {error}");
    }
    ensure!(!is_stopped(&kafka));
    Ok(())
}

/// A process that has ended and is not taken notice of, and its parent.
fn zombie(space: &Space) -> anyhow::Result<(Inmate, i32)> {
    let mut command = space.command("perl");
    command.args(["-e", "$| = 1; $pid = fork // die; exit if !$pid; print \"$pid\\n\"; <STDIN>"]);
    let mut parent = Inmate::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let mut line = String::new();
    BufReader::new(parent.take_output().context("no pipe")?).read_line(&mut line)?;
    Ok((parent, line.trim().parse()?))
}

pub fn who_undoes_faults_is_never_touched() -> anyhow::Result<()> {
    let space = Space::new()?;
    let kafka = jvm(&space, "kafka.Kafka")?;
    let daemons = [
        jvm(&space, "org.apache.kafka.trogdor.agent.Agent")?,
        jvm(&space, "org.apache.kafka.trogdor.coordinator.Coordinator")?,
        program(&space, "trogdor")?,
    ];
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let (agent, first) = (node.process().inner_pid()?, 1);

    let worker = node.create(&spec(&json!({"executable": "java"})))?;
    let status = node.wait_for(worker, "stopped")?;
    ensure!(is_stopped(&kafka) && !daemons.iter().any(is_stopped), "{status}");
    let named = |process: &Inmate| Ok::<_, anyhow::Error>(format!("process {} (", process.inner_pid()?));
    for daemon in &daemons[..2] {
        ensure!(status["remarks"].to_string().contains(&named(daemon)?), "{status}");
    }
    // It runs by now.
    let reaper = inner_pid(kill::reaper(&node).context("no reaper")?.as_raw_nonzero().get().unsigned_abs())?;

    let file = |name: &str, pid: i32| pid_file(&space, name, &pid.to_string());
    let rows = [
        (json!({"executable": "trogdor"}), "it is a process of Trogdor"),
        (json!({"pidFile": file("agent", agent)?}), "it is the agent"),
        (json!({"pidFile": file("first", first)?}), "it is init"),
        (json!({"pidFile": file("reaper", reaper)?}), "it is a process of Trogdor"),
        (json!({"javaProcessName": "trogdor.agent.Agent"}), "it is a daemon of Trogdor"),
    ];
    for (fields, expected) in rows {
        for class in [trogdor_faults::PROCESS_STOP, trogdor_faults::PROCESS_KILL] {
            let mut fields = fields.clone();
            fields["class"] = json!(class);
            let error = refusal(&mut node, &fields)?;
            ensure!(error.contains("may be touched") && error.contains(expected), "{fields}: {error}");
        }
    }
    ensure!(!daemons.iter().any(is_stopped) && daemons.iter().all(|daemon| daemon.state().is_some()));
    Ok(())
}
