//! Runs the program as an ordinary user whose only help is `newuidmap`.
//!
//! The user and its subordinate ids exist in a mount namespace of the test only: the machine's own files stay as they are.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The ids that the user may map: as many as an image usually has.
const SUBORDINATE: &str = "231072:65536";

/// An ordinary user, with a home and a program of its own.
pub(crate) struct User {
    uid: u32,
    place: PathBuf,
}

impl User {
    /// Makes what the user needs below `place`: its home, the program, the tables that know it.
    pub(crate) fn new(uid: &str, place: &Path, program: &Path) -> Result<Self> {
        let uid: u32 = uid.parse().context("SLIPWAY_CONFORMANCE_USER is no uid")?;
        ensure!(fs::metadata("/proc/self")?.uid() == 0, "only root can become another user");
        for tool in ["newuidmap", "newgidmap", "setpriv", "unshare"] {
            if Command::new(tool).arg("--version").output().is_err() {
                bail!("`{tool}` is missing\nhelp: on Debian: apt-get install uidmap util-linux");
            }
        }
        ensure!(
            ["/etc/subuid", "/etc/subgid"].iter().all(|file| Path::new(file).exists()),
            "/etc/subuid or /etc/subgid is missing\nhelp: on Debian: apt-get install passwd"
        );
        let user = Self { uid, place: place.join("user") };
        fs::create_dir_all(user.place.join("home"))?;
        fs::copy(program, user.place.join("slipway"))?;
        let entry = format!("{uid}:{SUBORDINATE}\n");
        fs::write(user.place.join("ids"), entry)?;
        let name = format!("case:x:{uid}:{uid}::{}:/bin/sh\n", user.place.join("home").display());
        let others = fs::read_to_string("/etc/passwd")?;
        let others = others.lines().filter(|line| line.split(':').nth(2) != Some(&uid.to_string()));
        let table: String = others.map(|line| format!("{line}\n")).chain([name]).collect();
        fs::write(user.place.join("passwd"), table)?;
        user.own(&user.place.join("home"))?;
        Ok(user)
    }

    /// Gives a folder, and what is in it, to the user. Modes stay, of which a change of the owner takes bits.
    pub(crate) fn own(&self, folder: &Path) -> Result<()> {
        let before = fs::symlink_metadata(folder)?;
        lchown(folder, Some(self.uid), Some(self.uid))?;
        if before.is_dir() {
            for entry in fs::read_dir(folder)? {
                self.own(&entry?.path())?;
            }
        }
        if !before.is_symlink() {
            fs::set_permissions(folder, before.permissions())?;
        }
        Ok(())
    }

    /// Makes a folder that the user may write to, without what is in it.
    pub(crate) fn make(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        Ok(chown(folder, Some(self.uid), Some(self.uid))?)
    }

    /// The start of a command of the program: no capability, no group, an empty environment but for the home.
    pub(crate) fn command(&self) -> Command {
        let place = self.place.display();
        let script = format!(
            "set -e
            for file in subuid subgid; do
              mount --bind {place}/ids /etc/$file
            done
            mount --bind {place}/passwd /etc/passwd
            exec setpriv --reuid {0} --regid {0} --clear-groups --inh-caps=-all \
              env -i HOME={place}/home PATH=/usr/sbin:/usr/bin:/sbin:/bin {place}/slipway \"$@\"",
            self.uid
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", &script, "sh"]);
        command
    }
}
