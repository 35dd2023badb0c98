//! The table of mounts, `/proc/self/mountinfo` (proc_pid_mountinfo(5)), as far as it is about cgroups.

use std::path::{Component, Path, PathBuf};

use super::Hierarchy;

/// A mount of a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) hierarchy: Hierarchy,
    /// The group that is mounted, by its path in the hierarchy.
    pub(super) root: String,
    /// Where.
    pub(super) point: PathBuf,
}

impl Mount {
    /// The directory of the group with this path; `None` if it is not below this mount.
    pub(super) fn dir(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        // The kernel writes `/../x` for a group outside of the reader's cgroup namespace.
        if path.components().any(|part| part == Component::ParentDir) {
            return None;
        }
        path.strip_prefix(&self.root).ok().map(|below| {
            // Joining nothing would add a slash.
            if below.as_os_str().is_empty() { self.point.clone() } else { self.point.join(below) }
        })
    }
}

/// The mounts of the hierarchies that can freeze, in the order of the table.
pub(super) fn read(table: &str) -> Vec<Mount> {
    table.lines().filter_map(mount).collect()
}

/// One line: `36 35 98:0 ROOT POINT options [fields …] - TYPE source SUPER`.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    let after: Vec<&str> = after.split(' ').collect();
    let hierarchy = match *after.first()? {
        "cgroup2" => Hierarchy::V2,
        "cgroup" if after.get(2)?.split(',').any(|option| option == "freezer") => Hierarchy::Freezer,
        _ => return None,
    };
    Some(Mount {
        hierarchy,
        root: unescaped(before.get(3)?),
        point: PathBuf::from(unescaped(before.get(4)?)),
    })
}

/// Blanks, tabs, line ends and backslashes are written as `\040` and so on.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut found = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                found.push(char::from(code));
                found.push_str(&part[3..]);
            }
            None => {
                found.push('\\');
                found.push_str(part);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(table: &str) -> Vec<(Hierarchy, String, String)> {
        let shown = |mount: Mount| (mount.hierarchy, mount.root, mount.point.display().to_string());
        read(table).into_iter().map(shown).collect()
    }

    fn row(hierarchy: Hierarchy, root: &str, point: &str) -> (Hierarchy, String, String) {
        (hierarchy, root.to_owned(), point.to_owned())
    }

    #[test]
    fn the_hierarchies_are_found_in_every_layout() {
        let hybrid = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";
        let expected = [
            row(Hierarchy::Freezer, "/", "/sys/fs/cgroup/freezer"),
            row(Hierarchy::V2, "/", "/sys/fs/cgroup/unified"),
        ];
        assert_eq!(found(hybrid), expected);
        let unified = "29 23 0:26 /docker/a\\040b /mnt/c\\134d ro,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(found(unified), [row(Hierarchy::V2, "/docker/a b", "/mnt/c\\d")]);
        assert_eq!(found("22 1 8:1 / / rw - ext4 /dev/root rw\nrubbish\n"), []);
    }

    #[test]
    fn odd_escapes_are_kept() {
        assert_eq!(unescaped("a\\040b\\x\\"), "a b\\x\\");
    }
}
