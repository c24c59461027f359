//! Facts of the machine and of the versions, without which no figure means anything.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

use crate::host::{command::Run, folders};

/// Where it was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) memory: String,
    pub(super) kernel: String,
    /// The file system of the stores.
    pub(super) filesystem: String,
    /// Each builder with what it says of itself.
    pub(super) versions: BTreeMap<String, String>,
}

impl Machine {
    /// Looks around.
    pub(super) fn here(stores: &Path) -> Self {
        let line = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_default().trim_matches([':', ' ', '\t']).to_owned()
        };
        Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: line("/proc/meminfo", "MemTotal"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            filesystem: last_line(Command::new("df").arg("--output=fstype").arg(stores)),
            versions: BTreeMap::new(),
        }
    }
}

/// The commit that is checked out.
pub(super) fn commit() -> String {
    said(Command::new("git").arg("-C").arg(folders::checkout()).args(["rev-parse", "--short=12", "HEAD"]))
}

/// Today, in UTC.
pub(super) fn date() -> String {
    said(Command::new("date").args(["-u", "+%Y-%m-%d"]))
}

/// Bytes that are free where a folder lies.
pub(super) fn free(folder: &Path) -> u64 {
    last_line(Command::new("df").args(["--output=avail", "--block-size=1"]).arg(folder))
        .parse()
        .unwrap_or_default()
}

fn last_line(command: &mut Command) -> String {
    said(command).lines().last().unwrap_or_default().trim().to_owned()
}

fn said(command: &mut Command) -> String {
    command.text().unwrap_or_default().trim().to_owned()
}
