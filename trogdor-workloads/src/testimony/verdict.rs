//! What a result is worth: a pure function of what was found. A result that says something of the cluster is valid;
//! all others name whose doing they are. The thresholds stand here, with their reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Testimony;
use crate::status::shortened;
use crate::trouble::Troubles;

/// With fewer samples not even one lies beyond the 99th percentile.
const SAMPLES_MIN: u64 = 100;

/// If more than this share of the slots was missed, the generator made the 99th percentile of the response time.
const MISSED_MAX: f64 = 0.01;

/// One alone is chance, however few slots there were.
const MISSED_MIN: u64 = 2;

/// If a quota held up the process for more than this share of the run, summed over CPUs, whatever was to happen
/// meanwhile, one in a hundred, happened too late. Without a quota it is 0, with one that suffices it is, too.
const THROTTLED_MAX: f64 = 0.01;

/// If hiccups took more than this share of the run, the client's own threads had them too, and rates are too low by as
/// much. Beside a broker at full rate on two CPUs it is less than one percent. (Where records are due at times
/// of their own, missed slots tell earlier.)
const STALLED_MAX: f64 = 0.05;

/// If the hypervisor took more than this share of all CPU time, rates are too low by as much. A busy host takes a
/// percent or two, so thinly spread that no slot is missed.
const STEAL_MAX: f64 = 0.05;

/// If a hot thread waited for a CPU for more than this share of the run, it was the CPU that was measured. At full rate
/// on two CPUs, where sender, client and broker are three who all want one, it waits for two fifths of the
/// time; beside somebody else's work for three quarters.
const RUN_QUEUE_MAX: f64 = 0.6;

/// What a result is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// It says something of the cluster.
    Valid,
    /// There are too few samples for percentiles.
    #[default]
    UnderSampled,
    /// The load generator, or what it runs on, made the figures.
    GeneratorLimited,
    /// The cluster could not be reached all the time.
    BrokerUnreachable,
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VerdictKind::Valid => "valid",
            VerdictKind::UnderSampled => "under-sampled",
            VerdictKind::GeneratorLimited => "generator-limited",
            VerdictKind::BrokerUnreachable => "broker-unreachable",
        })
    }
}

/// What a result is worth, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Verdict {
    /// The weightiest of what was found: an unreachable cluster, then a limited generator, then too few samples.
    pub result: VerdictKind,
    /// All that was found, in sentences, the weightiest first. What a valid result has here did not matter.
    pub evidence: Vec<String>,
}

/// What a verdict is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Evidence {
    /// Records that were delivered, or received.
    pub(crate) samples: u64,
    /// The sum of all intervals, and the slots.
    pub(crate) testimony: Testimony,
    /// What the client said when it lost its cluster, or why it never had it.
    pub(crate) contact_lost: Option<String>,
    /// Records that failed, or whose fate is unknown, without a broker having said so.
    pub(crate) lost: u64,
    /// Why the cluster could not be reached at first, though it could before anything was due.
    pub(crate) late_start: Option<String>,
}

impl Evidence {
    /// What a client says of its contact to the cluster.
    pub(crate) fn of(troubles: &Troubles) -> Evidence {
        Evidence {
            contact_lost: troubles.contact_lost(),
            late_start: troubles.contact_was_late(),
            ..Evidence::default()
        }
    }
}

/// What a result is worth.
pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let found = [
        (VerdictKind::BrokerUnreachable, unreachable(evidence)),
        (VerdictKind::GeneratorLimited, limits(&evidence.testimony)),
        (VerdictKind::UnderSampled, too_few(evidence.samples).into_iter().collect()),
    ];
    let weightiest = found.iter().find(|(_, sentences)| !sentences.is_empty());
    let result = weightiest.map_or(VerdictKind::Valid, |(kind, _)| *kind);
    let sentences = found.into_iter().flat_map(|(_, sentences)| sentences).chain(remarks(evidence));
    // There is one for each rule at most.
    Verdict { result, evidence: sentences.map(shortened).collect() }
}

fn unreachable(evidence: &Evidence) -> Vec<String> {
    let contact = evidence.contact_lost.as_ref().map(|text| format!("the cluster was out of reach: {text}"));
    let records = match evidence.lost {
        0 => None,
        lost => Some(format!("{lost} records were lost on the way, or have no answer")),
    };
    contact.into_iter().chain(records).collect()
}

/// What kept the generator from its work.
fn limits(told: &Testimony) -> Vec<String> {
    let run_ms = told.interval_ms;
    let cpu_time_ms = run_ms * told.cpus.unwrap_or(1);
    let slots = told.slots.unwrap_or(0);
    let missed = told.missed_slots.filter(|missed| *missed >= MISSED_MIN);
    let missed = share(missed, slots, MISSED_MAX).map(|(missed, share)| {
        format!("missed {missed} of {slots} slots ({share}): more than 10 ms late, with room in the client's queue")
    });
    let throttled = share(told.throttled_ms, run_ms, THROTTLED_MAX).map(|(ms, _)| {
        let quota =
            told.quota_cpus.map_or("a CPU quota".to_owned(), |cpus| format!("a quota of {cpus} CPUs"));
        format!("{quota} held it up for {ms} ms, summed over CPUs, in {run_ms} ms")
    });
    let stalled = share(Some(told.stalled_ms), run_ms, STALLED_MAX).map(|(ms, share)| {
        let worst_ms = told.hiccup_max_us / 1000;
        format!("it had hiccups for {ms} of {run_ms} ms ({share}), of up to {worst_ms} ms")
    });
    let run_queue = share(told.run_queue_ms, run_ms, RUN_QUEUE_MAX)
        .map(|(ms, share)| format!("its hot threads waited for a CPU for {ms} of {run_ms} ms ({share})"));
    let steal = share(told.steal_ms, cpu_time_ms, STEAL_MAX)
        .map(|(ms, share)| format!("the hypervisor took {ms} of {cpu_time_ms} ms of CPU time ({share})"));
    [missed, throttled, stalled, run_queue, steal].into_iter().flatten().collect()
}

/// A part of a whole, and its share in percent, if that is larger than it may be.
fn share(part: Option<u64>, whole: u64, max: f64) -> Option<(u64, String)> {
    let part = part?;
    let share = part as f64 / whole as f64;
    (part > 0 && share > max).then(|| (part, format!("{:.1} %", share * 100.0)))
}

fn too_few(samples: u64) -> Option<String> {
    let text = || format!("{samples} samples, where a 99th percentile needs {SAMPLES_MIN}");
    (samples < SAMPLES_MIN).then(text)
}

/// What is good to know, whatever the verdict.
fn remarks(evidence: &Evidence) -> impl Iterator<Item = String> {
    /// Of the run.
    const WORTH_TELLING: f64 = 0.01;
    let told = &evidence.testimony;
    let run_ms = told.interval_ms;
    let late_start = evidence.late_start.as_ref().map(|text| {
        format!("the cluster could not be reached at first, which held up the start and nothing that was due: {text}")
    });
    let full = share(told.queue_full_ms, run_ms, WORTH_TELLING).map(|(ms, share)| {
        format!("the client's queue was full for {ms} of {run_ms} ms ({share}): more was offered than the cluster took")
    });
    late_start.into_iter().chain(full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use VerdictKind::*;

    /// Ten seconds without anything to find.
    fn quiet() -> Evidence {
        let testimony = Testimony {
            interval_ms: 10_000,
            hiccup_max_us: 12_000,
            stalled_ms: 500,
            run_queue_ms: Some(6000),
            throttled_ms: Some(100),
            steal_ms: Some(1000),
            cpus: Some(2),
            slots: Some(10_000),
            missed_slots: Some(100),
            queue_full_ms: Some(100),
            ..Testimony::default()
        };
        Evidence { samples: 100, testimony, ..Evidence::default() }
    }

    fn told(change: impl Fn(&mut Testimony)) -> Evidence {
        let mut evidence = quiet();
        change(&mut evidence.testimony);
        evidence
    }

    #[test]
    fn each_rule_has_its_threshold_and_its_sentence() {
        let rows = [
            (quiet(), Valid, None),
            (
                Evidence { samples: 99, ..quiet() },
                UnderSampled,
                Some("99 samples, where a 99th percentile needs 100"),
            ),
            (
                told(|told| told.missed_slots = Some(101)),
                GeneratorLimited,
                Some(
                    "missed 101 of 10000 slots (1.0 %): more than 10 ms late, with room in the client's queue",
                ),
            ),
            (
                told(|told| (told.throttled_ms, told.quota_cpus) = (Some(101), Some(0.1))),
                GeneratorLimited,
                Some("a quota of 0.1 CPUs held it up for 101 ms, summed over CPUs, in 10000 ms"),
            ),
            (
                told(|told| told.throttled_ms = Some(19_000)),
                GeneratorLimited,
                Some("a CPU quota held it up for 19000 ms, summed over CPUs, in 10000 ms"),
            ),
            (
                told(|told| told.stalled_ms = 501),
                GeneratorLimited,
                Some("it had hiccups for 501 of 10000 ms (5.0 %), of up to 12 ms"),
            ),
            (
                told(|told| told.run_queue_ms = Some(6001)),
                GeneratorLimited,
                Some("its hot threads waited for a CPU for 6001 of 10000 ms (60.0 %)"),
            ),
            (
                told(|told| told.steal_ms = Some(1001)),
                GeneratorLimited,
                Some("the hypervisor took 1001 of 20000 ms of CPU time (5.0 %)"),
            ),
            (
                Evidence { contact_lost: Some("b:1: Connection refused".to_owned()), ..quiet() },
                BrokerUnreachable,
                Some("the cluster was out of reach: b:1: Connection refused"),
            ),
            (
                Evidence { lost: 7, ..quiet() },
                BrokerUnreachable,
                Some("7 records were lost on the way, or have no answer"),
            ),
            (
                told(|told| told.queue_full_ms = Some(101)),
                Valid,
                Some(
                    "the client's queue was full for 101 of 10000 ms (1.0 %): more was offered than the cluster took",
                ),
            ),
            (
                Evidence { late_start: Some("b:1: Connection refused".to_owned()), ..quiet() },
                Valid,
                Some(
                    "the cluster could not be reached at first, which held up the start and nothing that was due: \
                     b:1: Connection refused",
                ),
            ),
        ];
        for (evidence, result, sentence) in rows {
            let sentences = sentence.map(str::to_owned).into_iter().collect();
            assert_eq!(judge(&evidence), Verdict { result, evidence: sentences }, "{evidence:?}");
        }
    }

    #[test]
    fn the_weightiest_finding_decides_and_all_are_told() {
        let mut all = Evidence { samples: 0, ..told(|told| told.missed_slots = Some(5000)) };
        all.contact_lost = Some("b:1: Connection refused".to_owned());
        let kinds = |evidence: &Evidence| (judge(evidence).result, judge(evidence).evidence.len());
        assert_eq!(kinds(&all), (BrokerUnreachable, 3));
        assert_eq!(kinds(&Evidence { contact_lost: None, ..all.clone() }), (GeneratorLimited, 2));
        // One missed slot of a few is no reason to speak of the generator.
        let one = |told: &mut Testimony| (told.slots, told.missed_slots) = (Some(50), Some(1));
        assert_eq!(kinds(&Evidence { samples: 50, ..told(one) }), (UnderSampled, 1));
        let few = Evidence { testimony: quiet().testimony, contact_lost: None, ..all };
        assert_eq!(kinds(&few), (UnderSampled, 1));
    }

    #[test]
    fn what_is_absent_is_no_evidence() {
        let testimony = Testimony { interval_ms: 10_000, ..Testimony::default() };
        assert_eq!(judge(&Evidence { samples: 100, testimony, ..Evidence::default() }).evidence, [""; 0]);
        assert_eq!(judge(&Evidence::default()).result, UnderSampled);
        // Of a run without any time a slot can be missed all the same.
        let testimony = Testimony { slots: Some(2), missed_slots: Some(2), ..Testimony::default() };
        assert_eq!(
            judge(&Evidence { samples: 100, testimony, ..Evidence::default() }).result,
            GeneratorLimited
        );
    }

    #[test]
    fn verdicts_travel_as_the_text_says() {
        let verdict = Verdict { result: GeneratorLimited, evidence: vec!["x".to_owned()] };
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(text, r#"{"result":"generator-limited","evidence":["x"]}"#);
        assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
        for kind in [Valid, UnderSampled, GeneratorLimited, BrokerUnreachable] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
        assert_eq!(shortened("é".repeat(1000)).chars().count(), 301);
    }
}
