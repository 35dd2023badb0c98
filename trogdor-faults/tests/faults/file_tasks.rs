//! FilesUnreadable and FileSystem: tasks that add their faults to a file system and take exactly these
//! away again, or that mount one for as long as they run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::mounted::{CONTROL, Mounted, faults, inside, until_unmounted};
use crate::node::{Node, NodeOptions};
use crate::space::{Space, until};

/// A task that makes files unreadable.
pub fn unreadable(mount: &Path, prefix: &str) -> Value {
    json!({"class": trogdor_faults::FILES_UNREADABLE, "durationMs": 600_000, "nodeNames": ["node0"],
           "mountPath": mount, "prefix": prefix, "errorCode": 5})
}

/// A task that mounts a file system and adds faults of ours and of Kibosh.
pub fn mounting(mount: &Path, target: &Path) -> Value {
    json!({"class": trogdor_faults::FILE_SYSTEM, "durationMs": 600_000, "nodeNames": ["node0"],
           "mountPath": mount, "targetPath": target, "faults": [
               {"type": "unreadable", "prefix": "/x", "code": 5},
               {"type": "error", "operations": ["mkdir"], "error": "EROFS"}]})
}

fn ended_well(state: &Value) -> bool {
    state["error"].is_null() && state["status"]["node"] == "clean"
}

fn is_readable(mount: &Path) -> bool {
    std::fs::read(mount.join("x")).is_ok()
}

pub fn two_tasks_with_the_same_fault_do_not_break_each_other() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    std::fs::write(mounted.path("x"), "x")?;
    // Somebody else's fault, in the original's form.
    let others = json!({"type": "unreadable", "prefix": "/x", "errorCode": 5});
    mounted.set(&json!([others]))?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let workers = [(); 2].map(|()| node.create(&unreadable(&mounted.point, "x")));
    let [first, second] = workers;
    let (first, second) = (first?, second?);
    let status = node.wait_for(first, "Added fault task1")?;
    ensure!(status["steps"][0]["inForce"] == true && status["remarks"].is_null(), "{status}");
    node.wait_for(second, "Added fault task2")?;
    ensure!(mounted.faults()?.as_array().is_some_and(|faults| faults.len() == 3), "{}", mounted.faults()?);
    let written = &mounted.faults()?[1];
    ensure!(
        written["type"] == "unreadable" && written["prefix"] == "/x" && written["code"] == 5,
        "{written}"
    );

    let state = node.end(first)?;
    ensure!(ended_well(&state) && state["status"]["state"] == "Removed fault task1", "{state}");
    ensure!(mounted.faults()?.as_array().is_some_and(|faults| faults.len() == 2), "{}", mounted.faults()?);
    ensure!(!is_readable(&mounted.seen));
    // What others do meanwhile stays.
    let left = mounted.faults()?[1].clone();
    mounted.set(&json!([left]))?;
    ensure!(!is_readable(&mounted.seen));
    let state = node.end(second)?;
    ensure!(ended_well(&state), "{state}");
    ensure!(is_readable(&mounted.seen) && mounted.faults()? == json!([]));
    node.shut_down()?;
    mounted.end()
}

pub fn a_control_file_that_is_missing_or_goes_away_is_told_and_does_no_harm() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let plain = space.folder().join("plain");
    std::fs::create_dir(&plain)?;
    let mut refused = |spec: Value| -> anyhow::Result<String> {
        let worker = node.create(&spec)?;
        let state = node.wait_done(worker)?;
        Ok(state["error"].as_str().context("no error")?.to_owned())
    };
    let missing = format!("Can't find file {}/kibosh_control", plain.display());
    let error = refused(unreadable(&plain, "/x"))?;
    ensure!(error == missing, "{error}");
    let mut none = unreadable(&plain, "/x");
    none["errorCode"] = json!(0);
    let error = refused(none)?;
    ensure!(error.contains("errorCode: 0 is no error"), "{error}");

    // A control file that nobody serves: the original's own tests have such ones.
    std::fs::write(plain.join(CONTROL), "{}")?;
    let worker = node.create(&unreadable(&plain, "/x"))?;
    let status = node.wait_for(worker, "Added fault")?;
    ensure!(status["remarks"].to_string().contains("nobody may follow"), "{status}");
    ensure!(faults(&plain)?[0]["code"] == 5, "{}", faults(&plain)?);
    let state = node.end(worker)?;
    ensure!(ended_well(&state), "{state}");
    ensure!(std::fs::read_to_string(plain.join(CONTROL))? == "{\"faults\":[]}");

    // The file system ends before the fault does, in order or not; it is looked for each time.
    for signal in [Signal::INT, Signal::KILL] {
        let mounted = Mounted::new(&space, "mount", "shown")?;
        let worker = node.create(&unreadable(&mounted.point, "/x"))?;
        node.wait_for(worker, "Added fault")?;
        mounted.server.signal(signal);
        let point = mounted.point.clone();
        mounted.server.wait()?;
        let state = node.end(worker)?;
        ensure!(state["status"]["node"] == "clean" && node.journals().is_empty(), "{state}");
        ensure!(state["error"].as_str().is_some_and(|error| error.contains("any more")), "{state}");
        let worker = node.create(&unreadable(&point, "/x"))?;
        let state = node.wait_done(worker)?;
        ensure!(state["error"].as_str().is_some_and(|error| error.contains("Can't find file")), "{state}");
        if signal == Signal::KILL {
            space.run(["umount", point.to_str().context("path")?])?;
        }
    }
    node.shut_down()
}

/// A directory with a file, a mount point, and both as seen by the test.
fn folders(space: &Space) -> anyhow::Result<(PathBuf, PathBuf, PathBuf)> {
    let (mount, target) = (space.folder().join("mount"), space.folder().join("target"));
    std::fs::create_dir_all(&mount)?;
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("x"), "x")?;
    let seen = inside(space, &mount);
    Ok((mount, target, seen))
}

pub fn a_file_system_is_mounted_for_as_long_as_the_task_runs() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (mount, target, seen) = folders(&space)?;
    let before = space.snapshot()?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    for place in [&mount, &target] {
        let seen = inside(&space, place);
        let worker = node.create(&mounting(place, &target))?;
        let status = node.wait_for(worker, "added file system faults")?;
        ensure!(status["totalSteps"] == 3, "{status}");
        ensure!(!is_readable(&seen) && std::fs::create_dir(seen.join("new")).is_err());
        // Another task's fault may come on top, and go first.
        let other = node.create(&unreadable(place, "/y"))?;
        node.wait_for(other, "Added fault")?;
        std::fs::write(seen.join("y"), "y")?;
        ensure!(std::fs::read(seen.join("y")).is_err());
        node.end(other)?;
        ensure!(std::fs::read(seen.join("y"))? == b"y");
        let held = std::fs::File::open(seen.join("y"))?;
        let state = node.end(worker)?;
        ensure!(ended_well(&state), "{state}");
        ensure!(space.snapshot()? == before);
        // What is open works on, without faults.
        let mut text = [0];
        std::os::unix::fs::FileExt::read_at(&held, &mut text, 0)?;
        ensure!(&text == b"y" && is_readable(&inside(&space, &target)));
        drop(held);
        until_no_server(&mount)?;
    }
    ensure!(!seen.join(CONTROL).exists());
    node.shut_down()
}

pub fn a_file_system_is_unmounted_whoever_dies() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (mount, target, seen) = folders(&space)?;
    let before = space.snapshot()?;

    // Its server.
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let worker = node.create(&mounting(&mount, &target))?;
    node.wait_for(worker, "added")?;
    kill_process(server(&mount).context("no server")?, Signal::KILL)?;
    until("its absence in the status", || {
        let status = node.state(worker)?["status"].to_string();
        Ok(status.contains("has ended").then_some(()))
    })?;
    ensure!(std::fs::read_dir(&seen).is_err_and(|error| error.raw_os_error() == Some(107)));
    let state = node.end(worker)?;
    ensure!(state["status"]["node"] == "clean", "{state}");
    ensure!(space.snapshot()? == before && node.journals().is_empty());

    // The agent, and then the reaper unmounts.
    let worker = node.create(&mounting(&target, &target))?;
    node.wait_for(worker, "added")?;
    ensure!(!is_readable(&inside(&space, &target)));
    node.kill();
    until_unmounted(&space)?;
    ensure!(space.snapshot()? == before && is_readable(&inside(&space, &target)));
    until_no_server(&target)?;

    // The agent freezes with a file of the mount in use, and its server is dead too.
    let lease = Duration::from_secs(1);
    let (mut node, _) = Node::start(&space, &NodeOptions { lease, ..NodeOptions::default() })?;
    let worker = node.create(&mounting(&mount, &target))?;
    node.wait_for(worker, "added")?;
    let held = std::fs::File::open(seen.join("x"))?;
    node.process().signal(Signal::STOP);
    kill_process(server(&mount).context("no server")?, Signal::KILL)?;
    until_unmounted(&space)?;
    node.process().signal(Signal::CONT);
    let state = node.wait_done(worker)?;
    ensure!(state["status"]["node"] == "clean", "{state}");
    drop(held);
    ensure!(space.snapshot()? == before);
    node.shut_down()
}

pub fn what_cannot_be_mounted_is_refused_with_all_reasons() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (mount, target, seen) = folders(&space)?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let mut refused = |spec: &Value| -> anyhow::Result<String> {
        let worker = node.create(spec)?;
        let state = node.wait_done(worker)?;
        ensure!(node.journals().is_empty() && state["status"]["node"] != "faulty", "{state}");
        Ok(state["error"].as_str().context("no error")?.to_owned())
    };
    let expect = |error: String, parts: &[&str]| -> anyhow::Result<()> {
        parts.iter().try_for_each(|part| {
            ensure!(error.contains(part), "{part:?} is not in {error:?}");
            Ok(())
        })
    };
    let error = refused(&mounting(&target.join("x"), &space.folder().join("nowhere")))?;
    expect(error, &["x is no directory", "nowhere: No such file"])?;
    expect(refused(&mounting(&target, space.folder()))?, &["lie in each other"])?;
    let mut nothing = mounting(&target, &target);
    nothing["faults"] = json!([]);
    expect(refused(&nothing)?, &["name at least one fault"])?;

    let user = space.start(["sh", "-c", "cd \"$1\" && read line", "sh", target.to_str().context("path")?])?;
    until("a process in the directory", || {
        let cwd = std::fs::read_link(format!("/proc/{}/cwd", user.pid()))?;
        Ok((cwd == target).then_some(()))
    })?;
    expect(refused(&mounting(&target, &target))?, &["is in use", "(sh)", "before they start"])?;
    user.kill();

    let (disk, text) = (mount.join("disk"), |path: &Path| path.to_string_lossy().into_owned());
    std::fs::create_dir(&disk)?;
    space.run(["mount", "-t", "tmpfs", "none", &text(&disk)])?;
    expect(refused(&mounting(&mount, &target))?, &["would be hidden", "/disk"])?;
    space.run(["umount", &text(&disk)])?;

    // Without a target the file system has to be there, and to be ours for what only ours knows.
    let mut no_target = mounting(&mount, &target);
    no_target["targetPath"] = Value::Null;
    expect(refused(&no_target)?, &["Can't find file", "targetPath"])?;
    std::fs::write(mount.join(CONTROL), "{}")?;
    expect(refused(&no_target)?, &["not mounted by `trogdor faultfs`", "mkdir"])?;
    std::fs::remove_file(mount.join(CONTROL))?;

    let mounted = Mounted::new(&space, "mount", "target")?;
    expect(refused(&mounting(&mount, &target))?, &["overlaps", "trogdor-faultfs-mount"])?;
    expect(refused(&mounting(&disk, &target))?, &["overlaps"])?;
    let mut node = node;
    let worker = node.create(&no_target)?;
    node.wait_for(worker, "added")?;
    ensure!(!is_readable(&seen));
    node.end(worker)?;
    ensure!(is_readable(&seen));
    node.shut_down()?;
    mounted.end()
}

/// The server of a mount, by its pid on the host.
fn server(mount: &Path) -> Option<Pid> {
    let own = std::env::current_exe().ok()?;
    let pids =
        std::fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).find(|pid| {
        let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        let line = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        let mut words = line.split('\0');
        std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe == own)
            && words.any(|word| word == "faultfs")
            && words.any(|word| Path::new(word) == mount)
    })
}

fn until_no_server(mount: &Path) -> anyhow::Result<()> {
    until("the end of the server", || Ok(server(mount).is_none().then_some(())))
}
