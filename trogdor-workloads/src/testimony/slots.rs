//! Which records of a schedule came too late, and whose doing that was. A record is late by the generator's doing
//! unless the client had no room for it, or for one before it: that is the cluster's doing, or the buffer's.

use super::Testimony;

/// Lateness from which a slot is missed. Timers and busy neighbours cost a thread that keeps up some hundred
/// microseconds, at worst a few milliseconds; what is later shows in response times as if the cluster had been slow.
pub(super) const MISSED_NS: u64 = 10_000_000;

/// The slots of a schedule so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slots {
    due: u64,
    missed: u64,
    full_ns: u64,
    depth_max: u64,
    /// How much of the current lateness is not the generator's doing. It shrinks as that is caught up with.
    excused_ns: u64,
}

impl Slots {
    /// A record was handed over, so long after it was due.
    pub(crate) fn handed_over(&mut self, late_ns: u64) {
        self.due += 1;
        self.missed += u64::from(late_ns.saturating_sub(self.excused_ns) > MISSED_NS);
        self.excused_ns = self.excused_ns.min(late_ns);
    }

    /// The client's queue was full for so long, while a record was there.
    pub(crate) fn queue_was_full(&mut self, ns: u64) {
        self.full_ns += ns;
        self.excused_ns += ns;
    }

    /// The schedule stood still for so long because the spec says so: for a flush, or the end of a transaction.
    pub(crate) fn stood_still(&mut self, ns: u64) {
        self.excused_ns += ns;
    }

    /// So many records have no outcome yet.
    pub(crate) fn queued(&mut self, records: u64) {
        self.depth_max = self.depth_max.max(records);
    }

    /// Enters itself; `is_paced` tells whether records are due at times of their own.
    pub(crate) fn testify(&self, is_paced: bool, testimony: &mut Testimony) {
        testimony.slots = is_paced.then_some(self.due);
        testimony.missed_slots = is_paced.then_some(self.missed);
        testimony.queue_full_ms = Some(self.full_ns / 1_000_000);
        testimony.queue_depth_max = Some(self.depth_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    enum Event {
        Late(u64),
        Full(u64),
        Stood(u64),
    }
    use Event::*;

    #[test]
    fn only_what_the_generator_is_late_by_is_missed() {
        let rows: [(&str, &[Event], u64); 8] = [
            ("in time", &[Late(0), Late(10)], 0),
            ("late", &[Late(11), Late(10), Late(40)], 2),
            ("no room", &[Late(0), Full(500), Late(500), Late(499), Late(300), Late(0)], 0),
            ("late before there was no room", &[Full(500), Late(511)], 1),
            ("late again after it was caught up with", &[Full(500), Late(500), Late(0), Late(11)], 1),
            ("held up while it caught up", &[Full(500), Late(500), Late(200), Late(250)], 1),
            ("no room twice", &[Full(5), Late(5), Full(20), Late(25)], 0),
            ("a flush", &[Stood(100), Late(100), Late(20), Late(31)], 1),
        ];
        for (name, events, missed) in rows {
            let mut slots = Slots::default();
            for event in events {
                match event {
                    Late(ms) => slots.handed_over(ms * MS),
                    Full(ms) => slots.queue_was_full(ms * MS),
                    Stood(ms) => slots.stood_still(ms * MS),
                }
            }
            let mut testimony = Testimony::default();
            slots.testify(true, &mut testimony);
            let due = events.iter().filter(|event| matches!(event, Late(_))).count() as u64;
            let full: u64 = events.iter().map(|event| if let Full(ms) = event { *ms } else { 0 }).sum();
            let found = (testimony.missed_slots, testimony.slots, testimony.queue_full_ms);
            assert_eq!(found, (Some(missed), Some(due), Some(full)), "{name}");
        }
    }

    #[test]
    fn without_a_schedule_nothing_is_missed() {
        let mut testimony = Testimony::default();
        let mut slots = Slots::default();
        slots.queued(5);
        slots.queued(3);
        slots.testify(false, &mut testimony);
        assert_eq!(
            (testimony.slots, testimony.missed_slots, testimony.queue_depth_max),
            (None, None, Some(5))
        );
    }
}
