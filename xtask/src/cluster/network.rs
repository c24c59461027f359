//! The node's network: a bridge with its address, and address translation for pods that reach out.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::settings::{NODE_ADDRESS, NODE_BRIDGE, POD_BRIDGE, POD_NETWORK, POD_RANGE, State};
use crate::host::{command::Run, folders};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Tables that the cluster adds to the machine: our own, and kube-proxy's.
const TABLES: &[(&str, &str)] = &[("ip", "slipway"), ("ip", "kube-proxy"), ("ip6", "kube-proxy")];

/// Makes bridge, address and translation.
pub(crate) fn up(state: &State) -> Result<()> {
    if !exists(NODE_BRIDGE) {
        ip(&["link", "add", NODE_BRIDGE, "type", "bridge"])?;
    }
    ip(&["address", "replace", &format!("{NODE_ADDRESS}/32"), "dev", NODE_BRIDGE])?;
    ip(&["link", "set", NODE_BRIDGE, "up"])?;
    let before = state.path("ip_forward.before");
    if !before.exists() {
        fs::copy(FORWARDING, &before).context("failed to note whether the machine forwards")?;
    }
    // As a write: the file belongs to the kernel and cannot be replaced.
    folders::write(Path::new(FORWARDING), "1\n")?;
    nft(&format!(
        "table ip slipway {{}}\nflush table ip slipway\ntable ip slipway {{\n chain translate {{\n  \
         type nat hook postrouting priority srcnat; policy accept;\n  \
         ip saddr {POD_RANGE} ip daddr != {{ {POD_RANGE}, {NODE_ADDRESS} }} masquerade\n }}\n}}\n"
    ))
}

/// Takes away what `up`, kube-proxy and the network plugins made.
pub(crate) fn down(state: &State) -> Result<()> {
    for bridge in [POD_BRIDGE, NODE_BRIDGE] {
        if exists(bridge) {
            ip(&["link", "delete", bridge])?;
        }
    }
    for (family, table) in TABLES {
        // A table that was never made is gone already.
        let _ = Command::new("nft").args(["delete", "table", family, table]).succeeds();
    }
    let before = state.path("ip_forward.before");
    if let Ok(value) = fs::read(&before) {
        folders::write(Path::new(FORWARDING), value)?;
    }
    forget_results()
}

/// The plugin library remembers results in one machine-wide folder, by network name.
fn forget_results() -> Result<()> {
    let Ok(entries) = fs::read_dir("/var/lib/cni/results") else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{POD_NETWORK}-")) {
            fs::remove_file(entry.path())
                .with_context(|| format!("failed to delete {}", entry.path().display()))?;
        }
    }
    for folder in ["/var/lib/cni/results", "/var/lib/cni"] {
        // Only when nothing else uses it: a folder with something in it is not removed.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

fn exists(device: &str) -> bool {
    Command::new("ip").args(["link", "show", "dev", device]).succeeds()
}

fn ip(words: &[&str]) -> Result<()> {
    Command::new("ip").args(words).text().map(drop)
}

/// Feeds rules to nft, which applies all or none of them.
fn nft(rules: &str) -> Result<()> {
    let mut child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().context("failed to start nft")?;
    child
        .stdin
        .take()
        .context("nft has no input")?
        .write_all(rules.as_bytes())
        .context("failed to talk to nft")?;
    ensure!(child.wait().context("failed to wait for nft")?.success(), "nft refused the rules:\n{rules}");
    Ok(())
}
