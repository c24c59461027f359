//! The cluster's own branch of the machine's control groups, so that another node's is never touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::settings::State;
use crate::host::{command::Run, folders};

const TOP: &str = "/sys/fs/cgroup";

/// The branch's name in every hierarchy.
pub(crate) fn name(state: &State) -> String {
    let folder = state.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("/{folder}")
}

/// Makes the branch in every hierarchy; the kubelet wants to find it.
pub(crate) fn up(state: &State) -> Result<()> {
    for hierarchy in hierarchies() {
        let branch = hierarchy.join(name(state).trim_start_matches('/'));
        folders::make(&branch)?;
        // The older cpuset hierarchy starts a group empty, and a group with no processor takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if branch.join(file).exists() && hierarchy.join("cgroup.clone_children").exists() {
                let inherited =
                    fs::read(hierarchy.join(file)).with_context(|| format!("failed to read {file}"))?;
                folders::write(&branch.join(file), inherited)?;
            }
        }
    }
    Ok(())
}

/// Removes the branch; the hierarchies themselves belong to the machine.
pub(crate) fn down(state: &State) {
    for hierarchy in hierarchies() {
        let branch = hierarchy.join(name(state).trim_start_matches('/'));
        if branch.is_dir() {
            // A group is a folder of kernel files: only rmdir removes it, children first.
            let _ = Command::new("find")
                .arg(&branch)
                .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
                .succeeds();
        }
    }
}

/// The one hierarchy of today, or each of the older ones.
fn hierarchies() -> Vec<PathBuf> {
    let is_hierarchy = |folder: &Path| folder.join("cgroup.procs").exists();
    if is_hierarchy(Path::new(TOP)) {
        return vec![TOP.into()];
    }
    let entries = fs::read_dir(TOP).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        // Several names of one hierarchy are links to one folder.
        .filter(|folder| !folder.is_symlink() && is_hierarchy(folder))
        .collect();
    found.sort();
    found
}
