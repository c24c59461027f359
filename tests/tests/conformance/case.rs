//! A case: what is in its folder, and the fresh context that every build of it gets.

use std::fs::{self, FileTimes};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use slipway_oci::Digest;

/// When everything in a context was changed last lies in this range of seconds: long ago, so that a time that was kept is told
/// from one that is new.
pub(crate) const CONTEXT_TIMES: std::ops::Range<u64> = 1_000_100_000..1_009_100_000;

/// Chooses the time of a file or folder. BuildKit takes files with equal names, sizes and times for one it knows, so other
/// content needs another time.
fn time_of(case: &str, content: &[u8]) -> Duration {
    let digest = Digest::of([case.as_bytes(), &[0], content].concat());
    let number = u64::from_str_radix(digest.hex().get(..12).unwrap_or_default(), 16).unwrap_or_default();
    Duration::from_secs(CONTEXT_TIMES.start + number % (CONTEXT_TIMES.end - CONTEXT_TIMES.start))
}

/// One folder of `conformance/`.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Words that the error must have where the build must fail.
    pub(crate) fails: Option<String>,
    flags: Vec<String>,
}

/// What stands in for `{…}` in a Dockerfile and in flags.
pub(crate) struct Words<'a> {
    pub(crate) server: &'a str,
    pub(crate) agent: &'a Path,
}

impl Case {
    /// All cases whose name one of the patterns matches, in the order of their names.
    pub(crate) fn all(folder: &Path, patterns: &str) -> Result<Vec<Self>> {
        let mut cases = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.join("context").is_dir() {
                cases.push(Self::read(path));
            }
        }
        cases.retain(|case| {
            patterns.is_empty() || patterns.split(',').any(|pattern| matches(pattern, &case.name))
        });
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(cases)
    }

    fn read(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let flags = text("flags").unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect();
        let fails = text("fails").map(|words| words.trim().to_owned());
        Self { name, folder, fails, flags }
    }

    /// Whether a registry must have the bases.
    pub(crate) fn needs_base(&self) -> bool {
        let text = fs::read_to_string(self.folder.join("context/Dockerfile")).unwrap_or_default();
        self.flags.iter().any(|flag| flag.contains("docker-image:"))
            || text.contains("busybox")
            || text.contains("debian")
    }

    /// The flags of the build; paths in them lie in the prepared folder.
    pub(crate) fn flags(&self, prepared: &Path, words: &Words<'_>) -> Vec<String> {
        self.flags.iter().map(|flag| words.fill(flag, prepared)).collect()
    }

    /// Copies what the case has into `place`, with fixed modes and times, and runs its `setup.sh` in the context.
    /// Git keeps neither modes nor times nor pipes, and the same build must give the same result everywhere.
    pub(crate) fn prepare(&self, place: &Path, words: &Words<'_>) -> Result<()> {
        copy(&self.folder, place)?;
        let context = place.join("context");
        let dockerfile = context.join("Dockerfile");
        if let Ok(text) = fs::read_to_string(&dockerfile) {
            fs::write(&dockerfile, words.fill(&text, place))?;
        }
        let setup = place.join("setup.sh");
        if setup.exists() {
            script(&setup, &context)?;
        }
        // No program that every machine has makes a socket.
        if let Ok(name) = fs::read_to_string(place.join("socket")) {
            drop(UnixListener::bind(context.join(name.trim()))?);
        }
        let repository = place.join("repo.sh");
        if repository.exists() {
            let work = place.join("served/work");
            fs::create_dir_all(&work)?;
            script(&repository, &work)?;
            git(&["clone", "--quiet", "--bare", "work", "repo.git"], &place.join("served"))?;
        }
        set_times(&self.name, &context)
    }
}

impl Words<'_> {
    fn fill(&self, text: &str, prepared: &Path) -> String {
        text.replace("{server}", self.server)
            .replace(
                "{host}",
                self.server.trim_start_matches("http://").split('/').next().unwrap_or_default(),
            )
            .replace("{case}", &prepared.display().to_string())
            .replace("{ssh}", &self.agent.display().to_string())
    }
}

/// Runs a script of a case. Git in it makes the same commits everywhere.
fn script(script: &Path, place: &Path) -> Result<()> {
    let output = Command::new("sh").arg("-eu").arg(script).current_dir(place).envs(GIT).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", script.display());
    Ok(())
}

fn git(words: &[&str], place: &Path) -> Result<()> {
    let status = Command::new("git").args(words).current_dir(place).envs(GIT).status().context("no `git`")?;
    ensure!(status.success(), "git {words:?} failed");
    Ok(())
}

const GIT: [(&str, &str); 12] = [
    ("GIT_AUTHOR_NAME", "case"),
    ("GIT_AUTHOR_EMAIL", "case@example.invalid"),
    ("GIT_AUTHOR_DATE", "981173106 +0000"),
    ("GIT_COMMITTER_NAME", "case"),
    ("GIT_COMMITTER_EMAIL", "case@example.invalid"),
    ("GIT_COMMITTER_DATE", "981173106 +0000"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "init.defaultBranch"),
    ("GIT_CONFIG_VALUE_0", "main"),
    ("LC_ALL", "C"),
];

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            fs::set_permissions(&target, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        }
    }
    Ok(())
}

/// Sets the times of what is below, then of the folder itself. Links and pipes keep theirs: opening them is no way.
fn set_times(case: &str, folder: &Path) -> Result<()> {
    let set = |path: &Path, content: &[u8]| -> Result<()> {
        let time = UNIX_EPOCH + time_of(case, content);
        Ok(fs::File::open(path)?.set_times(FileTimes::new().set_accessed(time).set_modified(time))?)
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            set_times(case, &entry.path())?;
        } else if kind.is_file() {
            set(&entry.path(), &fs::read(entry.path())?)?;
        }
    }
    set(folder, b"")
}

/// Whether a pattern, in which `*` stands for anything, matches the whole name; without `*`, a part of it.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains('*') {
        return name.contains(pattern);
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (number, part) in parts.iter().enumerate() {
        if number + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}
