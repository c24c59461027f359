//! Where builds happen: a folder with a store, contexts and a program to run in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BUSYBOX: &str = "/bin/busybox";

/// A folder that goes with the test.
pub(crate) struct Bed {
    folder: tempfile::TempDir,
}

impl Bed {
    /// Makes one; none where this machine cannot run commands, after saying why.
    pub(crate) fn new(name: &str) -> Option<Self> {
        if !Path::new(BUSYBOX).exists() {
            println!("{name}: skipped: {BUSYBOX} is missing (Debian's busybox-static)");
            return None;
        }
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bed = Self { folder };
        // A name of its own tells the processes of this bed from those of others.
        fs::copy(env!("CARGO_BIN_EXE_slipway"), bed.slipway()).unwrap();
        let context =
            bed.context("probe", "FROM scratch\nCOPY busybox /bin/\nRUN [\"/bin/busybox\", \"true\"]\n");
        let output = bed.build(&bed.path("probe-store"), &context).output().unwrap();
        let text = text(&output);
        if !output.status.success() && text.contains("cannot build as this user") {
            println!("{name}: skipped: {text}");
            return None;
        }
        assert!(output.status.success(), "{text}");
        Some(bed)
    }

    /// The program under test.
    pub(crate) fn slipway(&self) -> PathBuf {
        self.path("slipway")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a context with a static shell in it.
    pub(crate) fn context(&self, name: &str, dockerfile: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(BUSYBOX, folder.join("busybox")).unwrap();
        fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        folder
    }

    /// A build in a store.
    pub(crate) fn build(&self, store: &Path, context: &Path) -> Command {
        let mut command = self.program(store, "build");
        command.args(["--progress", "plain"]).arg(context);
        command
    }

    /// Another verb on a store.
    pub(crate) fn program(&self, store: &Path, verb: &str) -> Command {
        let mut command = Command::new(self.slipway());
        command
            .arg(verb)
            .arg("--root")
            .arg(store)
            .current_dir(self.folder.path())
            .env("DOCKER_CONFIG", self.path("no-docker-config"))
            .env_remove("SLIPWAY_HOME")
            .env_remove("SLIPWAY_MIRRORS")
            .stdin(Stdio::null())
            // A group of its own, to be killed as a whole.
            .process_group(0);
        command
    }
}

/// All that a program wrote.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
