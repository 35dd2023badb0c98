//! CPU quotas: which control groups a process is in, its own and those above, and what they say of their quotas. Both
//! versions of control groups, also side by side; groups above what is mounted here cannot be seen. Where groups
//! are is a pure function of two texts; nothing is mounted or written.

use std::fs;
use std::path::{Path, PathBuf};

/// The version of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// With a hierarchy for the `cpu` controller.
    V1,
    V2,
}

/// The control groups that may hold up a process, as of one look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Groups {
    /// What they were found by, as `/proc/self/cgroup` has it.
    cgroup: String,
    dirs: Vec<(Version, PathBuf)>,
}

/// What they say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Quotas {
    /// The narrowest quota, in CPUs.
    pub(super) cpus: Option<f64>,
    /// How long each group was held up so far, nanoseconds.
    pub(super) throttled_ns: Vec<Option<u64>>,
}

impl Groups {
    /// Those of this process; the table of mounts is read only if they are not the same as before.
    pub(super) fn here(before: &Groups) -> Groups {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cgroup = read("/proc/self/cgroup");
        match cgroup == before.cgroup {
            true => before.clone(),
            false => Groups::of(&cgroup, &settled(|| read("/proc/self/mountinfo"))),
        }
    }

    /// From the lines `ID:CONTROLLERS:PATH` of a process (cgroups(7)) and the table of mounts (proc(5)).
    fn of(cgroup: &str, mountinfo: &str) -> Groups {
        let mut groups = Groups { cgroup: cgroup.to_owned(), dirs: Vec::new() };
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let version = match controllers {
                "" => Version::V2,
                _ if has(controllers, "cpu") => Version::V1,
                _ => continue,
            };
            let mounts = mountinfo.lines().rev().filter_map(Mount::read);
            let places = mounts.filter(|mount| mount.version == version);
            let dirs = places.filter_map(|mount| mount.dirs(path)).next().unwrap_or_default();
            groups.dirs.extend(dirs.into_iter().map(|dir| (version, dir)));
        }
        groups
    }

    /// What they say now.
    pub(super) fn quotas(&self) -> Quotas {
        let mut quotas = Quotas::default();
        for (version, dir) in &self.dirs {
            let read = |file| fs::read_to_string(dir.join(file)).unwrap_or_default();
            let cpus = match version {
                Version::V1 => quota_v1(&read("cpu.cfs_quota_us"), &read("cpu.cfs_period_us")),
                Version::V2 => quota_v2(&read("cpu.max")),
            };
            quotas.cpus = [quotas.cpus, cpus].into_iter().flatten().reduce(f64::min);
            quotas.throttled_ns.push(throttled_ns(&read("cpu.stat")));
        }
        quotas
    }
}

/// What is read twice alike, or what is read last: while others mount something the kernel's table of mounts, which takes
/// several reads, can lack a line.
fn settled(read: impl Fn() -> String) -> String {
    const TRIES: usize = 10;
    let mut before = read();
    for _ in 1..TRIES {
        let now = read();
        if now == before {
            break;
        }
        before = now;
    }
    before
}

impl Quotas {
    /// How long the process was held up at most since an earlier look, nanoseconds. A group that holds up those
    /// below it counts beside them, so the largest one tells, not the sum.
    pub(super) fn throttled_since_ns(&self, earlier: &Quotas) -> Option<u64> {
        let pairs = self.throttled_ns.iter().zip(&earlier.throttled_ns);
        pairs.filter_map(|(now, then)| Some((*now)?.saturating_sub((*then)?))).max()
    }
}

/// A mounted hierarchy.
struct Mount<'a> {
    version: Version,
    /// Which of its groups is seen at the mount point.
    root: &'a str,
    point: &'a str,
}

impl Mount<'_> {
    /// `33 31 0:30 ROOT POINT OPTIONS … - TYPE SOURCE OPTIONS`.
    fn read(line: &str) -> Option<Mount<'_>> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let version = match (kind.next()?, kind.nth(1)?) {
            ("cgroup2", _) => Version::V2,
            ("cgroup", options) if has(options, "cpu") => Version::V1,
            _ => return None,
        };
        Some(Mount { version, root, point })
    }

    /// The directories of a group and those above it that are seen here, the group's own first.
    fn dirs(&self, path: &str) -> Option<Vec<PathBuf>> {
        let below = Path::new(path).strip_prefix(self.root).ok()?;
        let is_inside = !path.split('/').any(|part| part == "..");
        is_inside.then(|| below.ancestors().map(|below| Path::new(self.point).join(below)).collect())
    }
}

fn has(list: &str, name: &str) -> bool {
    list.split(',').any(|item| item == name)
}

/// `QUOTA PERIOD`, microseconds, or `max PERIOD`; the group at the root has no such file.
fn quota_v2(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.split_once(' ')?;
    quota_v1(quota, period)
}

/// -1 is no quota.
fn quota_v1(quota_us: &str, period_us: &str) -> Option<f64> {
    let (quota_us, period_us) = (quota_us.trim().parse::<f64>().ok()?, period_us.trim().parse::<f64>().ok()?);
    (quota_us > 0.0 && period_us > 0.0).then(|| quota_us / period_us)
}

/// From a `cpu.stat`: version 2 counts microseconds, version 1 nanoseconds.
fn throttled_ns(cpu_stat: &str) -> Option<u64> {
    cpu_stat.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        let unit_ns = match name {
            "throttled_usec" => 1000,
            "throttled_time" => 1,
            _ => return None,
        };
        Some(value.trim().parse::<u64>().ok()? * unit_ns)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const CONTAINER: &str =
        "1403 1402 0:29 /docker/1ac /sys/fs/cgroup/cpu ro,nosuid - cgroup cgroup rw,cpu\n";
    const UNIFIED: &str = "35 24 0:30 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn a_table_that_changes_while_it_is_read_is_read_again() {
        let reads = std::cell::RefCell::new(["a", "a b", "a", "a b", "a b", "a"].into_iter());
        assert_eq!(settled(|| reads.borrow_mut().next().unwrap().to_owned()), "a b");
        let count = std::cell::Cell::new(0);
        let restless = settled(|| {
            count.set(count.get() + 1);
            count.get().to_string()
        });
        assert_eq!(restless, "10", "it comes to an end");
    }

    #[test]
    fn groups_are_found_in_every_layout_with_those_above() {
        let in_hybrid = "9:name=systemd:/x\n4:cpuset:/y\n1:cpu,cpuacct:/a/b:c\n0::/u\n";
        let rows: [(&str, &str, &[&str]); 7] = [
            (
                in_hybrid,
                HYBRID,
                &[
                    "/sys/fs/cgroup/cpu,cpuacct/a/b:c",
                    "/sys/fs/cgroup/cpu,cpuacct/a",
                    "/sys/fs/cgroup/cpu,cpuacct/",
                    "/sys/fs/cgroup/unified/u",
                    "/sys/fs/cgroup/unified/",
                ],
            ),
            (
                "0::/system.slice/a.service\n",
                UNIFIED,
                &["/sys/fs/cgroup/system.slice/a.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/"],
            ),
            ("0::/\n", UNIFIED, &["/sys/fs/cgroup/"]),
            ("1:cpu:/docker/1ac/in\n", CONTAINER, &["/sys/fs/cgroup/cpu/in", "/sys/fs/cgroup/cpu/"]),
            // Another container's, and one outside of the namespace.
            ("1:cpu:/docker/1acd\n", CONTAINER, &[]),
            ("0::/../other\n", UNIFIED, &[]),
            ("", "", &[]),
        ];
        for (cgroup, mountinfo, expected) in rows {
            let found: Vec<_> = Groups::of(cgroup, mountinfo).dirs.into_iter().map(|(_, dir)| dir).collect();
            assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{cgroup:?}");
        }
    }

    #[test]
    fn quotas_are_read_in_both_forms() {
        assert_eq!(quota_v2("10000 100000\n"), Some(0.1));
        assert_eq!(quota_v2("max 100000\n"), None);
        assert_eq!(quota_v2(""), None);
        assert_eq!(quota_v1("150000\n", "100000\n"), Some(1.5));
        assert_eq!(quota_v1("-1\n", "100000\n"), None);
        assert_eq!(quota_v1("", ""), None);
    }

    #[test]
    fn throttling_is_read_in_both_forms() {
        let v2 =
            "usage_usec 2\nuser_usec 1\nsystem_usec 1\nnr_periods 7\nnr_throttled 5\nthrottled_usec 88\n";
        let v1 = "nr_periods 7\nnr_throttled 5\nthrottled_time 88000\nnr_bursts 0\nburst_time 0\n";
        let root_of_v2 = "usage_usec 2\nuser_usec 1\nsystem_usec 1\n";
        assert_eq!([v2, v1, root_of_v2, ""].map(throttled_ns), [Some(88_000), Some(88_000), None, None]);
    }

    #[test]
    fn the_group_that_was_held_up_most_tells() {
        let quotas =
            |throttled_ns: &[Option<u64>]| Quotas { cpus: None, throttled_ns: throttled_ns.to_vec() };
        let rows: [(&[_], &[_], _); 4] = [
            (&[Some(5), Some(100), None], &[Some(9), Some(102), None], Some(4)),
            (&[Some(5)], &[Some(5)], Some(0)),
            (&[None], &[None], None),
            (&[], &[], None),
        ];
        for (earlier, now, expected) in rows {
            assert_eq!(quotas(now).throttled_since_ns(&quotas(earlier)), expected, "{now:?}");
        }
    }

    #[test]
    fn what_is_on_disk_is_read_and_the_narrowest_quota_tells() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("cpu.max"), "200000 100000\n").unwrap();
        fs::write(own.join("cpu.stat"), "throttled_usec 7\n").unwrap();
        fs::write(folder.path().join("cpu.max"), "50000 100000\n").unwrap();
        let point = folder.path().display();
        let groups = Groups::of("0::/own\n", &format!("1 0 0:1 / {point} rw - cgroup2 cgroup2 rw\n"));
        let expected = Quotas { cpus: Some(0.5), throttled_ns: vec![Some(7000), None] };
        assert_eq!(groups.quotas(), expected);
    }
}
