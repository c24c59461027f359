//! Fresh file systems: what a builder finds must not depend on what was deleted before.
//!
//! ext4 does not give out inodes that were freed in the last minutes, and looks at them one by one. After a cache of many
//! files was deleted, every builder makes files several times slower. So nothing is deleted: a store lies on a file
//! system in a file, and is made anew as a whole.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::host::{
    command::{Run, wait_until},
    folders, mounts,
};

/// A mounted file system in a sparse file.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    file: PathBuf,
    folder: PathBuf,
}

/// More than any case needs; only what is written takes room.
const SIZE: &str = "40G";

impl Volume {
    /// Names a volume; the file lies beside the folder.
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { file: folder.with_extension("ext4"), folder }
    }

    /// Where it is mounted.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Replaces it by an empty one.
    pub(super) fn renew(&self) -> Result<()> {
        self.remove()?;
        folders::make(&self.folder)?;
        Command::new("truncate").args(["--size", SIZE]).arg(&self.file).text()?;
        // What else goes on in the background for minutes is left out or done at once.
        Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"])
            .arg(&self.file)
            .text()?;
        // Without direct I/O, the file below would be cached a second time.
        let device =
            Command::new("losetup").args(["--direct-io=on", "--find", "--show"]).arg(&self.file).text()?;
        let mounted =
            Command::new("mount").args(["-o", "noinit_itable"]).arg(device.trim()).arg(&self.folder).text();
        // The device goes when it is unmounted, or now.
        Command::new("losetup").args(["--detach", device.trim()]).text()?;
        mounted.map(drop)
    }

    /// Unmounts it and deletes the file.
    pub(super) fn remove(&self) -> Result<()> {
        if mounts::is_mounted(&self.folder)? {
            // Processes that have just ended may still hold files. What holds them for good keeps its own view.
            let unmount = || Command::new("umount").arg(&self.folder).text().map(|_| true);
            if wait_until("end of the use of a volume", Duration::from_secs(30), unmount).is_err() {
                Command::new("umount").arg("--lazy").arg(&self.folder).text()?;
            }
        }
        if self.file.exists() {
            fs::remove_file(&self.file)
                .with_context(|| format!("failed to delete {}", self.file.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lies_beside_the_folder() {
        let volume = Volume::at("/some/where/store".into());
        assert_eq!(volume.file, Path::new("/some/where/store.ext4"));
        assert_eq!(volume.folder(), Path::new("/some/where/store"));
    }
}
