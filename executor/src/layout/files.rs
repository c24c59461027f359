//! The files of a layout: in a folder, or in an archive that is read where it lies.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slipway_oci::archive::{Kind, Limits, Reader};
use slipway_oci::compress::{Decoder, Format};

use super::LayoutError;

/// How many links in an archive are followed.
const MAX_LINKS: usize = 8;

/// Files by name.
#[derive(Debug)]
pub(super) enum Files {
    /// In a folder; one that was made for the purpose goes with the guard.
    Folder(PathBuf, #[allow(dead_code)] Option<Arc<Temporary>>), // kept for its end
    /// In an archive.
    Archive(Archive),
}

/// An archive and where its entries lie.
#[derive(Debug)]
pub(super) struct Archive {
    file: PathBuf,
    entries: HashMap<Vec<u8>, Found>,
    /// The unpacked stream, where the archive was packed.
    _unpacked: Option<Temporary>,
}

#[derive(Debug)]
enum Found {
    File { offset: u64, size: u64 },
    Link(Vec<u8>),
}

/// Where a file's bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file that has them.
    pub path: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub size: u64,
}

impl Place {
    /// Reads from a byte on.
    pub fn reader(&self, from: u64) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset.saturating_add(from)))?;
        Ok(file.take(self.size.saturating_sub(from)))
    }
}

impl slipway_registry::Source for Place {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.reader(offset)?))
    }
}

impl Files {
    /// Opens a folder or an archive, packed or not.
    pub(super) fn open(path: &Path) -> Result<Self, LayoutError> {
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => LayoutError::NotThere(path.to_owned()),
            _ => failed(path, source),
        })?;
        if metadata.is_dir() {
            return Ok(Self::Folder(path.to_owned(), None));
        }
        if !metadata.is_file() {
            return Err(LayoutError::NotThere(path.to_owned()));
        }
        let open = || File::open(path).map_err(|source| failed(path, source));
        let mut head = Vec::new();
        open()?.take(Format::SNIFF as u64).read_to_end(&mut head).map_err(|source| failed(path, source))?;
        if Format::sniff(&head) == Format::None {
            return Archive::open(path, path.to_owned(), None).map(Self::Archive);
        }
        let temporary = Temporary::new("layout");
        let unpacked = temporary.0.clone();
        let unpack = || -> io::Result<()> {
            let mut decoder = Decoder::new(open().map_err(io::Error::other)?, Limits::default())?;
            io::copy(&mut decoder, &mut File::create_new(&unpacked)?).map(drop)
        };
        unpack().map_err(|source| failed(path, source))?;
        Archive::open(path, unpacked, Some(temporary)).map(Self::Archive)
    }

    /// Returns where a file lies. `layout` is what errors name.
    pub(super) fn find(&self, layout: &Path, name: &str) -> Result<Option<Place>, LayoutError> {
        match self {
            Self::Folder(folder, _) => {
                let path = folder.join(name);
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => {
                        Ok(Some(Place { path, offset: 0, size: metadata.len() }))
                    }
                    Ok(_) => Ok(None),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(failed(&path, error)),
                }
            }
            Self::Archive(archive) => archive.find(layout, name),
        }
    }

    /// Reads a small file; none where it is not there.
    pub(super) fn read(
        &self,
        layout: &Path,
        name: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, LayoutError> {
        let Some(place) = self.find(layout, name)? else { return Ok(None) };
        if place.size > limit as u64 {
            return Err(LayoutError::Wrong {
                path: layout.to_owned(),
                reason: format!("`{name}` has {} bytes, more than the limit of {limit}", place.size),
            });
        }
        let mut bytes = Vec::new();
        place
            .reader(0)
            .and_then(|mut reader| reader.read_to_end(&mut bytes))
            .map_err(|source| failed(&place.path, source))?;
        Ok(Some(bytes))
    }
}

impl Archive {
    /// Notes where the entries of an archive lie, without reading them.
    fn open(layout: &Path, file: PathBuf, unpacked: Option<Temporary>) -> Result<Self, LayoutError> {
        let refused = |source| LayoutError::Archive { path: layout.to_owned(), source: Box::new(source) };
        let input = File::open(&file).map_err(|source| failed(layout, source))?;
        let mut reader = Reader::new(input, Limits::default());
        let mut entries = HashMap::new();
        while let Some(entry) = reader.next_entry().map_err(refused)? {
            let found = match entry.kind {
                Kind::File { size } => Found::File { offset: reader.offset(), size },
                Kind::Hardlink { target } => Found::Link(target),
                Kind::Symlink { target } => match beside(&entry.path, &target) {
                    Some(target) => Found::Link(target),
                    None => continue,
                },
                _ => continue,
            };
            // The last entry of a name counts, as for whoever unpacks the archive.
            entries.insert(entry.path, found);
        }
        Ok(Self { file, entries, _unpacked: unpacked })
    }

    fn find(&self, layout: &Path, name: &str) -> Result<Option<Place>, LayoutError> {
        let mut name = name.as_bytes();
        for _ in 0..MAX_LINKS {
            match self.entries.get(name) {
                None => return Ok(None),
                Some(Found::File { offset, size }) => {
                    return Ok(Some(Place { path: self.file.clone(), offset: *offset, size: *size }));
                }
                Some(Found::Link(target)) => name = target,
            }
        }
        let reason = format!("`{}` is a link that leads nowhere", String::from_utf8_lossy(name));
        Err(LayoutError::Wrong { path: layout.to_owned(), reason })
    }
}

/// Returns what a symbolic link means within an archive; none where it leads out of it.
fn beside(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    parts.pop();
    if target.first() == Some(&b'/') {
        return None;
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join(&b'/'))
}

pub(super) fn failed(path: &Path, source: io::Error) -> LayoutError {
    LayoutError::Io { path: path.display().to_string(), source }
}

/// A file or folder that goes with it.
#[derive(Debug)]
pub(super) struct Temporary(pub(super) PathBuf);

impl Temporary {
    /// Names a new one; nothing is made.
    pub(super) fn new(what: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("slipway-{what}-{}-{number}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if fs::remove_file(&self.0).is_err() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
