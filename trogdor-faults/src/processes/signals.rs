//! Signals by name and by number.

use std::str::FromStr as _;

use nix::sys::signal::Signal;

/// The number of a signal that is called `KILL`, `SIGKILL`, `kill` or `9`; `None` if there is none.
/// Signals of the real-time range have no names and are not known.
pub(crate) fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).ok().map(|signal| signal as i32);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32)
}

/// The name of a signal without `SIG`; its number if it has none.
pub(crate) fn signal_name(number: i32) -> String {
    let named = Signal::try_from(number).ok().map(Signal::as_str);
    named.and_then(|name| name.strip_prefix("SIG")).map_or_else(|| number.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        let rows = [
            ("KILL", Some(9)),
            ("SIGKILL", Some(9)),
            ("sigterm", Some(15)),
            ("hup", Some(1)),
            ("15", Some(15)),
            ("0", None),
            ("64", None),
            ("-9", None),
            ("SIG", None),
            ("SIGSIGKILL", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(signal_number(text), expected, "{text:?}");
        }
        assert_eq!([signal_name(9), signal_name(200)], ["KILL", "200"]);
    }
}
