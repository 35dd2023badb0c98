//! What the kernel tells of CPUs and threads, read from the texts of its files. All pure: who reads the files, and
//! when, is decided elsewhere.

/// The CPUs of a node, from `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cpus {
    pub(super) count: u64,
    /// Ticks that the hypervisor gave to others; `None` where the kernel does not count them.
    pub(super) steal_ticks: Option<u64>,
}

impl Cpus {
    /// `None` if the text is not as expected.
    pub(super) fn read(stat: &str) -> Option<Cpus> {
        let mut lines = stat.lines().map_while(|line| line.strip_prefix("cpu"));
        // user nice system idle iowait irq softirq steal …
        let steal_ticks = lines.next()?.split_whitespace().nth(7).and_then(|ticks| ticks.parse().ok());
        match lines.count() as u64 {
            0 => None,
            count => Some(Cpus { count, steal_ticks }),
        }
    }
}

/// How long a thread has waited for a CPU, nanoseconds, from its `schedstat`. A kernel that does not count it
/// writes zeros, which no running thread can have.
pub(super) fn run_queue_ns(schedstat: &str) -> Option<u64> {
    let mut fields = schedstat.split_whitespace().map(str::parse::<u64>);
    let (ran_ns, waited_ns) = (fields.next()?.ok()?, fields.next()?.ok()?);
    (ran_ns > 0).then_some(waited_ns)
}

/// The load of the last minute, from `/proc/loadavg`.
pub(super) fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_counted_where_it_is_told() {
        let rows = [
            (
                "cpu  3178407 561738 807830 2490148 24344 0 30953 3525 0 0\n\
                 cpu0 1559660 272757 395075 1296490 7931 0 13737 1760 0 0\n\
                 cpu1 1618747 288980 412755 1193658 16412 0 17216 1764 0 0\nintr 5 0 9\nctxt 7\n",
                Some((2, Some(3525))),
            ),
            ("cpu  10 0 5 100 2 0 1\ncpu0 10 0 5 100 2 0 1\nintr 5\n", Some((1, None))),
            ("cpu  10 0 5 100 2 0 1 9\n", None),
            ("intr 5\ncpu 1 2 3 4 5 6 7 8\n", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let found = Cpus::read(text).map(|cpus| (cpus.count, cpus.steal_ticks));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn waiting_is_told_from_a_kernel_that_does_not_count_it() {
        let rows = [
            ("26093 489601 2\n", Some(489_601)),
            ("5 0 1\n", Some(0)),
            ("0 0 0\n", None),
            ("x 1 2", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(run_queue_ns(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_load_is_that_of_a_minute() {
        assert_eq!(load("7.04 4.09 2.52 8/132 5578\n"), Some(7.04));
        assert_eq!(load(""), None);
    }
}
