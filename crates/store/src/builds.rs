//! Working directories of builds: the plan, and an outbox for each stage.

use std::path::{Path, PathBuf};

use crate::{Error, Store, files};

/// One build's directory below the store.
#[derive(Clone, Debug)]
pub struct BuildDir {
    path: PathBuf,
}

impl Store {
    /// Returns a build's directory, making it where there is none, and holds it until this handle is dropped.
    pub fn build_dir(&self, id: &str) -> Result<BuildDir, Error> {
        let name = format!("builds/{}", files::checked_name(id)?);
        self.hold(&name)?;
        let build = BuildDir { path: self.join(name) };
        files::make_dir(&build.path.join("outbox"))?;
        files::touch(&build.path);
        Ok(build)
    }

    /// Returns a build's directory where it is there: for a store that is only read.
    pub fn find_build_dir(&self, id: &str) -> Result<Option<BuildDir>, Error> {
        let path = self.join("builds").join(files::checked_name(id)?);
        Ok(path.is_dir().then_some(BuildDir { path }))
    }

    /// Removes a build's directory.
    pub fn remove_build_dir(&self, id: &str) -> Result<(), Error> {
        self.writable()?;
        match files::trash(&self.root, &self.join("builds").join(files::checked_name(id)?))? {
            Some(grave) => files::remove(&grave),
            None => Ok(()),
        }
    }
}

impl BuildDir {
    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the plan is.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// Returns a stage's outbox, which the stage's pod mounts for writing.
    pub fn outbox(&self, stage: &str) -> Result<PathBuf, Error> {
        Ok(self.path.join("outbox").join(files::checked_name(stage)?))
    }

    /// Writes a file of the build atomically.
    pub fn write(&self, store: &Store, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path.join(files::checked_name(name)?);
        files::write_atomically(&store.temporary()?, &path, bytes)
    }
}
