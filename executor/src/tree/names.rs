//! Files with several names: which were seen, and which name came first. Small, since all files of a layer may have a second
//! name in another one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::meta::Meta;

/// Layer, device, and the upper half of the inode.
type Group = (usize, u64, u64);

/// Something for each file, by layer, device and inode. Their upper halves are few, so an entry holds the lower one only.
#[derive(Debug)]
struct ByFile<V> {
    groups: Vec<(Group, HashMap<u32, V>)>,
    /// The group that the last file was in: the next one is there too.
    last: usize,
}

impl<V> Default for ByFile<V> {
    fn default() -> Self {
        Self { groups: Vec::new(), last: 0 }
    }
}

impl<V> ByFile<V> {
    fn entry(&mut self, layer: usize, meta: &Meta) -> Entry<'_, u32, V> {
        let group = (layer, meta.dev, meta.ino >> 32);
        if self.groups.get(self.last).is_none_or(|(known, _)| *known != group) {
            let found = self.groups.iter().position(|(known, _)| *known == group);
            self.last = found.unwrap_or_else(|| {
                self.groups.push((group, HashMap::new()));
                self.groups.len() - 1
            });
        }
        self.groups[self.last].1.entry(meta.ino as u32)
    }
}

/// Files that were seen.
#[derive(Debug, Default)]
pub(super) struct Seen(ByFile<()>);

impl Seen {
    /// Notes a file, and tells whether it is new.
    pub(super) fn insert(&mut self, meta: &Meta) -> bool {
        match self.0.entry(0, meta) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(());
                true
            }
        }
    }
}

/// The first names of files. Directories are kept once, and a name without its directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Where each name begins in the text.
    files: ByFile<u32>,
    /// Each with where the text of its names begins.
    directories: Vec<(u32, Box<[u8]>)>,
    /// The names, each with its length before it.
    text: Vec<u8>,
}

impl Names {
    /// Returns the first name of a file of a layer as directory and name; none for one that was not seen before: this name is noted.
    pub(super) fn first(
        &mut self,
        layer: usize,
        meta: &Meta,
        directory: &[u8],
        name: &OsStr,
    ) -> Option<(PathBuf, PathBuf)> {
        // Four billion bytes of names: files beyond are files of their own, as if they had one name.
        let start = u32::try_from(self.text.len()).ok()?;
        match self.files.entry(layer, meta) {
            Entry::Occupied(found) => {
                let start = *found.get();
                let place = self.directories.partition_point(|(first, _)| *first <= start);
                let (_, directory) = self.directories.get(place.checked_sub(1)?)?;
                let text = self.text.get(start as usize..)?;
                let (length, text) = text.split_first_chunk::<2>()?;
                let name = text.get(..usize::from(u16::from_le_bytes(*length)))?;
                let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
                Some((path(directory), path(name)))
            }
            Entry::Vacant(place) => {
                place.insert(start);
                if self.directories.last().is_none_or(|(_, last)| **last != *directory) {
                    self.directories.push((start, directory.into()));
                }
                self.text.extend_from_slice(&(name.len() as u16).to_le_bytes());
                self.text.extend_from_slice(name.as_bytes());
                None
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Kind, Time};

    fn meta(dev: u64, ino: u64) -> Meta {
        let (mtime, ctime) = (Time::default(), Time::default());
        Meta { kind: Kind::File, mode: 0, uid: 0, gid: 0, size: 0, mtime, ctime, dev, ino, nlink: 2, rdev: 0 }
    }

    #[test]
    fn the_first_name_of_each_file_is_known() {
        let mut names = Names::default();
        // The same lower half on another device, and with another upper half.
        let files = [(1, 7), (1, 8), (2, 7), (1, (5 << 32) | 7)];
        for (number, (dev, ino)) in files.iter().enumerate() {
            let directory = format!("d{}", number / 2);
            let name = format!("f{number}");
            assert_eq!(names.first(0, &meta(*dev, *ino), directory.as_bytes(), name.as_ref()), None);
        }
        for (number, (dev, ino)) in files.iter().enumerate() {
            let first = names.first(0, &meta(*dev, *ino), b"other", "name".as_ref());
            assert_eq!(first, Some((format!("d{}", number / 2).into(), format!("f{number}").into())));
        }
        // The same file in another layer.
        assert_eq!(names.first(1, &meta(1, 7), b"d", "f".as_ref()), None);
        names.clear();
        assert_eq!(names.first(0, &meta(1, 7), b"", "x".as_ref()), None);
        assert_eq!(names.first(0, &meta(1, 7), b"", "y".as_ref()), Some(("".into(), "x".into())));
    }

    #[test]
    fn a_file_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.insert(&meta(1, 7)) && seen.insert(&meta(2, 7)) && seen.insert(&meta(1, 1 << 40)));
        assert!(!seen.insert(&meta(1, 7)) && !seen.insert(&meta(1, 1 << 40)));
    }
}
