//! How dates, durations, tables and task states look in print, to the blank as the original prints
//! them. Nothing is written here, and no clock is read: the zone is an argument.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use trogdor_core::{TaskId, TaskState, WorkerState};

/// An ISO-8601 date with the offset that the zone has *at that date*: `2019-01-09T02:29:29.85+05:30`.
/// Seconds are always there, a fraction only if it is not zero and without trailing zeros.
pub fn date(ms: i64, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(ms) else {
        // Specs may ask for a start millions of years away.
        return format!("{ms} ms since 1970");
    };
    let offset = zone.to_offset(timestamp);
    let local = offset.to_datetime(timestamp);
    let mut text = local.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let fraction = format!("{:03}", ms.rem_euclid(1000));
    match fraction.trim_end_matches('0') {
        "" => {}
        digits => text.extend([".", digits]),
    }
    text + &offset_text(offset)
}

fn offset_text(offset: Offset) -> String {
    if offset == Offset::UTC {
        return "Z".to_owned();
    }
    let (sign, seconds) = (if offset.is_negative() { '-' } else { '+' }, offset.seconds().unsigned_abs());
    let text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    match seconds % 60 {
        0 => text,
        rest => format!("{text}:{rest:02}"),
    }
}

/// Hours, minutes and seconds without those that are zero: `2h1s`. Hours do not become days,
/// milliseconds are cut off, and negative durations stay in seconds.
pub fn duration(ms: i64) -> String {
    let seconds = ms / 1000;
    if seconds <= 0 {
        return format!("{seconds}s");
    }
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    parts.iter().filter(|(count, _)| *count > 0).fold(String::new(), |mut text, (count, unit)| {
        let _ = write!(text, "{count}{unit}");
        text
    })
}

/// Rows of cells, each padded to the longest cell of its column and one blank more, the last column
/// too; each row ends its line.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 1;
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:width$}");
        }
        text.push('\n');
    }
    text
}

/// What `showTask` says first.
pub fn task_line(id: &TaskId, state: &TaskState, zone: &TimeZone) -> String {
    let (class, name) = (state.spec().class(), state.name());
    format!("Task {id} of type {class} is {name}. {}\n", task_info(state, zone))
}

/// When a task starts, runs or ran.
pub fn task_info(state: &TaskState, zone: &TimeZone) -> String {
    match state {
        TaskState::Pending { spec, .. } => format!("Will start at {}", date(spec.start_ms(), zone)),
        TaskState::Running { spec, started_ms, .. } => {
            format!("Started {}; will stop after {}", date(*started_ms, zone), duration(spec.duration_ms()))
        }
        TaskState::Stopping { started_ms, .. } => format!("Started {}", date(*started_ms, zone)),
        TaskState::Done { started_ms, done_ms, error, cancelled, .. } => {
            let end = match (error.is_empty(), cancelled) {
                (false, _) => "FAILED",
                (true, true) => "CANCELLED",
                (true, false) => "FINISHED",
            };
            let done = date(*done_ms, zone);
            match started_ms {
                ..0 => format!("{end} at {done} before it started"),
                _ => format!("{end} at {done} after {}", duration(done_ms.saturating_sub(*started_ms))),
            }
        }
    }
}

/// A worker's state by the class name that the original prints; scripts look for it.
pub fn worker_state_name(state: &WorkerState) -> &'static str {
    match state {
        WorkerState::Receiving { .. } => "WorkerReceiving",
        WorkerState::Starting { .. } => "WorkerStarting",
        WorkerState::Running { .. } => "WorkerRunning",
        WorkerState::Stopping { .. } => "WorkerStopping",
        WorkerState::Done { .. } => "WorkerDone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use trogdor_core::Spec;

    fn fixed(seconds: i32) -> TimeZone {
        TimeZone::fixed(Offset::from_seconds(seconds).unwrap())
    }

    #[test]
    fn dates_have_seconds_and_as_much_fraction_as_they_need() {
        let rows = [
            (1_546_981_169_850, 0, "2019-01-08T20:59:29.85Z"),
            (1_546_981_169_000, 19_800, "2019-01-09T02:29:29+05:30"),
            (1_546_981_140_000, -12_600, "2019-01-08T17:29:00-03:30"),
            (1_546_981_169_007, 1_050, "2019-01-08T21:16:59.007+00:17:30"),
            (-1, 0, "1969-12-31T23:59:59.999Z"),
            (0, 0, "1970-01-01T00:00:00Z"),
            (i64::MAX, 0, "9223372036854775807 ms since 1970"),
        ];
        for (ms, offset, expected) in rows {
            assert_eq!(date(ms, &fixed(offset)), expected);
        }
    }

    #[test]
    fn the_offset_is_the_one_in_force_at_the_date() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(date(1_704_103_200_000, &zone), "2024-01-01T11:00:00+01:00");
        assert_eq!(date(1_719_828_000_000, &zone), "2024-07-01T12:00:00+02:00");
    }

    #[test]
    fn durations_leave_out_what_is_zero() {
        let rows = [
            (0, "0s"),
            (999, "0s"),
            (60_000, "1m"),
            (61_200, "1m1s"),
            (7_201_000, "2h1s"),
            (86_400_000, "24h"),
            (-70_000, "-70s"),
            (-999, "0s"),
            (1_000_000_000_000_000, "277777777h46m40s"),
        ];
        for (ms, expected) in rows {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_one_blank() {
        let rows = [["ANIMAL", "NUMBER", "INDEX"], ["lion", "1", "12345"], ["manatée", "50", "1"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "ANIMAL  NUMBER INDEX \nlion    1      12345 \nmanatée 50     1     \n");
    }

    #[test]
    fn each_state_tells_its_times() {
        let spec = || Spec::from(json!({"class": "x.NoOp", "startMs": 1000, "durationMs": 61_000}));
        let done = |started_ms, error: &str, cancelled| TaskState::Done {
            spec: spec(),
            started_ms,
            done_ms: 3_500,
            error: error.to_owned(),
            cancelled,
            status: Value::Null,
        };
        let rows = [
            (TaskState::Pending { spec: spec(), status: Value::Null }, "Will start at 1970-01-01T00:00:01Z"),
            (
                TaskState::Running { spec: spec(), started_ms: 1_500, status: Value::Null },
                "Started 1970-01-01T00:00:01.5Z; will stop after 1m1s",
            ),
            (
                TaskState::Stopping { spec: spec(), started_ms: 1_500, status: Value::Null },
                "Started 1970-01-01T00:00:01.5Z",
            ),
            (done(1_500, "", false), "FINISHED at 1970-01-01T00:00:03.5Z after 2s"),
            (done(1_500, "", true), "CANCELLED at 1970-01-01T00:00:03.5Z after 2s"),
            (done(1_500, "bad", true), "FAILED at 1970-01-01T00:00:03.5Z after 2s"),
            (done(-1, "bad", false), "FAILED at 1970-01-01T00:00:03.5Z before it started"),
            (done(-1, "", true), "CANCELLED at 1970-01-01T00:00:03.5Z before it started"),
        ];
        for (state, expected) in rows {
            assert_eq!(task_info(&state, &TimeZone::UTC), expected);
        }
    }

    #[test]
    fn the_first_line_names_task_class_and_state() {
        let state = TaskState::Pending {
            spec: Spec::from(json!({"class": "x.NoOp", "startMs": 0})),
            status: Value::Null,
        };
        assert_eq!(
            task_line(&TaskId::from("t"), &state, &TimeZone::UTC),
            "Task t of type x.NoOp is PENDING. Will start at 1970-01-01T00:00:00Z\n"
        );
    }
}
