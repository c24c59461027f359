//! Where an attack happens: a folder with a victim outside of everything that a build may touch, and the program.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

/// What the victim's file says as long as nobody reached it.
pub(crate) const CANARY: &str = "canary-outside-5d1c07";

/// A folder of one attack. It goes away with the test.
pub(crate) struct Bed {
    place: PathBuf,
}

impl Drop for Bed {
    fn drop(&mut self) {
        // What is left is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// How a build ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) succeeded: bool,
    pub(crate) said: String,
}

impl Bed {
    pub(crate) fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let place = std::env::temp_dir().join(format!("slipway-attack-{}-{number}", std::process::id()));
        for folder in ["victim", "context"] {
            fs::create_dir_all(place.join(folder))?;
        }
        let bed = Self { place: place.canonicalize()? };
        fs::write(bed.victim().join("secret"), CANARY)?;
        fs::set_permissions(bed.victim().join("secret"), fs::Permissions::from_mode(0o600))?;
        Ok(bed)
    }

    pub(crate) fn victim(&self) -> PathBuf {
        self.place.join("victim")
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.place.join("context")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        Ok(fs::write(path, content)?)
    }

    /// Puts a busybox with a Dockerfile that begins with it into the context; false where this machine has none.
    pub(crate) fn busybox(&self, dockerfile: &str) -> Result<bool> {
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() {
            return Ok(false);
        }
        fs::copy(busybox, self.context().join("busybox"))?;
        self.write(
            "Dockerfile",
            format!(
                "FROM scratch AS base\nCOPY --chmod=755 busybox /bin/\n\
                 RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n{dockerfile}"
            ),
        )?;
        Ok(true)
    }

    fn command(&self, flags: &[&str]) -> Result<Command> {
        let mut command = Command::new(slipway_tests::program()?);
        command
            .args(["build", "--progress", "plain", "--root"])
            .arg(self.path("store"))
            .args(["--output", &format!("type=oci,tar=false,dest={}", self.path("image").display())])
            .args(["--output", &format!("type=tar,dest={}", self.path("tree.tar").display())])
            .args(flags);
        Ok(command)
    }

    /// Builds the context.
    pub(crate) fn build(&self, flags: &[&str]) -> Result<Outcome> {
        let output = self.command(flags)?.arg(self.context()).output()?;
        Ok(Outcome::of(&output))
    }

    /// Builds what is given on the standard input.
    pub(crate) fn build_archive(&self, archive: &[u8], flags: &[&str]) -> Result<Outcome> {
        let mut child = self
            .command(flags)?
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().context("no input")?;
        // A refusal closes the pipe before the end.
        let _ = input.write_all(archive);
        drop(input);
        Ok(Outcome::of(&child.wait_with_output()?))
    }

    /// The text of a file in the flattened tree of the last build.
    pub(crate) fn file(&self, name: &str) -> Result<String> {
        let bytes = fs::read(self.path("tree.tar"))?;
        let mut reader =
            slipway_oci::archive::Reader::new(&bytes[..], slipway_oci::archive::Limits::default());
        while let Some(entry) = reader.next_entry()? {
            if entry.path == name.as_bytes() {
                let mut text = Vec::new();
                std::io::Read::read_to_end(&mut reader.content(), &mut text)?;
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
        }
        anyhow::bail!("the image has no file {name}")
    }

    /// Whether the canary is in the flattened tree of the last build.
    pub(crate) fn leaked(&self) -> bool {
        let tree = fs::read(self.path("tree.tar")).unwrap_or_default();
        tree.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    }

    /// Fails where the victim is not as it was.
    pub(crate) fn unharmed(&self, attack: &str) -> Result<()> {
        let victim = self.victim();
        let names: Vec<_> =
            fs::read_dir(&victim)?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
        ensure!(names == ["secret"], "{attack}: the victim has {names:?}");
        ensure!(
            fs::read_to_string(victim.join("secret"))? == CANARY,
            "{attack}: the victim's file was changed"
        );
        let mode = fs::metadata(victim.join("secret"))?.permissions().mode() & 0o7777;
        ensure!(mode == 0o600, "{attack}: the mode of the victim's file is {mode:o}");
        ensure!(!self.leaked(), "{attack}: the victim's content is in the image");
        Ok(())
    }
}

impl Outcome {
    fn of(output: &std::process::Output) -> Self {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        Self { succeeded: output.status.success(), said: String::from_utf8_lossy(&said).into_owned() }
    }

    /// Fails where the build failed.
    pub(crate) fn ok(self) -> Result<Self> {
        ensure!(self.succeeded, "the build failed:\n{}", self.said);
        Ok(self)
    }

    /// Fails unless the build failed with an error of ours that says this.
    pub(crate) fn refused(self, word: &str) -> Result<()> {
        ensure!(!self.succeeded, "it was built:\n{}", self.said);
        ensure!(self.said.contains(word) && !self.said.contains("panicked"), "another error:\n{}", self.said);
        Ok(())
    }
}
