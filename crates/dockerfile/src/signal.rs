//! The names of Linux signals.

use crate::suggest::nearest;

const NAMES: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// Tells whether a text names a signal, with or without `SIG`, or is a number other than 0.
pub fn is_known(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    NAMES.contains(&name) || is_realtime(name)
}

/// `RTMIN` up to `RTMIN+15`, `RTMAX-14` up to `RTMAX`.
fn is_realtime(name: &str) -> bool {
    let offset = |rest: &str, most: u8| {
        let number = rest.parse::<u8>().ok().filter(|n| (1..=most).contains(n));
        number.is_some_and(|number| rest == number.to_string())
    };
    match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) | (_, Some("")) => true,
        (Some(rest), _) => rest.strip_prefix('+').is_some_and(|rest| offset(rest, 15)),
        (_, Some(rest)) => rest.strip_prefix('-').is_some_and(|rest| offset(rest, 14)),
        _ => false,
    }
}

/// Returns the nearest name, with `SIG` in front.
pub(crate) fn nearest_name(text: &str) -> Option<String> {
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    nearest(name, NAMES).map(|near| format!("SIG{near}"))
}

#[cfg(test)]
mod tests {
    use super::{is_known, nearest_name};

    #[test]
    fn names_numbers_and_realtime_signals() {
        for known in ["SIGTERM", "term", "sigkill", "9", "64", "RTMIN", "SIGRTMIN+15", "rtmax-14"] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["", "0", "SIGFOO", "RTMIN+16", "RTMIN+01", "RTMAX-15", "RTMAX+1", "SIG"] {
            assert!(!is_known(unknown), "{unknown}");
        }
        assert_eq!(nearest_name("SIGTREM").as_deref(), Some("SIGTERM"));
    }
}
