//! Layers: unpacked, each ready to be a `lowerdir` of overlayfs (whiteouts are 0:0 devices, opaque directories carry
//! `user.overlay.opaque`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slipway_oci::Digest;

use crate::{Error, LayerId, Store, files};

/// What is known of a layer without walking it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMeta {
    /// Bytes of its regular files.
    pub size: u64,
    /// How many files, directories and whiteouts it has.
    pub entries: u64,
    /// The digest of its archive, where that was made or read.
    pub diff_id: Option<Digest>,
}

/// How a commit ended. Either way the layer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// This one became the layer.
    First,
    /// Another one was there before, and this one was thrown away.
    Lost,
}

impl Store {
    /// Returns where a layer's tree is, or would be.
    pub fn layer_path(&self, id: &LayerId) -> PathBuf {
        self.layer_dir(id).join("fs")
    }

    /// Tells whether a layer is there, whole.
    pub fn has_layer(&self, id: &LayerId) -> bool {
        self.layer_meta(id).is_some()
    }

    /// Returns what is known of a layer, where it is there.
    pub fn layer_meta(&self, id: &LayerId) -> Option<LayerMeta> {
        let directory = self.layer_dir(id);
        files::read_document(&directory.join("meta.json")).filter(|_| directory.join("fs").is_dir())
    }

    /// Begins a layer. Its directories lie on the store's file system, so overlayfs can use them and the commit is a rename.
    pub fn layer_writer(&self, id: &LayerId) -> Result<LayerWriter<'_>, Error> {
        let directory = self.temporary()?;
        let writer = LayerWriter {
            store: self,
            id: *id,
            upper: directory.join("fs"),
            work: directory.join("work"),
            directory,
        };
        for path in [&writer.upper, &writer.work] {
            files::make_dir(path)?;
        }
        // It becomes `/` of containers: users other than root must get in.
        files::set_mode(&writer.upper, 0o755)?;
        Ok(writer)
    }

    /// Takes a directory that another process filled (a stage pod's outbox) as a layer, by rename.
    ///
    /// The directory must be a real one on the store's file system, and nothing untrusted may still have it open. What is
    /// *in* it is not looked at: see [`Store::adopt_layer_with`].
    pub fn adopt_layer(&self, id: &LayerId, directory: &Path, meta: LayerMeta) -> Result<Committed, Error> {
        self.adopt_layer_with(id, directory, |_| Ok(meta))
    }

    /// Like [`Store::adopt_layer`], but `inspect` looks at the tree first: where nobody can reach it by name any more, and
    /// before anybody sees it as a layer. With its error the tree is thrown away.
    pub fn adopt_layer_with<E: From<Error>>(
        &self,
        id: &LayerId,
        directory: &Path,
        inspect: impl FnOnce(&Path) -> Result<LayerMeta, E>,
    ) -> Result<Committed, E> {
        let writer = self.layer_writer(id)?;
        files::remove(&writer.upper)?;
        fs::rename(directory, &writer.upper).map_err(|source| Error::io("take over", directory, source))?;
        // Looked at only now, where nobody can put another thing in its place.
        let metadata = fs::symlink_metadata(&writer.upper);
        let metadata = metadata.map_err(|source| Error::io("look at", &writer.upper, source))?;
        if !metadata.is_dir() {
            return Err(Error::NotADirectory { path: directory.to_owned() }.into());
        }
        let meta = inspect(&writer.upper)?;
        Ok(writer.commit(meta)?)
    }

    /// Removes a layer that was found to be damaged.
    pub fn evict_layer(&self, id: &LayerId) -> Result<(), Error> {
        self.writable()?;
        tracing::warn!(layer = %id, "damaged layer, removed");
        match files::trash(&self.root, &self.layer_dir(id))? {
            Some(grave) => files::remove(&grave),
            None => Ok(()),
        }
    }

    /// Lists the layers by name.
    pub fn layers(&self) -> Result<Vec<LayerId>, Error> {
        Ok(files::names(&self.join("layers"))?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    pub(crate) fn layer_dir(&self, id: &LayerId) -> PathBuf {
        self.root.join(layer_name(id))
    }
}

/// Returns a layer's path below the root.
pub(crate) fn layer_name(id: &LayerId) -> String {
    format!("layers/{id}")
}

/// A layer in the making. Dropped before its commit, it leaves nothing.
#[derive(Debug)]
pub struct LayerWriter<'a> {
    store: &'a Store,
    id: LayerId,
    directory: PathBuf,
    upper: PathBuf,
    work: PathBuf,
}

impl LayerWriter<'_> {
    /// Returns the layer's name.
    pub fn id(&self) -> &LayerId {
        &self.id
    }

    /// Returns the directory that becomes the layer: what to give overlayfs as `upperdir`.
    pub fn fs(&self) -> &Path {
        &self.upper
    }

    /// Returns an empty directory beside it: what to give overlayfs as `workdir`.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Makes the layer visible. The first one wins; a later one is thrown away.
    pub fn commit(self, meta: LayerMeta) -> Result<Committed, Error> {
        let store = self.store;
        files::remove(&self.work)?;
        files::write_document(&self.directory.join("meta.new"), &self.directory.join("meta.json"), &meta)?;
        let name = layer_name(&self.id);
        store.journal(|journal| journal.made(&name))?;
        let target = store.root.join(&name);
        loop {
            match fs::rename(&self.directory, &target) {
                Ok(()) => return Ok(Committed::First),
                Err(error)
                    if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) =>
                {
                    if store.has_layer(&self.id) {
                        return Ok(Committed::Lost);
                    }
                    store.evict_layer(&self.id)?;
                }
                Err(error) => return Err(Error::io("rename a layer to", target, error)),
            }
        }
    }
}

impl Drop for LayerWriter<'_> {
    fn drop(&mut self) {
        if let Err(error) = files::remove(&self.directory) {
            tracing::warn!(path = %self.directory.display(), %error, "left a temporary directory behind");
        }
    }
}
