//! Mounts below a folder: listed, and taken away before the folder is deleted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::command::Run;

/// The mount points at or below a folder, deepest and latest first.
fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("failed to read the mount table")?;
    Ok(points(&table, folder))
}

fn points(table: &str, folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(unescape(point)))
        .filter(|point| point.starts_with(folder))
        .collect();
    // The table is in mount order, so its reverse takes a mount away before the one that it covers.
    found.reverse();
    found.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    found
}

/// The kernel writes space, tab, newline and backslash in octal.
fn unescape(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Tells whether something is mounted at exactly this folder.
pub(crate) fn is_mounted(folder: &Path) -> Result<bool> {
    Ok(below(folder)?.iter().any(|point| point == folder))
}

/// Unmounts everything at or below a folder.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    for point in below(folder)? {
        Command::new("umount").args(["--lazy", "--no-canonicalize"]).arg(&point).text()?;
    }
    Ok(())
}

/// Deletes a folder with all that is in it, and refuses while something is mounted there: following a bind mount
/// would delete what does not belong to it.
pub(crate) fn delete(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    if let Some(point) = below(folder)?.first() {
        bail!("{} is still mounted, so {} is kept", point.display(), folder.display());
    }
    // `rm` rather than std: it copes with a directory that changes while it is deleted.
    Command::new("rm").args(["-rf", "--one-file-system"]).arg(folder).text().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_goes_first_and_the_covering_one_before_the_covered() {
        let table = "1 0 8:1 / / rw - ext4 d rw\n2 1 8:1 / /s/a rw - ext4 first rw\n3 2 0:5 / /s/a/b\\040c rw - tmpfs t rw\n\
                     4 2 8:1 / /s/a rw - ext4 second rw\n5 1 8:1 / /sibling rw - ext4 d rw\n";
        let found = points(table, Path::new("/s"));
        assert_eq!(found, [Path::new("/s/a/b c"), Path::new("/s/a"), Path::new("/s/a")]);
    }
}
