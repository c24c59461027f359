//! What a walk finds, summed up in its order. An entry is forgotten once it and all before it are known.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use slipway_graph::ContentFact;
use slipway_oci::Digest;

/// Written at the front of every digest: another way of digesting gives other keys.
const VERSION: &[u8] = b"slipway content 1";
/// As many files as are listed one by one; of larger selections, directories are.
const LISTED: usize = 2000;
/// Directories are listed at most this deep.
const DEEPEST: usize = 4;

/// All that was found.
#[derive(Default)]
pub(super) struct Found {
    state: Mutex<State>,
}

/// Something that was found.
pub(super) struct Entry {
    /// Below the selection.
    pub(super) path: PathBuf,
    /// Below which of the selected things.
    pub(super) top: u32,
    pub(super) is_dir: bool,
    pub(super) header: Vec<u8>,
    pub(super) content: Content,
}

/// The digest of a file's bytes and attributes.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// Nothing but a file has it.
    None,
    /// A thread is reading it.
    Awaited,
    /// Known.
    Is(Digest),
}

struct State {
    /// Entries from the first one on that waits for a thread.
    open: VecDeque<Entry>,
    /// How many entries were before those.
    closed: u64,
    /// Where selected things are in the tree.
    tops: Vec<PathBuf>,
    hash: Sha256,
    listed: Option<Listed>,
}

/// What people are told of it.
#[derive(Default)]
struct Listed {
    files: Files,
    directories: Directories,
}

impl Default for State {
    fn default() -> Self {
        let mut hash = Sha256::new();
        hash.update(VERSION);
        Self { open: VecDeque::new(), closed: 0, tops: Vec::new(), hash, listed: Some(Listed::default()) }
    }
}

impl Found {
    /// For a digest alone.
    pub(super) fn unlisted() -> Self {
        Self { state: Mutex::new(State { listed: None, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a selected thing.
    pub(super) fn begin(&self, top: PathBuf) -> u32 {
        let mut state = self.lock();
        state.tops.push(top);
        state.tops.len() as u32 - 1
    }

    /// Adds an entry and returns its number.
    pub(super) fn push(&self, entry: Entry) -> u64 {
        let mut state = self.lock();
        let number = state.closed + state.open.len() as u64;
        state.open.push_back(entry);
        state.close();
        number
    }

    /// Fills in what a thread has read.
    pub(super) fn read(&self, digests: Vec<(u64, Digest)>) {
        let mut state = self.lock();
        for (number, digest) in digests {
            let at = (number - state.closed) as usize;
            if let Some(entry) = state.open.get_mut(at) {
                entry.content = Content::Is(digest);
            }
        }
        state.close();
    }

    /// Sums up.
    pub(super) fn sum(self) -> ContentFact {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let digest = Digest::from_bytes(state.hash.finalize().into());
        let listed = state.listed.unwrap_or_default();
        let files = listed.files.listed().unwrap_or_else(|| listed.directories.listed());
        ContentFact { digest, files }
    }
}

impl State {
    /// Takes in the entries at the front that are known.
    fn close(&mut self) {
        while let Some(entry) = self.open.pop_front() {
            let content = match &entry.content {
                Content::Awaited => {
                    self.open.push_front(entry);
                    return;
                }
                Content::None => &[][..],
                Content::Is(digest) => digest.bytes(),
            };
            framed(&mut self.hash, entry.path.as_os_str().as_bytes());
            framed(&mut self.hash, &entry.header);
            framed(&mut self.hash, content);
            if let Some(listed) = &mut self.listed {
                listed.add(&self.tops, &entry, content);
            }
            self.closed += 1;
        }
    }
}

impl Listed {
    fn add(&mut self, tops: &[PathBuf], entry: &Entry, content: &[u8]) {
        let mut hash = Sha256::new();
        framed(&mut hash, &entry.header);
        framed(&mut hash, content);
        let digest = Digest::from_bytes(hash.finalize().into());
        let shown = Self::shown(tops, entry);
        self.directories.add(&shown, entry.is_dir, &digest);
        if !entry.is_dir {
            self.files.add(shown, digest);
        }
    }

    /// Returns an entry's path in the tree, for people; a directory's ends with a slash.
    fn shown(tops: &[PathBuf], entry: &Entry) -> String {
        let top = &tops[entry.top as usize];
        let path = if entry.path.as_os_str().is_empty() { top.clone() } else { top.join(&entry.path) };
        let slash = if entry.is_dir { "/" } else { "" };
        format!("{}{slash}", path.to_string_lossy())
    }
}

fn framed(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// The files one by one, unless they are too many.
struct Files(Option<Vec<(String, Digest)>>);

impl Default for Files {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl Files {
    fn add(&mut self, shown: String, digest: Digest) {
        if let Some(files) = &mut self.0 {
            files.push((shown, digest));
            if files.len() > LISTED {
                self.0 = None;
            }
        }
    }

    fn listed(self) -> Option<Vec<(String, Digest)>> {
        let mut files = self.0?;
        files.sort();
        files.dedup();
        Some(files)
    }
}

/// Sums by directory, for each depth that does not give too many of them.
struct Directories {
    /// By depth, from 1 on.
    depths: [Option<BTreeMap<String, Sha256>>; DEEPEST],
}

impl Default for Directories {
    fn default() -> Self {
        Self { depths: std::array::from_fn(|_| Some(BTreeMap::new())) }
    }
}

impl Directories {
    fn add(&mut self, shown: &str, is_dir: bool, digest: &Digest) {
        if shown == "/" {
            return;
        }
        let plain = shown.trim_end_matches('/');
        for (at, sums) in self.depths.iter_mut().enumerate() {
            let Some(map) = sums else { continue };
            let name = match plain.match_indices('/').nth(at) {
                Some((end, _)) => &shown[..=end],
                None if is_dir => shown,
                None => plain,
            };
            if !map.contains_key(name) {
                // Of the shallowest, the first names in order are kept; a name that went does not come back.
                let full = map.len() >= LISTED;
                if full && at > 0 {
                    *sums = None;
                    continue;
                }
                if full && map.last_key_value().is_some_and(|(last, _)| name > last.as_str()) {
                    continue;
                }
                if full {
                    map.pop_last();
                }
                map.insert(name.to_owned(), Sha256::new());
            }
            if let Some(hash) = map.get_mut(name) {
                framed(hash, shown.as_bytes());
                framed(hash, digest.bytes());
            }
        }
    }

    /// Returns the sums of the deepest that is not too much.
    fn listed(self) -> Vec<(String, Digest)> {
        let deepest = self.depths.into_iter().flatten().next_back().unwrap_or_default();
        deepest.into_iter().map(|(name, hash)| (name, Digest::from_bytes(hash.finalize().into()))).collect()
    }
}
