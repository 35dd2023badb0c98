//! Throughput generators: they bound how many messages a producer sends in each window of time. The
//! windows are those of the Java original: all of a window's messages may go at its beginning, and
//! a window that went by without them is not made up for. Nothing here sleeps or reads a clock.

use serde::{Deserialize, Serialize};
use trogdor_core::json::{Family, Field, Kind, Object};

use super::java_random::{JavaRandom, gaussian_at_least_one};

/// How many messages go in a window, as it stands in a spec.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ThroughputGenerator {
    /// Equally many in each window.
    Constant {
        /// Messages in a window; 0 or less: as many as are taken.
        #[serde(default)]
        messages_per_window: i32,
        /// Length of a window, in ms; 0 or less is read as 100.
        #[serde(default = "default_window_ms", with = "window_ms")]
        window_size_ms: i64,
    },
    /// Normally distributed, at least one.
    Gaussian {
        /// Average of the messages in a window.
        #[serde(default)]
        messages_per_window_average: i32,
        /// Standard deviation of the messages in a window.
        #[serde(default)]
        messages_per_window_deviation: f64,
        /// How many windows keep a number; 1 or less: each has a number of its own.
        #[serde(default)]
        windows_until_rate_change: i32,
        /// Length of a window, in ms; 0 or less is read as 100.
        #[serde(default = "default_window_ms", with = "window_ms")]
        window_size_ms: i64,
    },
}

const DEFAULT_WINDOW_MS: i64 = 100;

fn default_window_ms() -> i64 {
    DEFAULT_WINDOW_MS
}

fn effective_window_ms(given_ms: i64) -> i64 {
    if given_ms <= 0 { DEFAULT_WINDOW_MS } else { given_ms }
}

/// The length of a window, which is read and written as what it means.
mod window_ms {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::effective_window_ms;

    pub(super) fn serialize<S: Serializer>(given_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        effective_window_ms(*given_ms).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        i64::deserialize(deserializer).map(effective_window_ms)
    }
}

impl ThroughputGenerator {
    /// The running form; its first window begins at 0. The seed matters to gaussian numbers alone,
    /// which the original draws anew in each run.
    pub fn start(&self, seed: i64) -> Windows {
        let mut random = JavaRandom::new(seed);
        Windows {
            generator: *self,
            limit: self.draw(&mut random),
            random,
            windows_with_limit: 1,
            start_ns: 0,
            sent: 0,
            counts: WindowCounts { begun: 1, ..WindowCounts::default() },
        }
    }

    /// Whether as many messages go as are taken. Windows mean nothing then.
    pub fn is_unlimited(&self) -> bool {
        matches!(self, ThroughputGenerator::Constant { messages_per_window: ..=0, .. })
    }

    /// Messages in a window.
    fn draw(&self, random: &mut JavaRandom) -> u64 {
        match *self {
            ThroughputGenerator::Constant { messages_per_window, .. } => {
                if messages_per_window > 0 {
                    messages_per_window.unsigned_abs().into()
                } else {
                    u64::MAX
                }
            }
            ThroughputGenerator::Gaussian {
                messages_per_window_average,
                messages_per_window_deviation,
                ..
            } => gaussian_at_least_one(random, messages_per_window_average, messages_per_window_deviation),
        }
    }

    fn window_ns(&self) -> u64 {
        let (ThroughputGenerator::Constant { window_size_ms, .. }
        | ThroughputGenerator::Gaussian { window_size_ms, .. }) = self;
        effective_window_ms(*window_size_ms).unsigned_abs().saturating_mul(1_000_000)
    }
}

/// The windows of a run, started with [`ThroughputGenerator::start`]. All times are nanoseconds
/// since the run began.
#[derive(Clone, Debug)]
pub struct Windows {
    generator: ThroughputGenerator,
    random: JavaRandom,
    /// Messages of the current window.
    limit: u64,
    /// How many windows had this limit, the current one included.
    windows_with_limit: i64,
    start_ns: u64,
    /// In the current window.
    sent: u64,
    counts: WindowCounts,
}

/// What became of the windows so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WindowCounts {
    /// Windows in which something could be sent, the current one included.
    pub begun: u64,
    /// Windows that went by while nothing could be sent, because something took so long.
    pub missed: u64,
    /// Windows that were begun and ended before all of their messages were sent.
    pub short: u64,
    /// The time that the windows take which something was sent in, and those before, in ns.
    pub covered_ns: u64,
}

impl Windows {
    /// When the next message may go: since the beginning of the current window, or from its end on,
    /// when all of its messages were sent.
    pub fn due_ns(&mut self, now_ns: u64) -> u64 {
        self.advance(now_ns);
        if self.sent < self.limit { self.start_ns } else { self.end_ns() }
    }

    /// A message was sent.
    pub fn sent(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.sent += 1;
        self.counts.covered_ns = self.end_ns();
    }

    /// What became of the windows so far.
    pub fn counts(&self) -> WindowCounts {
        self.counts
    }

    fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.generator.window_ns())
    }

    /// Goes on to the window that it is time for.
    fn advance(&mut self, now_ns: u64) {
        let windows = now_ns.saturating_sub(self.start_ns) / self.generator.window_ns();
        if windows == 0 {
            return;
        }
        self.start_ns += windows * self.generator.window_ns();
        self.counts.short += u64::from(self.sent < self.limit);
        self.counts.missed += windows - 1;
        self.counts.begun += 1;
        self.sent = 0;
        if self.windows_with_limit >= self.windows_until_rate_change() {
            self.limit = self.generator.draw(&mut self.random);
            self.windows_with_limit = 0;
        }
        self.windows_with_limit += 1;
    }

    fn windows_until_rate_change(&self) -> i64 {
        match self.generator {
            ThroughputGenerator::Constant { .. } => i64::MAX,
            ThroughputGenerator::Gaussian { windows_until_rate_change, .. } => {
                windows_until_rate_change.into()
            }
        }
    }
}

/// The throughput generators, told apart by `type`.
pub static THROUGHPUT: Family = Family {
    name: "throughput generator",
    tag: "type",
    members: &[("constant", &CONSTANT), ("gaussian", &GAUSSIAN)],
};

const WINDOW_SIZE_MS: Field =
    Field::new("windowSizeMs", Kind::Long, "100", "length of a window; 0 or less means 100");

static CONSTANT: Object = Object::new("constant throughput generator", CONSTANT_FIELDS);
const CONSTANT_FIELDS: &[Field] = &[
    Field::new(
        "messagesPerWindow",
        Kind::Int,
        "0",
        "number of records in a window; 0 or less: as many as are taken",
    )
    .unit("records"),
    WINDOW_SIZE_MS,
];

static GAUSSIAN: Object = Object::new("gaussian throughput generator", GAUSSIAN_FIELDS);
const GAUSSIAN_FIELDS: &[Field] = &[
    Field::new(
        "messagesPerWindowAverage",
        Kind::Int,
        "0",
        "average number of records in a window; none has less than one",
    )
    .unit("records"),
    Field::new(
        "messagesPerWindowDeviation",
        Kind::Double,
        "0.0",
        "standard deviation of the number of records in a window",
    )
    .unit("records"),
    Field::new(
        "windowsUntilRateChange",
        Kind::Int,
        "0",
        "number of windows that keep a number of records; 1 or less: each window has a number of its own",
    )
    .unit("windows"),
    WINDOW_SIZE_MS,
];

#[cfg(test)]
mod tests {
    use trogdor_core::json::{NoClasses, read, to_java_string};

    use super::*;

    fn parsed(text: &str) -> Result<ThroughputGenerator, String> {
        let value = read(text.as_bytes(), &Kind::Family(&THROUGHPUT), &NoClasses);
        Ok(serde_json::from_value(value.map_err(|problems| problems.0[0].text.clone())?).unwrap())
    }

    fn constant(messages_per_window: i32, window_size_ms: i64) -> ThroughputGenerator {
        ThroughputGenerator::Constant { messages_per_window, window_size_ms }
    }

    fn gaussian(average: i32, deviation: f64, windows: i32) -> ThroughputGenerator {
        ThroughputGenerator::Gaussian {
            messages_per_window_average: average,
            messages_per_window_deviation: deviation,
            windows_until_rate_change: windows,
            window_size_ms: 10,
        }
    }

    const MS: u64 = 1_000_000;

    /// Sends whenever it may until a time; each message takes this long. When each one was sent.
    fn times_ms(windows: &mut Windows, until_ms: u64, takes_ms: u64) -> Vec<u64> {
        let (mut now_ms, mut sent) = (0, Vec::new());
        loop {
            let due_ns = windows.due_ns(now_ms * MS);
            now_ms = now_ms.max(due_ns / MS);
            if now_ms >= until_ms {
                return sent;
            }
            sent.push(now_ms);
            now_ms += takes_ms;
            windows.sent(now_ms * MS);
        }
    }

    #[test]
    fn all_messages_of_a_window_may_go_at_its_beginning() {
        let mut windows = constant(3, 100).start(0);
        assert_eq!(times_ms(&mut windows, 300, 0), [0, 0, 0, 100, 100, 100, 200, 200, 200]);
        let counts = WindowCounts { begun: 3, missed: 0, short: 0, covered_ns: 300 * MS };
        assert_eq!(windows.counts(), counts);
    }

    #[test]
    fn windows_keep_their_places_whatever_a_message_takes() {
        let mut windows = constant(2, 100).start(0);
        // Two messages take 60 ms; the rest of each window is waited for.
        assert_eq!(times_ms(&mut windows, 250, 30), [0, 30, 100, 130, 200, 230]);
    }

    #[test]
    fn a_missed_window_is_not_made_up_for() {
        let mut windows = constant(2, 100).start(0);
        let rows = [
            // Now; when the next message is due; whether it is sent then.
            (0, 0, true),
            (10, 0, true),
            (20, 100, false),
            // Windows 1 and 2 are missed; window 3 has two messages, not six.
            (350, 300, true),
            (360, 300, true),
            (361, 400, false),
            // The message of window 4 takes until window 6 and counts there, as the original does.
            (400, 400, false),
        ];
        for (now_ms, due_ms, is_sent) in rows {
            assert_eq!(windows.due_ns(now_ms * MS), due_ms * MS, "at {now_ms}");
            if is_sent {
                windows.sent(now_ms * MS);
            }
        }
        windows.sent(610 * MS);
        assert_eq!(windows.due_ns(620 * MS), 600 * MS);
        windows.sent(620 * MS);
        assert_eq!(windows.due_ns(630 * MS), 700 * MS);
        let counts = WindowCounts { begun: 4, missed: 3, short: 1, covered_ns: 700 * MS };
        assert_eq!(windows.counts(), counts);
    }

    #[test]
    fn without_a_positive_number_nothing_is_bounded() {
        for messages in [0, -1, i32::MIN] {
            assert!(constant(messages, 100).is_unlimited());
            let mut windows = constant(messages, 100).start(0);
            for now_ms in [0, 1, 99, 100, 5_000] {
                assert!(windows.due_ns(now_ms * MS) <= now_ms * MS);
                windows.sent(now_ms * MS);
            }
        }
        assert!(!constant(1, 100).is_unlimited());
        assert!(!gaussian(0, 0.0, 0).is_unlimited());
    }

    /// The numbers of messages in consecutive windows.
    fn limits(generator: ThroughputGenerator, seed: i64, count: usize) -> Vec<usize> {
        let mut windows = generator.start(seed);
        let sent = times_ms(&mut windows, 10 * count as u64, 0);
        (0..count as u64).map(|window| sent.iter().filter(|at| **at / 10 == window).count()).collect()
    }

    #[test]
    fn gaussian_numbers_are_cut_towards_zero_added_to_the_average_and_at_least_one() {
        // The draws of seed 42 are 1.14, 0.92, -0.95.
        assert_eq!(limits(gaussian(20, 10.0, 1), 42, 3), [31, 29, 11]);
        assert_eq!(limits(gaussian(0, 1.0, 1), 42, 3), [1, 1, 1]);
        assert_eq!(limits(gaussian(5, 1.0, 1), 42, 3), [6, 5, 5]);
        assert_eq!(limits(gaussian(3, -10.0, 1), 42, 3), [1, 1, 12]);
        assert_eq!(limits(gaussian(-7, 0.0, 1), 42, 3), [1, 1, 1]);
        assert_eq!(limits(gaussian(3, f64::NAN, 1), 42, 3), [3, 3, 3]);
    }

    #[test]
    fn a_gaussian_number_is_kept_for_its_windows_and_drawn_again_by_the_same_seed() {
        let kept = limits(gaussian(20, 10.0, 3), 42, 9);
        assert_eq!(kept, [31, 31, 31, 29, 29, 29, 11, 11, 11]);
        let each = limits(gaussian(20, 10.0, 1), 42, 9);
        for windows in [i32::MIN, -1, 0] {
            assert_eq!(limits(gaussian(20, 10.0, windows), 42, 9), each);
        }
        assert_ne!(limits(gaussian(20, 10.0, 1), 43, 9), each);
    }

    #[test]
    fn numbers_at_the_ends_of_their_ranges_do_no_harm() {
        let mut longest = constant(1, i64::MAX).start(0);
        longest.sent(u64::MAX / 2);
        assert_eq!(longest.due_ns(u64::MAX - 1), u64::MAX);
        let mut most = gaussian(i32::MAX, 1e300, 1).start(42);
        assert_eq!((most.limit, most.due_ns(0)), (i32::MAX as u64, 0));
        let mut shortest = constant(1, 1).start(0);
        shortest.sent(u64::MAX);
        assert_eq!(shortest.due_ns(u64::MAX), u64::MAX);
    }

    #[test]
    fn generators_are_written_as_the_original_writes_them() {
        let rows = [
            (r#"{"type":"constant"}"#, r#"{"type":"constant","messagesPerWindow":0,"windowSizeMs":100}"#),
            (
                r#"{"windowSizeMs":"7","type":"constant","messagesPerWindow":-4.9}"#,
                r#"{"type":"constant","messagesPerWindow":-4,"windowSizeMs":7}"#,
            ),
            (
                r#"{"type":"constant","messagesPerWindow":null,"windowSizeMs":9223372036854775807}"#,
                r#"{"type":"constant","messagesPerWindow":0,"windowSizeMs":9223372036854775807}"#,
            ),
            (
                r#"{"type":"gaussian"}"#,
                r#"{"type":"gaussian","messagesPerWindowAverage":0,"messagesPerWindowDeviation":0.0,"windowsUntilRateChange":0,"windowSizeMs":100}"#,
            ),
            (
                r#"{"type":"gaussian","windowSizeMs":-5,"messagesPerWindowDeviation":1,"windowsUntilRateChange":-1,"messagesPerWindowAverage":"-7"}"#,
                r#"{"type":"gaussian","messagesPerWindowAverage":-7,"messagesPerWindowDeviation":1.0,"windowsUntilRateChange":-1,"windowSizeMs":100}"#,
            ),
        ];
        for (text, expected) in rows {
            let generator = parsed(text).unwrap();
            assert_eq!(to_java_string(&generator), expected, "{text}");
            assert_eq!(parsed(expected), Ok(generator), "{text}");
        }
        assert_eq!(
            to_java_string(&constant(5, 0)),
            r#"{"type":"constant","messagesPerWindow":5,"windowSizeMs":100}"#
        );
    }

    #[test]
    fn the_names_in_the_originals_comments_are_refused_and_the_right_ones_named() {
        let error = parsed(r#"{"type":"constant","messagesPerSecond":4}"#).unwrap_err();
        assert!(error.contains("messagesPerSecond") && error.contains("messagesPerWindow"), "{error}");
        let error = parsed(r#"{"type":"gaussian","messagesPerSecondAverage":4}"#).unwrap_err();
        assert!(error.contains("messagesPerWindowAverage"), "{error}");
        assert!(parsed("{}").is_err());
    }
}
