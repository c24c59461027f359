//! A git repository for tests: a working copy that pushes to a bare one below a folder that is served.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// A repository.
pub struct Repository {
    work: PathBuf,
    bare: PathBuf,
}

impl Repository {
    /// Makes `<name>.git` in a folder.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        let (work, bare) = (folder.join(format!("{name}.work")), folder.join(format!("{name}.git")));
        std::fs::create_dir_all(&work)?;
        let repository = Self { work, bare };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        let bare = repository.bare.display().to_string();
        repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", &bare])?;
        Ok(repository)
    }

    /// Runs git in the working copy.
    pub fn git(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .current_dir(&self.work)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "safe.directory=*"])
            .args(["-c", "protocol.file.allow=always"])
            .args(words)
            .output()?;
        ensure!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Writes files, commits and pushes them, and returns the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> Result<String> {
        for (path, text) in files {
            let file = self.work.join(path);
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
            std::fs::write(file, text)?;
        }
        self.git(&["add", "."])?;
        self.git(&["commit", "--quiet", "--message=change"])?;
        self.push()?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes what was committed.
    pub fn push(&self) -> Result<()> {
        let bare = self.bare.display().to_string();
        self.git(&["push", "--quiet", "--force", &bare, "HEAD"]).map(drop)
    }
}
