//! The faults in force, and what they say to an operation. A set never changes; a new one takes over
//! from the old one what each fault that stays has counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use serde_json::{Map, Value};
use trogdor_core::json::{Kind, NoClasses, Problems, read};

use super::form::FileFault;
use super::operation::{Operation, Operations};
use super::rule::{Corruption, Effect, Rule, random};
use super::tables::CONTROL;

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct FaultSet {
    faults: Vec<Arc<InForce>>,
    /// The operations that any of them hits.
    operations: Operations,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct InForce {
    /// As it was written: other programs compare it with what they wrote.
    json: Value,
    rule: Rule,
    /// How many operations fitted.
    seen: AtomicU64,
    /// How many were hit.
    hit: AtomicU64,
    /// How many bytes a full disk has left.
    left: AtomicI64,
}

/// What is to happen to an operation.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The delays that hit it.
    pub(crate) delays: Vec<Arc<InForce>>,
    pub(crate) error: Option<Errno>,
    /// With a seed.
    pub(crate) corruption: Option<(Corruption, u64)>,
}

impl FaultSet {
    /// The set that a text for the control file describes.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(text: &[u8], before: &FaultSet) -> Result<FaultSet, Problems> {
        let form = read(text, &Kind::Object(&CONTROL), &NoClasses)?;
        let forms = form["faults"].as_array().cloned().unwrap_or_default();
        let written = written(text);
        let mut old = before.faults.clone();
        let mut faults = Vec::new();
        for (at, form) in forms.into_iter().enumerate() {
            let json = written.get(at).cloned().unwrap_or_else(|| form.clone());
            // The tables have refused all that has no rule.
            let Some(rule) = serde_json::from_value::<FileFault>(form).ok().and_then(|f| f.rule().ok())
            else {
                continue;
            };
            let same = old.iter().position(|fault| fault.json == json && fault.rule == rule);
            faults.push(match same {
                Some(at) => old.swap_remove(at),
                None => Arc::new(InForce::new(json, rule)),
            });
        }
        let operations = faults.iter().map(|fault| fault.rule.operations);
        let operations = operations.fold(Operations::default(), Operations::and);
        Ok(FaultSet { faults, operations })
    }

    /// The text of the control file.
    pub(crate) fn text(&self) -> String {
        let faults: Vec<&Value> = self.faults.iter().map(|fault| &fault.json).collect();
        let mut text = serde_json::json!({ "faults": faults }).to_string();
        text.push('\n');
        text
    }

    /// The operations that any of the faults may hit.
    pub(crate) fn operations(&self) -> Operations {
        self.operations
    }

    /// Whether a fault is one of them.
    pub(crate) fn holds(&self, fault: &Arc<InForce>) -> bool {
        self.faults.iter().any(|held| Arc::ptr_eq(held, fault))
    }

    /// What is to happen to an operation; `path` is asked for only if somebody wants to know.
    pub(crate) fn judge(&self, operation: Operation, path: impl FnOnce() -> Vec<u8>) -> Verdict {
        let mut verdict = Verdict::default();
        if !self.operations.contains(operation) {
            return verdict;
        }
        let path = path();
        for fault in &self.faults {
            if !fault.rule.operations.contains(operation) || !fault.rule.fits(&path) {
                continue;
            }
            let Some(n) = fault.strike() else { continue };
            match &fault.rule.effect {
                Effect::Fail(errno) => {
                    verdict.error.get_or_insert(*errno);
                }
                Effect::Delay(_) => verdict.delays.push(fault.clone()),
                Effect::Corrupt { corruption, before_drop } => {
                    let is_over = before_drop.is_some_and(|before_drop| n >= before_drop);
                    let corruption = if is_over { Corruption::Drop } else { *corruption };
                    verdict.corruption.get_or_insert((corruption, random(fault.rule.seed, n)));
                }
                Effect::DiskFull { .. } => {}
            }
        }
        verdict
    }

    /// Whether there is no fault at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether any fault changes bytes.
    pub(crate) fn corrupts(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.rule.effect, Effect::Corrupt { .. }))
    }

    /// Whether any disk is to fill up.
    pub(crate) fn has_full_disk(&self) -> bool {
        self.full_disks().next().is_some()
    }

    /// How much more files may grow; `None` if nothing limits it.
    pub(crate) fn space(&self) -> Option<u64> {
        self.full_disks().map(|(fault, _)| fault.left().max(0).cast_unsigned()).min()
    }

    /// Takes space for a growth of so many bytes, or as many as there are; the caller lets no two
    /// threads do so at once.
    ///
    /// # Errors
    /// There is none left.
    pub(crate) fn take(&self, bytes: u64) -> Result<u64, Errno> {
        let tightest = self.full_disks().min_by_key(|(fault, _)| fault.left());
        let Some((fault, errno)) = tightest else { return Ok(bytes) };
        let left = fault.left().max(0).cast_unsigned();
        if left == 0 && bytes > 0 {
            return Err(errno);
        }
        let taken = bytes.min(left);
        self.full_disks().for_each(|(fault, _)| fault.add(-taken.cast_signed()));
        Ok(taken)
    }

    /// Takes space for a growth of so many bytes, or none at all.
    ///
    /// # Errors
    /// There is less.
    pub(crate) fn take_all(&self, bytes: u64) -> Result<(), Errno> {
        match self.full_disks().min_by_key(|(fault, _)| fault.left()) {
            Some((fault, errno)) if fault.left().max(0).cast_unsigned() < bytes => Err(errno),
            _ => self.take(bytes).map(drop),
        }
    }

    /// Gives space back.
    pub(crate) fn give(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.full_disks().for_each(|(fault, _)| fault.add(bytes));
    }

    fn full_disks(&self) -> impl Iterator<Item = (&Arc<InForce>, Errno)> {
        self.faults.iter().filter_map(|fault| match fault.rule.effect {
            Effect::DiskFull { errno, .. } => Some((fault, errno)),
            _ => None,
        })
    }
}

impl InForce {
    fn new(json: Value, rule: Rule) -> InForce {
        let left = match rule.effect {
            Effect::DiskFull { bytes, .. } => i64::try_from(bytes).unwrap_or(i64::MAX),
            _ => 0,
        };
        let (seen, hit) = (AtomicU64::new(0), AtomicU64::new(0));
        InForce { json, rule, seen, hit, left: AtomicI64::new(left) }
    }

    /// By how much it delays.
    pub(crate) fn delay(&self) -> Duration {
        match self.rule.effect {
            Effect::Delay(delay_ms) => Duration::from_millis(delay_ms),
            _ => Duration::ZERO,
        }
    }

    /// Counts an operation that fits; the number of the hit if it is one, from 0.
    fn strike(&self) -> Option<u64> {
        if !self.rule.hits(self.seen.fetch_add(1, Ordering::Relaxed)) {
            return None;
        }
        let limit = self.rule.count.unwrap_or(u64::MAX);
        let more = |hit: u64| (hit < limit).then_some(hit + 1);
        self.hit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()
    }

    fn left(&self) -> i64 {
        self.left.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: i64) {
        let sum = |left: i64| Some(left.saturating_add(bytes));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }
}

/// The faults as they were written.
fn written(text: &[u8]) -> Vec<Value> {
    let whole: Map<String, Value> = serde_json::from_slice(text).unwrap_or_default();
    match whole.get("faults") {
        Some(Value::Array(faults)) => faults.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> FaultSet {
        FaultSet::read(text.as_bytes(), &FaultSet::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(set: &FaultSet, operation: Operation, path: &str) -> Option<i32> {
        set.judge(operation, || path.as_bytes().to_vec()).error.map(Errno::raw_os_error)
    }

    #[test]
    fn kiboshs_and_javas_forms_are_read_and_given_back_as_they_were_written() {
        let text = r#"{"faults":[{"type":"unreadable","prefix":"/a","suffix":".log","code":5},
            {"type":"unreadable","prefix":"b","errorCode":-13}]}"#;
        let set = set(text);
        assert_eq!(
            set.text(),
            "{\"faults\":[{\"type\":\"unreadable\",\"prefix\":\"/a\",\"suffix\":\".log\",\"code\":5},\
             {\"type\":\"unreadable\",\"prefix\":\"b\",\"errorCode\":-13}]}\n"
        );
        let rows = [
            (Operation::Read, "/a/x.log", Some(5)),
            (Operation::Read, "/a/x.log (deleted)", Some(5)),
            (Operation::Read, "/a/x.index", None),
            (Operation::Read, "/b/x", Some(13)),
            (Operation::Write, "/a/x.log", None),
            (Operation::Read, "/c", None),
        ];
        for (operation, path, expected) in rows {
            assert_eq!(error(&set, operation, path), expected, "{operation:?} {path}");
        }
        for empty in ["{}", r#"{"faults":[]}"#, r#"{"faults":null}"#] {
            assert_eq!(super::tests::set(empty).text(), "{\"faults\":[]}\n", "{empty}");
        }
    }

    #[test]
    fn all_problems_of_a_control_file_are_told_at_once() {
        let text = r#"{"faults":[
            {"type":"error","operations":["reed"]},
            {"type":"error","operations":["read"],"error":"EOOPS","probability":2},
            {"type":"unreadable","code":0},
            {"type":"delay","operations":[],"delayMs":-1,"prefx":"/"},
            {"type":"vanish"}],"fault":1}"#;
        let problems = FaultSet::read(text.as_bytes(), &FaultSet::default()).unwrap_err().to_string();
        for expected in ["reed", "EOOPS", "between 0 and 1", "0 is no error", "prefx", "vanish", "\"fault\""]
        {
            assert!(problems.contains(expected), "{expected} is not in {problems}");
        }
        assert!(FaultSet::read(b"", &FaultSet::default()).is_err());
        assert!(FaultSet::read(b"{\"faults\":[", &FaultSet::default()).is_err());
    }

    #[test]
    fn a_fault_is_spent_after_its_count_and_keeps_counting_when_others_come_and_go() {
        let spent = r#"{"type":"error","operations":["fsync"],"count":2}"#;
        let first = set(&format!("{{\"faults\":[{spent}]}}"));
        assert_eq!(error(&first, Operation::Fsync, "/x"), Some(5));
        let more = format!("{{\"faults\":[{{\"type\":\"diskFull\",\"bytes\":10}},{spent},{spent}]}}");
        let second = FaultSet::read(more.as_bytes(), &first).unwrap();
        let errors: Vec<_> = (0..4).map(|_| error(&second, Operation::Fsync, "/x").is_some()).collect();
        assert_eq!(errors, [true, true, false, false], "the first has one left, its equal two");
        assert_eq!(second.take(4), Ok(4));
        let third = FaultSet::read(br#"{"faults":[{"type":"diskFull","bytes":10}]}"#, &second).unwrap();
        assert_eq!(third.space(), Some(6));
    }

    #[test]
    fn the_fullest_disk_counts() {
        let set = set(
            r#"{"faults":[{"type":"diskFull","bytes":10,"error":"EDQUOT"},{"type":"diskFull","bytes":4}]}"#,
        );
        assert_eq!(set.space(), Some(4));
        assert_eq!(set.take(6), Ok(4));
        assert_eq!(set.take(1).map_err(Errno::raw_os_error), Err(28));
        assert_eq!(set.take(0), Ok(0));
        set.give(100);
        assert_eq!(set.take(1000), Ok(100));
        assert_eq!(FaultSet::default().take(7), Ok(7));
    }
}
