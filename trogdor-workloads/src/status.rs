//! What keeps statuses small, whatever happens.

use std::collections::BTreeMap;

/// Counts a cause of failure. Causes beyond the first twenty are counted together.
pub(crate) fn count_cause(causes: &mut BTreeMap<String, u64>, cause: &str) {
    count_causes(causes, cause, 1);
}

/// Counts a cause of so many failures, in the same way.
pub(crate) fn count_causes(causes: &mut BTreeMap<String, u64>, cause: &str, count: u64) {
    const CAUSES_MAX: usize = 20;
    if count == 0 {
        return;
    }
    let known = causes.contains_key(cause) || causes.len() < CAUSES_MAX;
    *causes.entry(if known { cause.to_owned() } else { "other".to_owned() }).or_default() += count;
}

/// The text, or how it begins if it is long.
pub(crate) fn shortened(mut text: String) -> String {
    const CHARS_MAX: usize = 300;
    if let Some((end, _)) = text.char_indices().nth(CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The first of several names, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    const NAMES_MAX: usize = 10;
    let first = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => first,
        more => format!("{first}, … and {more} more"),
    }
}

/// The first warnings, none of them long, and how many more there are.
pub(crate) fn bounded(mut warnings: Vec<String>) -> Vec<String> {
    const WARNINGS_MAX: usize = 50;
    let more = warnings.len().saturating_sub(WARNINGS_MAX);
    warnings.truncate(WARNINGS_MAX);
    let mut warnings: Vec<_> = warnings.into_iter().map(shortened).collect();
    warnings.extend((more > 0).then(|| format!("… and {more} more")));
    warnings
}
