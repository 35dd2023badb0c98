//! Virtual time of one thread: it passes when somebody pauses, and what is due then happens.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

struct Time {
    begin: Instant,
    passed: Duration,
    due: BTreeMap<Duration, Box<dyn FnOnce()>>,
}

thread_local! {
    static TIME: RefCell<Option<Time>> = const { RefCell::new(None) };
}

/// Begins at 0.
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time needs a first instant; nothing is measured by it"
)]
pub(super) fn start() {
    let time = Time { begin: Instant::now(), passed: Duration::ZERO, due: BTreeMap::new() };
    TIME.set(Some(time));
}

pub(super) fn stop() {
    TIME.set(None);
}

/// Now, if time is virtual here.
pub(crate) fn now() -> Option<Instant> {
    TIME.with_borrow(|time| time.as_ref().map(|time| time.begin + time.passed))
}

pub(super) fn passed() -> Duration {
    TIME.with_borrow(|time| time.as_ref().map_or(Duration::ZERO, |time| time.passed))
}

/// Lets time pass, if it is virtual here.
pub(crate) fn passes(pause: Duration) -> bool {
    let due = TIME.with_borrow_mut(|time| {
        let time = time.as_mut()?;
        time.passed += pause;
        let later = time.due.split_off(&(time.passed + Duration::from_nanos(1)));
        Some(std::mem::replace(&mut time.due, later))
    });
    let is_virtual = due.is_some();
    for happen in due.into_iter().flatten().map(|(_, happen)| happen) {
        happen();
    }
    is_virtual
}

/// Has something happen then.
pub(super) fn at(moment: Duration, happen: impl FnOnce() + 'static) {
    TIME.with_borrow_mut(|time| time.as_mut().map(|time| time.due.insert(moment, Box::new(happen))));
}

/// As if what passed since then had not.
pub(super) fn back_to(moment: Duration) {
    TIME.with_borrow_mut(|time| time.as_mut().map(|time| time.passed = moment));
}
