//! Sizes (`200Mi`) and durations (`1h30m`) as people write them.

/// Reads a Kubernetes quantity of bytes: a whole or decimal number with `k M G T P`, `Ki Mi Gi Ti Pi` or nothing behind.
pub fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        _ => return None,
    };
    let value = number.parse::<f64>().ok()? * factor;
    #[allow(clippy::cast_sign_loss)] // digits and a point have no sign
    (value.is_finite() && value < 9.2e18).then_some(value as u64)
}

/// Reads a duration in Go's words (`1h30m`, `90s`, `500ms`) as seconds.
pub fn seconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(split);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    Some(total)
}

/// Writes bytes for people: `12.3Mi`.
#[allow(clippy::cast_precision_loss)] // three digits are shown
pub fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "Ki", "Mi", "Gi", "Ti"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}Pi")
}

/// Writes seconds for people: `0.8s`, `42s`, `3m07s`, `1h02m`.
pub fn human_seconds(seconds: f64) -> String {
    #[allow(clippy::cast_sign_loss)] // negative spans are cut to zero
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{:.1}s", seconds.max(0.0)),
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("20Gi", Some(21_474_836_480)),
            ("1.5k", Some(1500)),
            ("200Mi", Some(209_715_200)),
            ("x", None),
            ("5MB", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        for (text, expected) in [
            ("30m", Some(1800.0)),
            ("1h30m", Some(5400.0)),
            ("1.5s", Some(1.5)),
            ("10", None),
            ("", None),
            ("5d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn writes_for_people() {
        assert_eq!(human(999), "999B");
        assert_eq!(human(12_900_000), "12.3Mi");
        assert_eq!(human_seconds(0.84), "0.8s");
        assert_eq!(human_seconds(187.2), "3m07s");
        assert_eq!(human_seconds(3725.0), "1h02m");
    }
}
