//! Measurements: what workers record while they run, how it travels, and how it is put together.
//! A worker records [`Interval`]s of about a second, each with the histograms of what happened in it;
//! they are merged exactly, over workers, tasks and time. What is measured, and when, is the
//! workloads' business; nothing here reads a clock.

mod clocks;
mod encoded;
mod end_to_end;
mod interval;
mod latencies;
mod measured;
mod recorder;
mod recording;

pub use clocks::{ClockBounds, ClockError, ClockResponse};
pub use encoded::{EncodedLatencies, NotAHistogram};
pub use interval::{Interval, counts, figures};
pub use latencies::{Latencies, LatencySummary};
pub use measured::Measured;
pub use recorder::{Recorder, RecorderBoard};
pub use recording::{CLOCK, Cursor, Notice, Recording, RecordingPart};
