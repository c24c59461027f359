//! From flags to what the library takes: arguments, secrets, agents, limits.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use slipway_dockerfile::ast::Dockerfile;
use slipway_executor::local::lent::{Lent, SecretSource};
use slipway_graph::ir::Network;
use slipway_graph::request::{NoCache, Request};
use slipway_oci::Platform;

use super::args::{Args, NetworkMode};

/// Returns the platforms to build for, each once; this machine's where none is named. `local` is this machine's.
pub(super) fn platforms(args: &Args) -> anyhow::Result<Vec<Platform>> {
    let mut platforms = Vec::new();
    for text in args.platforms.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let platform = if text == "local" { Platform::host() } else { text.parse().context("--platform")? };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(if platforms.is_empty() { vec![Platform::host()] } else { platforms })
}

/// Fills in what a graph is asked for.
pub(super) fn request(args: &Args, platforms: &[Platform]) -> anyhow::Result<Request> {
    let first = platforms.first().cloned().unwrap_or_else(Platform::host);
    let mut request = Request::new(first);
    request.build_platform = Platform::host();
    request.targets.clone_from(&args.targets);
    request.build_args = build_args(&args.build_args)?;
    request.labels = pairs(&args.labels, "--label")?;
    let filtered = args.no_cache.iter().flatten().chain(&args.no_cache_filter);
    let filtered: Vec<String> = filtered.filter(|stage| !stage.is_empty()).cloned().collect();
    request.no_cache = match &args.no_cache {
        Some(stages) if stages.iter().all(String::is_empty) => NoCache::All,
        _ if filtered.is_empty() => NoCache::Use,
        _ => NoCache::Stages(filtered),
    };
    for host in &args.add_hosts {
        let (name, address) =
            host.split_once([':', '=']).with_context(|| format!("`--add-host {host}` is not NAME:IP"))?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        request.add_hosts.push((name.to_owned(), address.to_owned()));
    }
    for limit in &args.ulimits {
        request.ulimits.push(ulimit(limit)?);
    }
    request.shm_size = args.shm_size.as_deref().map(size).transpose()?;
    request.network = match args.network {
        NetworkMode::Default => Network::Default,
        NetworkMode::None => Network::None,
        NetworkMode::Host => Network::Host,
    };
    request.source_date_epoch = match request.build_args.get("SOURCE_DATE_EPOCH") {
        Some(text) if text.is_empty() => None,
        Some(text) => Some(
            text.parse().with_context(|| format!("SOURCE_DATE_EPOCH `{text}` is not a number of seconds"))?,
        ),
        None => env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()),
    };
    Ok(request)
}

/// Returns a line for each stage that the cache is not to be used for and that is not there: docker takes such names, too.
pub(super) fn strangers(no_cache: &NoCache, file: &Dockerfile) -> Vec<String> {
    let NoCache::Stages(stages) = no_cache else { return vec![] };
    let known = |name: &str| {
        file.stages
            .iter()
            .any(|stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    };
    let strange = stages.iter().filter(|name| !known(name));
    strange.map(|name| format!("note: --no-cache={name}: the Dockerfile has no stage of this name")).collect()
}

/// Reads `NAME=VALUE`, and `NAME` from the environment; a name that is not set there is left out, as in Docker.
fn build_args(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut args = BTreeMap::new();
    for text in given {
        match text.split_once('=') {
            Some(("", _)) => bail!("`--build-arg {text}` has no name"),
            Some((name, value)) => drop(args.insert(name.to_owned(), value.to_owned())),
            None => {
                if let Ok(value) = env::var(text) {
                    args.insert(text.clone(), value);
                }
            }
        }
    }
    Ok(args)
}

/// Reads `NAME=VALUE`.
pub(super) fn pairs(given: &[String], flag: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            bail!("`{flag} {text}` has no name");
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    given.iter().map(pair).collect()
}

/// Reads `nofile=1024:2048`; -1 is without limit.
fn ulimit(text: &str) -> anyhow::Result<(String, u64, u64)> {
    let wrong = || format!("`--ulimit {text}` is not NAME=SOFT[:HARD]");
    let (name, limits) = text.split_once('=').with_context(wrong)?;
    let number = |text: &str| if text == "-1" { Ok(u64::MAX) } else { text.parse::<u64>() };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Ok((name.to_owned(), number(soft).with_context(wrong)?, number(hard).with_context(wrong)?))
}

/// Reads `64m`, `1g`, `1024`.
fn size(text: &str) -> anyhow::Result<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.trim_end_matches('b').trim_end_matches('i');
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => bail!("`--shm-size {text}`: use k, m or g"),
    };
    let number: u64 = digits.parse().with_context(|| format!("`--shm-size {text}` is not a size"))?;
    number.checked_shl(shift).with_context(|| format!("`--shm-size {text}` is too large"))
}

/// Reads `--secret` and `--ssh`.
pub(super) fn lent(args: &Args) -> anyhow::Result<Lent> {
    let mut lent = Lent::default();
    for text in &args.secrets {
        let (id, source) = secret(text)?;
        lent.secrets.insert(id, source);
    }
    for text in &args.ssh {
        let (id, socket) = text.split_once('=').unwrap_or((text, ""));
        let socket = if socket.is_empty() {
            env::var_os("SSH_AUTH_SOCK").map(PathBuf::from).with_context(|| {
                format!("`--ssh {text}`: no agent runs here (SSH_AUTH_SOCK is not set); start one, or name its socket: --ssh {id}=SOCKET")
            })?
        } else {
            PathBuf::from(socket)
        };
        lent.agents.insert(id.to_owned(), socket);
    }
    Ok(lent)
}

fn secret(text: &str) -> anyhow::Result<(String, SecretSource)> {
    let (mut id, mut file, mut variable) = (None, None, None);
    for part in text.split(',') {
        let (key, value) =
            part.split_once('=').with_context(|| format!("`--secret {text}`: `{part}` is not KEY=VALUE"))?;
        match key.to_ascii_lowercase().as_str() {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => file = Some(PathBuf::from(value)),
            "env" => variable = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => {}
            _ => bail!("`--secret {text}`: `{part}` is not known; there are id, src, env and type"),
        }
    }
    let id = id.with_context(|| format!("`--secret {text}` has no id"))?;
    let source = match (file, variable) {
        (Some(path), _) => {
            std::fs::metadata(&path)
                .with_context(|| format!("`--secret {text}`: cannot read `{}`", path.display()))?;
            SecretSource::File(path)
        }
        (None, variable) => {
            let name = variable.unwrap_or_else(|| id.clone());
            let value = env::var(&name)
                .with_context(|| format!("`--secret {text}`: the variable `{name}` is not set"))?;
            SecretSource::Value(value.into_bytes())
        }
    };
    Ok((id, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_sizes_are_read() {
        assert_eq!(ulimit("nofile=1:2").expect("readable"), ("nofile".to_owned(), 1, 2));
        assert_eq!(ulimit("core=-1").expect("readable"), ("core".to_owned(), u64::MAX, u64::MAX));
        assert!(ulimit("nofile").is_err());
        for (text, bytes) in [("64", 64), ("64k", 65536), ("1MB", 1 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(size(text).expect(text), bytes);
        }
    }

    #[test]
    fn a_secret_needs_an_id() {
        assert!(secret("src=/etc/hostname").is_err());
        assert!(secret("id=a,src=/nonexistent").is_err());
        assert!(secret("id=a,what=b").is_err());
    }
}
