//! When to try again.

use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

use crate::error::What;
use crate::settings::Retry;

/// The pauses between the attempts at one thing.
pub(crate) struct Pauses {
    retry: Retry,
    left: u32,
    done: u32,
}

impl Pauses {
    /// A mirror gets two attempts: there is someone else to ask.
    pub(super) fn new(retry: Retry, is_mirror: bool) -> Self {
        let attempts = if is_mirror { retry.attempts.min(2) } else { retry.attempts };
        Self { retry, left: attempts.saturating_sub(1), done: 0 }
    }

    /// Returns how long to wait before the next attempt; none if there is no point in one.
    pub(crate) fn next(&mut self, what: &What) -> Option<Duration> {
        if !what.is_transient() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        self.done += 1;
        let asked = match what {
            What::TooManyRequests { retry_after, .. } | What::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        let own = self.retry.first.saturating_mul(1 << (self.done - 1).min(16)).min(self.retry.longest);
        let own = own.mul_f64(0.5 + random() / 2.0);
        match asked {
            Some(asked) if asked > self.retry.longest => None,
            // All that were refused come back at the asked time: spread a little.
            Some(asked) => Some(asked.max(own).mul_f64(1.0 + random() / 10.0)),
            None => Some(own),
        }
    }

    /// Starts over after progress: a long transfer may be cut many times.
    pub(crate) fn progressed(&mut self) {
        let attempts = self.retry.attempts.saturating_sub(1);
        self.left = self.left.max(attempts.min(self.left + 1));
        self.done = 0;
    }
}

/// Returns a number from 0 to 1 that differs from process to process and from call to call.
fn random() -> f64 {
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u8(0);
    f64::from((hasher.finish() >> 32) as u32) / f64::from(u32::MAX)
}

/// Reads `Retry-After`: seconds, or a date.
pub(super) fn read_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = http_date(value)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(then.saturating_sub(now)))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let (hour, minute, second): (u64, u64, u64) =
        (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    if !(1970..10_000).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    // Days since 1970, with years that begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let days =
        365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + (153 * from_march + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Tue, 29 Feb 2028 12:00:00 GMT"), Some(1_835_438_400));
        for bad in ["", "soon", "Sun, 06 Nov 1994 08:49:37 PST", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
        assert_eq!(read_retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(read_retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(read_retry_after("-1"), None);
    }

    #[test]
    fn pauses_grow_and_end() {
        let retry = Retry { attempts: 5, first: Duration::from_secs(1), longest: Duration::from_secs(3) };
        let mut pauses = Pauses::new(retry, false);
        let cut = What::Cut { bytes: 0, reason: String::new() };
        let got: Vec<f64> =
            std::iter::from_fn(|| pauses.next(&cut)).map(|pause| pause.as_secs_f64()).collect();
        assert_eq!(got.len(), 4);
        for (pause, longest) in got.iter().zip([1.0, 2.0, 3.0, 3.0]) {
            assert!((longest / 2.0..=longest).contains(pause), "{got:?}");
        }
        assert!(Pauses::new(retry, true).next(&cut).is_some());
        assert!(Pauses::new(retry, false).next(&What::NotFound { message: String::new() }).is_none());
    }

    #[test]
    fn a_registry_s_wish_is_heard_up_to_a_limit() {
        let retry = Retry { attempts: 3, first: Duration::from_millis(1), longest: Duration::from_secs(10) };
        let asked = |seconds| What::Status {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: Some(Duration::from_secs(seconds)),
            message: String::new(),
        };
        let pause = Pauses::new(retry, false).next(&asked(5)).unwrap().as_secs_f64();
        assert!((5.0..=5.5).contains(&pause), "{pause}");
        assert!(Pauses::new(retry, false).next(&asked(11)).is_none());
    }
}
