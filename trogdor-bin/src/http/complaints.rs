//! How often the log tells of those who are not let in: anybody can knock as often as they like. One line for each
//! address and minute, with the number of those that were left out before it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

const PERIOD_MS: u64 = 60_000;

/// How many addresses are told apart; all others share one line a minute.
const ADDRESSES_MAX: usize = 1024;

/// Of one address: when it was told of last, on the monotonic clock, and how many were left out since.
#[derive(Debug, Clone, Copy)]
struct Told {
    at_ms: u64,
    left_out: u64,
}

/// What was told of whom.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<(BTreeMap<IpAddr, Told>, Option<Told>)>);

impl Complaints {
    /// Whether to tell of this one; then how many were left out before it.
    pub(super) fn note(&self, address: IpAddr, now_ms: u64) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, others) = &mut *told;
        if !known.contains_key(&address) && known.len() >= ADDRESSES_MAX {
            // What was left out is told of, so those stay.
            known.retain(|_, told| told.left_out > 0 || now_ms < told.at_ms.saturating_add(PERIOD_MS));
        }
        let is_full = !known.contains_key(&address) && known.len() >= ADDRESSES_MAX;
        let before = if is_full { *others } else { known.get(&address).copied() };
        let (left_out, now) = match before {
            Some(told) if now_ms < told.at_ms.saturating_add(PERIOD_MS) => {
                (None, Told { left_out: told.left_out.saturating_add(1), ..told })
            }
            before => (Some(before.map_or(0, |told| told.left_out)), Told { at_ms: now_ms, left_out: 0 }),
        };
        match is_full {
            true => *others = Some(now),
            false => drop(known.insert(address, now)),
        }
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn each_address_is_told_of_once_a_minute_with_the_number_of_the_others() {
        let complaints = Complaints::default();
        let rows = [
            (1, 5, Some(0)),
            (1, 6, None),
            (2, 7, Some(0)),
            (1, 60_004, None),
            (1, 60_005, Some(2)),
            (1, 60_006, None),
            (1, 200_000, Some(1)),
            (1, 300_000, Some(0)),
        ];
        for (number, now_ms, expected) in rows {
            assert_eq!(complaints.note(address(number), now_ms), expected, "{number} at {now_ms}");
        }
    }

    #[test]
    fn many_addresses_cost_bounded_memory_and_lines() {
        let complaints = Complaints::default();
        let lines = (0..100_000).filter(|number| complaints.note(address(*number), 0).is_some()).count();
        assert_eq!(lines, ADDRESSES_MAX + 1);
        assert_eq!(complaints.0.lock().unwrap().0.len(), ADDRESSES_MAX);
        // A minute later there is room again.
        assert_eq!(complaints.note(address(200_000), PERIOD_MS), Some(0));
        assert_eq!(complaints.0.lock().unwrap().0.len(), 1);
    }
}
