//! How much memory bodies may take in all, of all connections together, and how much when they are read. What is short costs nothing and is always
//! taken; what is long and finds no room is refused at once, so that nobody who is slow makes others wait.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Up to this length a body is free, bytes.
pub(super) const FREE: usize = 64 << 10;

/// What is counted in, bytes.
const UNIT: usize = 1 << 10;

/// Whether a document could have more values than this. One that is read takes some hundred bytes for each value, so
/// that a list of zeros takes fifty times its length. Texts are not looked into: what could be a value counts as one.
pub(super) fn has_more_values(document: &[u8], max: usize) -> bool {
    document.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).nth(max).is_some()
}

/// So much memory for long bodies.
#[derive(Debug)]
pub(super) struct Budget {
    units: Semaphore,
    max: u32,
}

impl Budget {
    pub(super) const fn of_kib(max: u32) -> Budget {
        Budget { units: Semaphore::const_new(max as usize), max }
    }

    /// Takes what a body of a length needs beyond what is held already; false if there is no room. One that is
    /// larger than the whole budget needs all of it.
    pub(super) fn grow(&'static self, held: &mut Share, len: usize) -> bool {
        let wanted = if len <= FREE { 0 } else { u32::try_from(len.div_ceil(UNIT)).unwrap_or(u32::MAX) };
        let more = wanted.min(self.max).saturating_sub(held.units);
        if more == 0 {
            return true;
        }
        let Ok(permit) = self.units.try_acquire_many(more) else { return false };
        held.units += more;
        match &mut held.permit {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        true
    }
}

/// A body's part of a budget, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Share {
    permit: Option<SemaphorePermit<'static>>,
    units: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_by_what_is_before_them() {
        assert!(!has_more_values(b"[0,0,0]", 3) && has_more_values(b"[0,0,0]", 2));
        assert!(has_more_values(br#"{"a":{"b":[]}}"#, 2));
    }

    #[test]
    fn what_is_long_takes_its_share_and_what_is_short_is_free() {
        static BUDGET: Budget = Budget::of_kib(200);
        let (mut first, mut second) = (Share::default(), Share::default());
        assert!(BUDGET.grow(&mut first, 100 << 10) && BUDGET.grow(&mut first, 150 << 10));
        assert!(BUDGET.grow(&mut second, FREE), "free");
        assert!(!BUDGET.grow(&mut second, FREE + 1));
        drop(first);
        assert!(BUDGET.grow(&mut second, usize::MAX), "one alone is never too long");
        assert!(!BUDGET.grow(&mut Share::default(), FREE + 1));
        assert!(BUDGET.grow(&mut second, usize::MAX), "it has all");
    }
}
