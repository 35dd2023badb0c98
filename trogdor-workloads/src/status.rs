//! What keeps statuses small, whatever happens.

/// The first warnings, none of them long, and how many more there are.
pub(crate) fn bounded(mut warnings: Vec<String>) -> Vec<String> {
    const WARNINGS_MAX: usize = 50;
    const CHARS_MAX: usize = 300;
    let more = warnings.len().saturating_sub(WARNINGS_MAX);
    warnings.truncate(WARNINGS_MAX);
    for warning in &mut warnings {
        if let Some((end, _)) = warning.char_indices().nth(CHARS_MAX) {
            warning.truncate(end);
            warning.push('…');
        }
    }
    warnings.extend((more > 0).then(|| format!("… and {more} more")));
    warnings
}
