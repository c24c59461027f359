//! Values with a grammar of their own (ports), and the way that Go prints some in an image's history.

use std::fmt::Write as _;

pub(super) use slipway_dockerfile::signal::is_known as signal_is_known;

/// Reads `[ip:][host port:]port[-port][/protocol]` to `port/protocol` for each port. What is in front of the port has
/// no meaning in an image, but must be right.
pub(super) fn ports(text: &str) -> Result<Vec<String>, String> {
    let mut parts = text.rsplitn(3, ':');
    let (container, host, address) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let (port, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        other => return Err(format!("`{other}` is none of tcp, udp, sctp")),
    };
    let (first, last) = port_range(port)?;
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        let (host_first, host_last) = port_range(host)?;
        if host_last - host_first != last - first && first != last {
            return Err(format!("the ranges {host} and {port} are not equally long"));
        }
    }
    if let Some(address) = address.filter(|address| !address.is_empty()) {
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        bare.parse::<std::net::IpAddr>().map_err(|_| format!("`{address}` is not an address"))?;
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ if text.is_empty() => Err("a port's number is missing".to_owned()),
        _ => Err(format!("`{text}` is not a number from 0 to 65535")),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if last < first { Err(format!("the range {text} ends before it begins")) } else { Ok((first, last)) }
}

/// Returns strings as Go prints a slice: `[a b]`.
pub(super) fn strings(values: &[String]) -> String {
    format!("[{}]", values.join(" "))
}

/// Returns strings as Go prints a slice with `%q`: `["a" "b c"]`.
pub(super) fn quoted(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| quote(value)).collect();
    strings(&values)
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => drop(write!(out, "\\x{:02x}", c as u32)),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Returns nanoseconds as Go prints a duration: `0s`, `1.5s`, `2m30s`, `100ms`.
pub(super) fn duration(nanoseconds: u64) -> String {
    let fraction = |value: u64, unit: u64, name: &str| {
        let (whole, rest) = (value / unit, value % unit);
        if rest == 0 {
            return format!("{whole}{name}");
        }
        let digits = unit.ilog10() as usize;
        let rest = format!("{rest:0digits$}");
        format!("{whole}.{}{name}", rest.trim_end_matches('0'))
    };
    match nanoseconds {
        0 => "0s".to_owned(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => fraction(n, 1_000, "µs"),
        n if n < 1_000_000_000 => fraction(n, 1_000_000, "ms"),
        n => {
            let minutes = n / 60_000_000_000;
            let seconds = fraction(n % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, ports, quoted};

    #[test]
    fn reads_ports() {
        let ok = |text: &str| ports(text).map(|found| found.join(" "));
        for (text, expected) in [
            ("80", "80/tcp"),
            ("80/TCP", "80/tcp"),
            ("53/udp", "53/udp"),
            ("7-9/sctp", "7/sctp 8/sctp 9/sctp"),
            ("8080:80", "80/tcp"),
            ("127.0.0.1:8080:80/udp", "80/udp"),
            ("[::1]:8080:80", "80/tcp"),
            ("::1:8080:80", "80/tcp"),
            ("127.0.0.1::80", "80/tcp"),
            ("0", "0/tcp"),
            ("80/", "80/tcp"),
            ("8000-8100:80", "80/tcp"),
        ] {
            assert_eq!(ok(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "x", "80/foo", "65536", "9-7", "/udp", "1-2:3-5", "nowhere:1:2", "+80", "-1"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prints_as_go_does() {
        let list = |values: &[&str]| quoted(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_eq!(list(&["nginx", "-g", "daemon off;"]), r#"["nginx" "-g" "daemon off;"]"#);
        assert_eq!(list(&["a\"b\\\n\u{1}é"]), r#"["a\"b\\\n\x01é"]"#);
        assert_eq!(list(&[]), "[]");
        for (nanoseconds, expected) in [
            (0, "0s"),
            (500, "500ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(duration(nanoseconds), expected);
        }
    }
}
