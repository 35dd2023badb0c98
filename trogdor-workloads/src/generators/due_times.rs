//! The due times of arrivals as arithmetic: record `i` is due when the integral of the rate over time has
//! come to `i`; at random times, after `i + 1` gaps. No clock is read, nothing is made up for or forgotten.
//! Floats carry it: to the nanosecond within some months, and never backwards.

use super::arrivals::{ArrivalStep, Arrivals};
use super::position_random::PositionRandom;

/// When records are due, started with [`Arrivals::start`].
#[derive(Debug, Clone)]
pub struct DueTimes(Form);

#[derive(Debug, Clone)]
enum Form {
    Ramp(Ramp),
    Steps(Steps),
    Poisson(Poisson),
}

impl DueTimes {
    /// Starts arrivals that have no problems.
    pub(super) fn of(arrivals: &Arrivals, sender: u64) -> DueTimes {
        DueTimes(match *arrivals {
            Arrivals::Constant { messages_per_sec } => {
                Form::Ramp(Ramp { from: messages_per_sec, to: messages_per_sec, length_s: 1.0 })
            }
            Arrivals::Ramp { from_messages_per_sec: from, to_messages_per_sec: to, ramp_ms } => {
                Form::Ramp(Ramp { from, to, length_s: seconds(ramp_ms) })
            }
            Arrivals::Steps { ref steps, repeat } => Form::Steps(Steps::new(steps, repeat)),
            Arrivals::Poisson { messages_per_sec, seed } => {
                Form::Poisson(Poisson::new(messages_per_sec, seed.wrapping_add(sender.cast_signed())))
            }
            Arrivals::OnOff { messages_per_sec, on_ms, off_ms } => {
                let on = ArrivalStep { messages_per_sec, duration_ms: on_ms };
                let off = ArrivalStep { messages_per_sec: 0.0, duration_ms: off_ms };
                Form::Steps(Steps::new(&[on, off], true))
            }
        })
    }

    /// When record `index` (from 0) is due, nanoseconds after the start of sending; at the end of time if
    /// that is later. At random times it takes a step per record from the one that was [passed](Self::pass)
    /// last, otherwise it is as quick for any record.
    pub fn due_ns(&self, index: u64) -> u64 {
        match &self.0 {
            Form::Ramp(ramp) => ns(ramp.due_s(index as f64)),
            Form::Steps(steps) => ns(steps.due_s(index as f64)),
            Form::Poisson(poisson) => poisson.at(index).due_ns,
        }
    }

    /// Notes that records before `index` will not be asked for any more.
    pub fn pass(&mut self, index: u64) {
        if let Form::Poisson(poisson) = &mut self.0 {
            *poisson = poisson.at(index);
        }
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

fn ns(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// The rate changes evenly from one to another, which holds from then on. All rates are per second.
#[derive(Debug, Clone, Copy)]
struct Ramp {
    from: f64,
    to: f64,
    length_s: f64,
}

impl Ramp {
    fn due_s(&self, index: f64) -> f64 {
        let Ramp { from, to, length_s } = *self;
        let records = (from + to) / 2.0 * length_s;
        if index >= records {
            return length_s + (index - records) / to;
        }
        if index == 0.0 {
            return 0.0;
        }
        // from · t + slope / 2 · t² = index, solved for t in the form that subtracts nothing.
        let slope = (to - from) / length_s;
        let root = (from * from + 2.0 * slope * index).max(0.0).sqrt();
        (2.0 * index / (from + root)).min(length_s)
    }
}

/// The rate is one after another for a time each; then the last one holds, or all of it begins again.
#[derive(Debug, Clone)]
struct Steps {
    /// Those in which records are due; at least one.
    steps: Vec<Step>,
    /// Records and seconds of a round, where rounds repeat.
    round: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    /// The number of records due before it in its round.
    first: f64,
    start_s: f64,
    /// Infinite for one that holds.
    end_s: f64,
    per_sec: f64,
}

/// A share of a record, which rounding may take away: one that is due where a step ends belongs to the next.
const ROUNDING: f64 = 1e-9;

impl Steps {
    fn new(given: &[ArrivalStep], repeat: bool) -> Steps {
        let mut steps = Vec::with_capacity(given.len());
        let (mut first, mut start_s) = (0.0, 0.0);
        for step in given {
            let (per_sec, end_s) = (step.messages_per_sec, start_s + seconds(step.duration_ms));
            if per_sec > 0.0 {
                steps.push(Step { first, start_s, end_s, per_sec });
            }
            first += per_sec * seconds(step.duration_ms);
            start_s = end_s;
        }
        if let Some(last) = steps.last_mut().filter(|_| !repeat) {
            last.end_s = f64::INFINITY;
        }
        Steps { steps, round: repeat.then_some((first, start_s)) }
    }

    fn due_s(&self, index: f64) -> f64 {
        let (rounds_s, within) = match self.round {
            None => (0.0, index),
            Some((records, length_s)) => {
                let rounds = ((index + ROUNDING * records.min(1.0)) / records).floor();
                (rounds * length_s, (index - rounds * records).clamp(0.0, records))
            }
        };
        let step = self.steps.partition_point(|step| step.first <= within + ROUNDING);
        let step = self.steps[step.saturating_sub(1)];
        let within_s = step.start_s + (within - step.first).max(0.0) / step.per_sec;
        rounds_s + within_s.min(step.end_s)
    }
}

/// At random: the gap before each record is exponential, a function of the seed and the record.
#[derive(Debug, Clone, Copy)]
struct Poisson {
    mean_gap_ns: f64,
    seed: i64,
    index: u64,
    /// When the record of this index is due.
    due_ns: u64,
    /// What is missing to the true sum of the gaps, below 1 ns.
    rest_ns: f64,
}

impl Poisson {
    fn new(per_sec: f64, seed: i64) -> Poisson {
        Poisson { mean_gap_ns: 1e9 / per_sec, seed, index: 0, due_ns: 0, rest_ns: 0.0 }.after_gap()
    }

    /// Gone on, or back, to a record.
    fn at(self, index: u64) -> Poisson {
        let mut from =
            if index < self.index { Poisson::new(1e9 / self.mean_gap_ns, self.seed) } else { self };
        while from.index < index {
            from.index += 1;
            from = from.after_gap();
        }
        from
    }

    /// With the gap before the record.
    fn after_gap(mut self) -> Poisson {
        let fraction = PositionRandom::at(self.seed, self.index).next_fraction();
        let sum = self.rest_ns - fraction.ln() * self.mean_gap_ns;
        self.due_ns = self.due_ns.saturating_add(sum as u64);
        self.rest_ns = if sum.is_finite() { sum.fract() } else { 0.0 };
        self
    }
}

#[cfg(test)]
mod tests;
