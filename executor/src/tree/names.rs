//! Files with several names: which name came first. Small, since every file of a layer may have a second name in another one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::meta::Meta;

/// The first names of files. Directories are kept once, and a name without its directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By device, of which there are one or two.
    devices: Vec<(u64, HashMap<u64, Place>)>,
    directories: Vec<Box<[u8]>>,
    /// Each with its length before it.
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    directory: u32,
    name: u32,
}

impl Names {
    /// Returns the first name of a file as directory and name; none for one that was not seen before: this name is noted.
    pub(super) fn first(
        &mut self,
        meta: &Meta,
        directory: &[u8],
        name: &OsStr,
    ) -> Option<(PathBuf, PathBuf)> {
        let at = match self.devices.iter().position(|(device, _)| *device == meta.dev) {
            Some(at) => at,
            None => {
                self.devices.push((meta.dev, HashMap::new()));
                self.devices.len() - 1
            }
        };
        if let Some(place) = self.devices[at].1.get(&meta.ino) {
            let directory = self.directories.get(place.directory as usize)?;
            let start = place.name as usize + 2;
            let length = usize::from(u16::from_le_bytes([self.text[start - 2], self.text[start - 1]]));
            let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
            return Some((path(directory), path(&self.text[start..start + length])));
        }
        if self.directories.last().is_none_or(|last| **last != *directory) {
            self.directories.push(directory.into());
        }
        let (directory, start) = (self.directories.len() - 1, self.text.len());
        // Four billion bytes of names: those beyond are files of their own, as if they had one name.
        if let (Ok(directory), Ok(start)) = (u32::try_from(directory), u32::try_from(start)) {
            let bytes = name.as_bytes();
            self.text.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            self.text.extend_from_slice(bytes);
            self.devices[at].1.insert(meta.ino, Place { directory, name: start });
        }
        None
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
