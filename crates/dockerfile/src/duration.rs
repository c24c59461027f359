//! Durations as Go writes them: `1h30m`, `1.5s`, `100ms`.

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// No number and unit.
    #[error("it is not a number with a unit")]
    Malformed,
    /// A number without its unit.
    #[error("the unit is missing")]
    NoUnit,
    /// A unit that does not exist.
    #[error("the unit is unknown")]
    UnknownUnit,
    /// More than about 292 years.
    #[error("it is too long")]
    TooLong,
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a duration into nanoseconds.
pub(crate) fn parse(text: &str) -> Result<i64, DurationError> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (amount, after) = part(rest)?;
        total = total.checked_add(amount).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    if negative {
        return 0i64.checked_sub_unsigned(total).ok_or(DurationError::TooLong);
    }
    i64::try_from(total).map_err(|_| DurationError::TooLong)
}

/// Parses one number with its unit and returns what follows.
fn part(text: &str) -> Result<(u64, &str), DurationError> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let whole = digits(text);
    let mut after = &text[whole..];
    let mut fraction = "";
    if let Some(rest) = after.strip_prefix('.') {
        fraction = &rest[..digits(rest)];
        after = &rest[fraction.len()..];
    }
    if whole == 0 && fraction.is_empty() {
        return Err(DurationError::Malformed);
    }
    let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let unit = &after[..unit_end];
    if unit.is_empty() {
        return Err(DurationError::NoUnit);
    }
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(DurationError::UnknownUnit)?;
    let whole: u64 =
        if whole == 0 { 0 } else { text[..whole].parse().map_err(|_| DurationError::TooLong)? };
    let mut amount = whole.checked_mul(*scale).ok_or(DurationError::TooLong)?;
    amount = amount.checked_add(of_fraction(fraction, *scale)).ok_or(DurationError::TooLong)?;
    Ok((amount, &after[unit_end..]))
}

/// Returns what the digits after the point are worth; the ones that no number can hold count nothing, as in Go.
#[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn of_fraction(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale): (u64, f64) = (0, 1.0);
    for digit in digits.bytes().map(|b| u64::from(b - b'0')) {
        match value.checked_mul(10).and_then(|v| v.checked_add(digit)).filter(|v| i64::try_from(*v).is_ok()) {
            Some(more) => (value, scale) = (more, scale * 10.0),
            None => break,
        }
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

#[cfg(test)]
mod tests {
    use super::{DurationError, parse};

    #[test]
    fn durations_of_gos_documentation() {
        for (text, nanos) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("5.s", 5_000_000_000),
            ("100\u{b5}s", 100_000),
            ("100\u{3bc}s", 100_000),
            ("-1m", -60_000_000_000),
            ("+1ms", 1_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("9223372036854775807ns", i64::MAX),
        ] {
            let got = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(got, nanos, "{text}");
        }
        for (text, error) in [
            ("", DurationError::Malformed),
            ("-", DurationError::Malformed),
            ("s", DurationError::Malformed),
            (".s", DurationError::Malformed),
            ("3", DurationError::NoUnit),
            ("3 s", DurationError::UnknownUnit),
            ("3d", DurationError::UnknownUnit),
            ("9223372036854775808ns", DurationError::TooLong),
            ("99999999999999999999999h", DurationError::TooLong),
            ("3000000h", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
