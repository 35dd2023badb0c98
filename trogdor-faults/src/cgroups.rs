//! Control groups as far as freezing goes: where a process is, where that is mounted, who is inside.
//! A node may have the unified hierarchy (v2), the one of the v1 freezer, or both (hybrid); what is
//! there is found out at run time, from the table of mounts. Nothing is mounted here.

mod mounts;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::FaultError;
use crate::identity::ProcessId;
use crate::processes::{Process, Protected};
use mounts::Mount;

/// A hierarchy that can freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hierarchy {
    /// The unified one, with `cgroup.freeze` in each group.
    V2,
    /// That of the v1 freezer, with `freezer.state`.
    Freezer,
}

impl Hierarchy {
    /// In the order in which they are tried.
    pub(crate) const ALL: [Hierarchy; 2] = [Hierarchy::V2, Hierarchy::Freezer];
}

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroup {
    /// Its hierarchy.
    pub hierarchy: Hierarchy,
    /// Its path below the root of the hierarchy, as `/proc/PID/cgroup` shows it: `/a/b`.
    pub path: String,
    /// The cgroup namespace in which the path holds, as `/proc/self/ns/cgroup` names it.
    pub space: String,
}

/// Where cgroups are on this node.
#[derive(Debug)]
pub(crate) struct Layout {
    mounts: Vec<Mount>,
    space: String,
}

impl Layout {
    /// As it is now.
    pub(crate) fn here() -> Result<Layout, FaultError> {
        const MOUNTS: &str = "/proc/self/mountinfo";
        const SPACE: &str = "/proc/self/ns/cgroup";
        let table = fs::read_to_string(MOUNTS).map_err(FaultError::file("cannot read", MOUNTS))?;
        let space = fs::read_link(SPACE).map_err(FaultError::file("cannot read", SPACE))?;
        Ok(Layout { mounts: mounts::read(&table), space: space.to_string_lossy().into_owned() })
    }

    /// Whether a hierarchy is there at all.
    pub(crate) fn has(&self, hierarchy: Hierarchy) -> bool {
        self.mounts.iter().any(|mount| mount.hierarchy == hierarchy)
    }

    /// The group of a process; `None` if it has ended or the hierarchy is not there.
    pub(crate) fn of(&self, hierarchy: Hierarchy, process: ProcessId) -> Option<Cgroup> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).ok()?;
        let path = path_in(&text, hierarchy)?.to_owned();
        process.is_alive().then(|| Cgroup { hierarchy, path, space: self.space.clone() })
    }

    /// The group that a person means: by the path of its directory, or below the root of a hierarchy.
    pub(crate) fn named(&self, path: &str) -> Option<Cgroup> {
        let by_dir = self.mounts.iter().filter_map(|mount| {
            let below = Path::new(path).strip_prefix(&mount.point).ok()?.to_str()?;
            Some((mount.hierarchy, format!("{}/{below}", mount.root)))
        });
        let by_path = Hierarchy::ALL.map(|hierarchy| (hierarchy, path.to_owned()));
        let groups = by_dir.chain(by_path).map(|(hierarchy, path)| {
            let path = format!("/{}", path.trim_matches('/'));
            Cgroup { hierarchy, path, space: self.space.clone() }
        });
        groups.into_iter().find(|group| self.dir(group).is_ok_and(|dir| dir.join("cgroup.procs").is_file()))
    }

    /// The directory of a group, whether it is there or not.
    ///
    /// # Errors
    /// It cannot be reached from here.
    pub(crate) fn dir(&self, group: &Cgroup) -> Result<PathBuf, FaultError> {
        if group.space != self.space {
            return Err(FaultError::Other(format!(
                "the cgroup {} belongs to another cgroup namespace ({}, here is {})",
                group.path, group.space, self.space
            )));
        }
        let mounts = self.mounts.iter().filter(|mount| mount.hierarchy == group.hierarchy);
        mounts.rev().find_map(|mount| mount.dir(&group.path)).ok_or_else(|| {
            FaultError::Other(format!("the cgroup {} is below no mount that is seen from here", group.path))
        })
    }
}

impl Cgroup {
    /// The group of this name in it.
    pub(crate) fn child(&self, name: &str) -> Cgroup {
        let path = format!("{}/{name}", self.path.trim_end_matches('/'));
        Cgroup { path, ..self.clone() }
    }

    /// The group that it is in; itself if it is the root.
    pub(crate) fn parent(&self) -> Cgroup {
        let (before, _) = self.path.rsplit_once('/').unwrap_or_default();
        let path = if before.is_empty() { "/" } else { before };
        Cgroup { path: path.to_owned(), ..self.clone() }
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> Result<PathBuf, FaultError> {
        Layout::here()?.dir(self)
    }

    /// What tells it from a later group of the same name; `None` if it is not there.
    pub(crate) fn inode(&self) -> Result<Option<u64>, FaultError> {
        let dir = self.dir()?;
        present(fs::metadata(&dir).map(|meta| meta.ino()), &dir)
    }

    /// The processes in it, not in groups below; `None` if it is not there.
    pub(crate) fn members(&self) -> Result<Option<Vec<i32>>, FaultError> {
        let path = self.dir()?.join("cgroup.procs");
        let text = present(fs::read_to_string(&path), &path)?;
        Ok(text.map(|text| text.lines().filter_map(|line| line.parse().ok()).collect()))
    }

    /// Puts a process into it.
    pub(crate) fn take(&self, pid: i32) -> Result<(), FaultError> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// What one of its files says, without the end of the line; `None` if it is not there.
    pub(crate) fn read(&self, file: &str) -> Result<Option<String>, FaultError> {
        let path = self.dir()?.join(file);
        Ok(present(fs::read_to_string(&path), &path)?.map(|text| text.trim_end().to_owned()))
    }

    /// Writes one of its files, and never makes one: outside of a cgroup that would be a plain file.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<(), FaultError> {
        let path = self.dir()?.join(file);
        let opened = fs::OpenOptions::new().write(true).open(&path);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(FaultError::file(
            "cannot write (run the agent as root, or delegate the cgroup to it)",
            path,
        ))
    }

    /// Whether its processes are frozen, by itself or by a group above.
    pub(crate) fn is_frozen(&self) -> Result<bool, FaultError> {
        Ok(match self.hierarchy {
            Hierarchy::V2 => {
                self.read("cgroup.events")?.is_some_and(|text| text.lines().any(|line| line == "frozen 1"))
            }
            Hierarchy::Freezer => self.read("freezer.state")?.is_some_and(|text| text != "THAWED"),
        })
    }

    /// Everybody in it and in the groups below; a pid of 0 stands for each of another pid namespace.
    pub(crate) fn population(&self) -> Result<Vec<i32>, FaultError> {
        let mut pids = Vec::new();
        let mut dirs = vec![self.dir()?];
        while let Some(dir) = dirs.pop() {
            let path = dir.join("cgroup.procs");
            let text = match fs::read_to_string(&path) {
                // A group of threads does not tell its processes; the group above does.
                Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => String::new(),
                text => present(text, &path)?.unwrap_or_default(),
            };
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            let entries = fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok);
            dirs.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        Ok(pids)
    }

    /// Why it must not be frozen: one sentence for everybody in it or below who is protected.
    pub(crate) fn protected(&self, protected: &Protected) -> Result<Vec<String>, FaultError> {
        let mut reasons = Vec::new();
        if self.path == "/" {
            reasons.push(format!("the cgroup {self} is the root of its hierarchy"));
        }
        for pid in self.population()? {
            let process = Process::of(pid);
            let why = process.as_ref().and_then(|process| Some((process.name(), protected.why(process)?)));
            if let Some((name, why)) = why {
                reasons.push(format!("the cgroup {self} holds process {pid} ({name}): {why}"));
            } else if pid == 0 {
                reasons.push(format!("the cgroup {self} holds processes that cannot be seen from here"));
            }
        }
        reasons.dedup();
        Ok(reasons)
    }
}

impl std::fmt::Display for Cgroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.hierarchy {
            Hierarchy::V2 => "v2",
            Hierarchy::Freezer => "v1 freezer",
        };
        write!(f, "{} ({kind})", self.path)
    }
}

/// The path of a process in a hierarchy: lines `ID:CONTROLLERS:PATH` (cgroups(7)).
fn path_in(text: &str, hierarchy: Hierarchy) -> Option<&str> {
    text.lines().find_map(|line| {
        let (id, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = match hierarchy {
            Hierarchy::V2 => id == "0" && controllers.is_empty(),
            Hierarchy::Freezer => controllers.split(',').any(|controller| controller == "freezer"),
        };
        is_it.then_some(path)
    })
}

/// Turns the absence of a file, or of the group that it belonged to, into `None`.
fn present<T>(read: io::Result<T>, path: &Path) -> Result<Option<T>, FaultError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
        Err(error) => Err(FaultError::file("cannot read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_process_is_found_in_every_layout() {
        let hybrid = "12:cpu,cpuacct:/x\n6:foo,freezer:/a\n1:name=systemd:/y\n0::/a/b:c\n";
        let rows = [
            (hybrid, Some("/a/b:c"), Some("/a")),
            ("0::/only\n", Some("/only"), None),
            ("3:freezer:/\n2:cpu:/x\n", None, Some("/")),
            ("5:notfreezer:/z\n", None, None),
            ("", None, None),
        ];
        for (text, v2, freezer) in rows {
            assert_eq!(path_in(text, Hierarchy::V2), v2, "{text:?}");
            assert_eq!(path_in(text, Hierarchy::Freezer), freezer, "{text:?}");
        }
    }

    #[test]
    fn a_group_is_found_by_its_directory_and_never_outside_of_its_namespace() {
        let mount = |hierarchy, root: &str, point: &str| Mount {
            hierarchy,
            root: root.to_owned(),
            point: PathBuf::from(point),
        };
        let layout = Layout {
            mounts: vec![mount(Hierarchy::V2, "/docker/1", "/sys/fs/cgroup")],
            space: "cgroup:[1]".to_owned(),
        };
        let group = |path: &str| Cgroup {
            hierarchy: Hierarchy::V2,
            path: path.to_owned(),
            space: "cgroup:[1]".to_owned(),
        };
        let dir = |path: &str| layout.dir(&group(path)).ok();
        assert_eq!(dir("/docker/1/a/b"), Some(PathBuf::from("/sys/fs/cgroup/a/b")));
        assert_eq!(dir("/docker/1"), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(dir("/docker/11"), None);
        assert_eq!(dir("/docker/1/../2"), None);
        assert!(layout.dir(&Cgroup { hierarchy: Hierarchy::Freezer, ..group("/docker/1") }).is_err());
        let elsewhere = Cgroup { space: "cgroup:[2]".to_owned(), ..group("/docker/1") };
        assert!(layout.dir(&elsewhere).unwrap_err().to_string().contains("another cgroup namespace"));
    }

    #[test]
    fn families_of_groups() {
        let root = Cgroup { hierarchy: Hierarchy::V2, path: "/".to_owned(), space: String::new() };
        assert_eq!(root.child("x").path, "/x");
        assert_eq!(root.child("x").child("y").path, "/x/y");
        assert_eq!(root.child("x").child("y").parent().path, "/x");
        assert_eq!(root.child("x").parent(), root);
    }
}
