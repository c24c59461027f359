//! What takes how much room, and when it was last used.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use crate::{Error, LayerId, LayerMeta, Store, files};

/// What kind of thing takes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum Kind {
    Blob,
    PulledLayer,
    BuiltLayer,
    Source,
    Mount,
    Build,
    Record,
    Form,
    Memo,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageItem {
    /// What kind.
    pub kind: Kind,
    /// Its path below the store.
    pub name: String,
    /// What it is called, for people: a cache mount's id; else its name.
    pub title: String,
    /// Its bytes.
    pub size: u64,
    /// When it was last used.
    pub last_used: SystemTime,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The things, by kind and name.
    pub items: Vec<UsageItem>,
    /// Bytes that the file system still has for us.
    pub free: u64,
}

impl Usage {
    /// Returns the bytes of all things.
    pub fn total(&self) -> u64 {
        self.items.iter().map(|item| item.size).sum()
    }

    /// Returns the bytes and the number of the things of a kind.
    pub fn of(&self, kind: Kind) -> (u64, usize) {
        self.items
            .iter()
            .filter(|item| item.kind == kind)
            .fold((0, 0), |(size, count), item| (size + item.size, count + 1))
    }
}

impl Store {
    /// Looks at everything. What disappears meanwhile is left out.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut items = Vec::new();
        for name in files::names(&self.join("blobs/sha256"))? {
            self.file(&mut items, Kind::Blob, format!("blobs/sha256/{name}"));
        }
        for id in self.layers()? {
            self.layer_usage(&mut items, &id);
        }
        for namespace in files::names(&self.join("mounts"))? {
            let names = files::names(&self.join("mounts").join(&namespace))?;
            // Not the gate.
            for name in names.into_iter().filter(|name| !name.starts_with('.')) {
                self.tree(&mut items, Kind::Mount, format!("mounts/{namespace}/{name}"), "id");
            }
        }
        for name in files::names(&self.join("builds"))? {
            self.tree(&mut items, Kind::Build, format!("builds/{name}"), ".");
        }
        for (kind, area) in [(Kind::Record, "records"), (Kind::Form, "forms"), (Kind::Memo, "memos")] {
            for name in files::names(&self.join(area))? {
                self.file(&mut items, kind, format!("{area}/{name}"));
            }
        }
        Ok(Usage { items, free: self.free()? })
    }

    /// Returns the bytes that the file system still has for us.
    pub fn free(&self) -> Result<u64, Error> {
        Ok(self.room()?.free)
    }

    fn file(&self, items: &mut Vec<UsageItem>, kind: Kind, name: String) {
        let Ok(metadata) = fs::symlink_metadata(self.join(&name)) else { return };
        let last_used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        items.push(UsageItem { kind, title: name.clone(), name, size: metadata.len(), last_used });
    }

    fn layer_usage(&self, items: &mut Vec<UsageItem>, id: &LayerId) {
        let name = crate::layers::layer_name(id);
        let document = self.join(&name).join("meta.json");
        // One without its document is damaged: old and without size, so it goes first.
        let meta: LayerMeta = files::read_document(&document).unwrap_or_default();
        let last_used = files::last_used(&document).unwrap_or(SystemTime::UNIX_EPOCH);
        // Sources come as they are, and nobody counts them on the way.
        let size = if meta.size > 0 { meta.size } else { tree_size(self.layer_path(id)) };
        items.push(UsageItem { kind: id.kind(), title: name.clone(), name, size, last_used });
    }

    /// Walks a tree; `marker` is the file in it whose time says when it was used.
    fn tree(&self, items: &mut Vec<UsageItem>, kind: Kind, name: String, marker: &str) {
        let path = self.join(&name);
        let last_used = files::last_used(&path.join(marker)).unwrap_or(SystemTime::UNIX_EPOCH);
        let title = fs::read_to_string(path.join("id")).unwrap_or_else(|_| name.clone());
        items.push(UsageItem { kind, name, title, size: tree_size(path), last_used });
    }
}

/// Adds up what a tree occupies.
fn tree_size(root: PathBuf) -> u64 {
    let mut size = 0;
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        let Ok(listing) = fs::read_dir(&directory) else { continue };
        for entry in listing.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else {
                size += metadata.blocks() * 512;
            }
        }
    }
    size
}
