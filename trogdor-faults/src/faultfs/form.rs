//! Faults of files in their JSON form: our own kinds, and those of Kibosh under Kibosh's names. The
//! same form stands in the control file and in specs; `docs/faults.md` describes it for users.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::errno::{errno, number_as_errno};
use super::operation::{Operation, Operations};
use super::rule::{Corruption, Effect, Rule};

/// One fault of files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum FileFault {
    /// Operations fail.
    Error(ErrorFault),
    /// Operations take longer.
    Delay(DelayFault),
    /// There is no space left.
    DiskFull(DiskFullFault),
    /// Kibosh: reads fail.
    #[serde(rename = "unreadable")]
    Unreadable(KiboshError),
    /// Kibosh: writes fail.
    #[serde(rename = "unwritable")]
    Unwritable(KiboshError),
    /// Kibosh: reads take longer.
    #[serde(rename = "read_delay")]
    ReadDelay(KiboshDelay),
    /// Kibosh: writes take longer.
    #[serde(rename = "write_delay")]
    WriteDelay(KiboshDelay),
    /// Kibosh: reads give something else than what is on the disk.
    #[serde(rename = "read_corrupt")]
    ReadCorrupt(KiboshCorrupt),
    /// Kibosh: something else is written than what was asked for.
    #[serde(rename = "write_corrupt")]
    WriteCorrupt(KiboshCorrupt),
}

/// What an operation has to be for a fault to hit it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hits {
    /// The operations, by name.
    pub operations: Vec<String>,
    /// How the path begins, seen from the mount point: `/topic-0/`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// How the path ends: `.log`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// The share of these operations that is hit, 0 to 1.
    #[serde(skip_serializing_if = "is_one")]
    pub probability: f64,
    /// How many operations are hit before the fault is spent; no limit if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Decides with `probability` which ones are hit.
    #[serde(skip_serializing_if = "is_zero")]
    pub seed: i64,
    /// Tells this fault from an equal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Default for Hits {
    fn default() -> Hits {
        Hits {
            operations: Vec::new(),
            prefix: String::new(),
            suffix: String::new(),
            probability: 1.0,
            count: None,
            seed: 0,
            id: None,
        }
    }
}

/// Operations that fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorFault {
    /// Which ones.
    #[serde(flatten)]
    pub hits: Hits,
    /// The error, by name or number.
    #[serde(default = "eio")]
    pub error: String,
}

/// Operations that take longer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DelayFault {
    /// Which ones.
    #[serde(flatten)]
    pub hits: Hits,
    /// By how much, milliseconds.
    #[serde(default)]
    pub delay_ms: i64,
}

/// A disk that fills up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DiskFullFault {
    /// By how many bytes files may still grow.
    pub bytes: i64,
    /// The error, by name or number.
    #[serde(skip_serializing_if = "is_enospc")]
    pub error: String,
    /// Tells this fault from an equal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Default for DiskFullFault {
    fn default() -> DiskFullFault {
        DiskFullFault { bytes: 0, error: "ENOSPC".to_owned(), id: None }
    }
}

/// Kibosh's `unreadable` and `unwritable`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KiboshError {
    /// How the path begins.
    pub prefix: String,
    /// How the path ends.
    pub suffix: String,
    /// The number of the error. The original writes `errorCode`, Kibosh reads only `code`.
    #[serde(alias = "errorCode")]
    pub code: i32,
    /// Tells this fault from an equal one; Kibosh keeps what it does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Kibosh's `read_delay` and `write_delay`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KiboshDelay {
    /// How the path begins.
    pub prefix: String,
    /// How the path ends.
    pub suffix: String,
    /// By how much, milliseconds.
    pub delay_ms: i64,
    /// The share of operations that is hit, 0 to 1.
    pub fraction: f64,
    /// Tells this fault from an equal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Default for KiboshDelay {
    fn default() -> KiboshDelay {
        KiboshDelay { prefix: String::new(), suffix: String::new(), delay_ms: 0, fraction: 1.0, id: None }
    }
}

/// Kibosh's `read_corrupt` and `write_corrupt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KiboshCorrupt {
    /// How the path begins.
    pub prefix: String,
    /// How the path ends.
    pub suffix: String,
    /// How bytes change: 1000 zeros, 1001 random bytes, 1100 zeros to the end, 1101 random bytes to
    /// the end, 1200 nothing to the end.
    pub mode: i32,
    /// The share of bytes that change, 0 to 1, for modes 1000 and 1001.
    pub fraction: f64,
    /// After so many operations all later ones lose bytes at their end (mode 1200); never if it is
    /// negative.
    pub count: i64,
    /// Tells this fault from an equal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Default for KiboshCorrupt {
    fn default() -> KiboshCorrupt {
        let none = String::new;
        KiboshCorrupt { prefix: none(), suffix: none(), mode: 0, fraction: 1.0, count: -1, id: None }
    }
}

/// A field and what is wrong with it.
pub(crate) type Finding = (&'static str, String);

impl FileFault {
    /// What tells it from an equal one.
    pub fn id(&self) -> Option<&str> {
        let id = match self {
            FileFault::Error(fault) => &fault.hits.id,
            FileFault::Delay(fault) => &fault.hits.id,
            FileFault::DiskFull(fault) => &fault.id,
            FileFault::Unreadable(fault) | FileFault::Unwritable(fault) => &fault.id,
            FileFault::ReadDelay(fault) | FileFault::WriteDelay(fault) => &fault.id,
            FileFault::ReadCorrupt(fault) | FileFault::WriteCorrupt(fault) => &fault.id,
        };
        id.as_deref()
    }

    /// The same with this id.
    #[must_use]
    pub fn with_id(mut self, new: impl Into<String>) -> FileFault {
        let id = match &mut self {
            FileFault::Error(fault) => &mut fault.hits.id,
            FileFault::Delay(fault) => &mut fault.hits.id,
            FileFault::DiskFull(fault) => &mut fault.id,
            FileFault::Unreadable(fault) | FileFault::Unwritable(fault) => &mut fault.id,
            FileFault::ReadDelay(fault) | FileFault::WriteDelay(fault) => &mut fault.id,
            FileFault::ReadCorrupt(fault) | FileFault::WriteCorrupt(fault) => &mut fault.id,
        };
        *id = Some(new.into());
        self
    }

    /// Whether Kibosh knows it.
    pub fn is_kiboshs(&self) -> bool {
        !matches!(self, FileFault::Error(_) | FileFault::Delay(_) | FileFault::DiskFull(_))
    }

    /// What it does, resolved and checked.
    pub(crate) fn rule(&self) -> Result<Rule, Vec<Finding>> {
        let mut findings = Vec::new();
        let rule = match self {
            FileFault::Error(ErrorFault { hits, error }) => {
                let errno = keep(errno(error), "error", &mut findings);
                hits.rule(Effect::Fail(errno), &mut findings)
            }
            FileFault::Delay(DelayFault { hits, delay_ms }) => {
                let delay_ms = at_least_zero(*delay_ms, "delayMs", &mut findings);
                hits.rule(Effect::Delay(delay_ms), &mut findings)
            }
            FileFault::DiskFull(DiskFullFault { bytes, error, .. }) => Rule {
                operations: Operations::default(),
                prefix: Vec::new(),
                suffix: Vec::new(),
                probability: 1.0,
                count: None,
                seed: 0,
                effect: Effect::DiskFull {
                    bytes: at_least_zero(*bytes, "bytes", &mut findings),
                    errno: keep(errno(error), "error", &mut findings),
                },
            },
            FileFault::Unreadable(fault) => fault.rule(Operation::Read, &mut findings),
            FileFault::Unwritable(fault) => fault.rule(Operation::Write, &mut findings),
            FileFault::ReadDelay(fault) => fault.rule(Operation::Read, &mut findings),
            FileFault::WriteDelay(fault) => fault.rule(Operation::Write, &mut findings),
            FileFault::ReadCorrupt(fault) => fault.rule(Operation::Read, &mut findings),
            FileFault::WriteCorrupt(fault) => fault.rule(Operation::Write, &mut findings),
        };
        if findings.is_empty() { Ok(rule) } else { Err(findings) }
    }
}

impl Hits {
    fn rule(&self, effect: Effect, findings: &mut Vec<Finding>) -> Rule {
        let known = |name: &String| {
            let found = Operation::ALL.iter().find(|(known, _)| known == name);
            found.map(|(_, operation)| *operation)
        };
        let operations: Operations = self.operations.iter().filter_map(known).collect();
        for unknown in self.operations.iter().filter(|name| known(name).is_none()) {
            findings.push(("operations", format!("there is no operation {unknown:?}")));
        }
        if self.operations.is_empty() {
            findings.push(("operations", "name at least one operation".to_owned()));
        }
        let count = self.count.map(|count| at_least_zero(count, "count", findings));
        Rule {
            operations,
            prefix: rooted(&self.prefix),
            suffix: self.suffix.clone().into_bytes(),
            probability: share(self.probability, "probability", findings),
            count,
            seed: self.seed.cast_unsigned(),
            effect,
        }
    }
}

impl KiboshError {
    fn rule(&self, operation: Operation, findings: &mut Vec<Finding>) -> Rule {
        let errno = keep(number_as_errno(self.code), "code", findings);
        kibosh_rule(operation, &self.prefix, &self.suffix, Effect::Fail(errno))
    }
}

impl KiboshDelay {
    fn rule(&self, operation: Operation, findings: &mut Vec<Finding>) -> Rule {
        let delay_ms = at_least_zero(self.delay_ms, "delay_ms", findings);
        let probability = share(self.fraction, "fraction", findings);
        let rule = kibosh_rule(operation, &self.prefix, &self.suffix, Effect::Delay(delay_ms));
        Rule { probability, ..rule }
    }
}

impl KiboshCorrupt {
    fn rule(&self, operation: Operation, findings: &mut Vec<Finding>) -> Rule {
        let fraction = share(self.fraction, "fraction", findings);
        let corruption = Corruption::of_mode(self.mode, fraction).unwrap_or_else(|| {
            let text = "give 1000 (zeros), 1001 (random bytes), 1100 (zeros to the end), 1101 (random \
                        bytes to the end) or 1200 (nothing to the end)";
            findings.push(("mode", text.to_owned()));
            Corruption::Drop
        });
        let effect = Effect::Corrupt { corruption, before_drop: u64::try_from(self.count).ok() };
        kibosh_rule(operation, &self.prefix, &self.suffix, effect)
    }
}

fn kibosh_rule(operation: Operation, prefix: &str, suffix: &str, effect: Effect) -> Rule {
    Rule {
        operations: Operations::from_iter([operation]),
        prefix: rooted(prefix),
        suffix: suffix.as_bytes().to_vec(),
        probability: 1.0,
        count: None,
        seed: 0,
        effect,
    }
}

/// Paths begin with `/`, so a prefix that does not would never match.
pub(crate) fn rooted(prefix: &str) -> Vec<u8> {
    if prefix.is_empty() || prefix.starts_with('/') {
        prefix.as_bytes().to_vec()
    } else {
        [b"/", prefix.as_bytes()].concat()
    }
}

fn keep(errno: Result<Errno, String>, field: &'static str, findings: &mut Vec<Finding>) -> Errno {
    errno.unwrap_or_else(|text| {
        findings.push((field, text));
        Errno::IO
    })
}

fn at_least_zero(number: i64, field: &'static str, findings: &mut Vec<Finding>) -> u64 {
    u64::try_from(number).unwrap_or_else(|_| {
        findings.push((field, format!("it cannot be negative, but is {number}")));
        0
    })
}

fn share(share: f64, field: &'static str, findings: &mut Vec<Finding>) -> f64 {
    if !(0.0..=1.0).contains(&share) {
        findings.push((field, format!("it must lie between 0 and 1, but is {share}")));
    }
    share
}

fn eio() -> String {
    "EIO".to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(number: &f64) -> bool {
    (number - 1.0).abs() < f64::EPSILON
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_enospc(error: &str) -> bool {
    error == "ENOSPC"
}
