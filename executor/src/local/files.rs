//! The generated `/etc/hosts` and `/etc/resolv.conf` of a RUN.

use std::fmt::Write as _;
use std::fs;

/// What systemd-resolved serves behind its loopback stub.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Returns the content of `/etc/hosts`.
pub fn hosts(hostname: &str, extra: &[(String, String)]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    let _ = writeln!(text, "127.0.0.1\t{hostname}");
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// Returns the content of `/etc/resolv.conf`, from this machine's.
///
/// A name server on loopback is left out where there is another one, and kept where it is the only one: commands share
/// this machine's network, so they reach it.
pub fn resolv_conf() -> String {
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let uses_stub = own.lines().any(|line| line.trim() == "nameserver 127.0.0.53");
    if uses_stub && let Ok(real) = fs::read_to_string(RESOLVED) {
        return real;
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_come_last() {
        let text = hosts("box", &[("db".into(), "10.0.0.7".into())]);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("127.0.0.1\tbox\n10.0.0.7\tdb\n"));
    }
}
