//! Small helpers on files: temporary names, atomic writes, checksummed documents, removal of trees.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_oci::Digest;

use crate::Error;

/// Makes a directory and its parents.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::io("create", path, source))
}

/// Sets a directory's permissions, whatever the process's umask says.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| Error::io("change", path, source))
}

/// Returns a name that no other process and no other thread uses: process ids repeat between pods, so time is part of it.
pub(crate) fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{:x}-{:x}-{:x}", std::process::id(), nanos, COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Reads a file that may not be there.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Writes a file under a temporary name and renames it: a reader sees the old or the new content, never a part.
pub(crate) fn write_atomically(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = File::create(temporary).and_then(|mut file| file.write_all(bytes));
    let written = written.map_err(|source| Error::io("write", temporary, source));
    let renamed = written.and_then(|()| {
        fs::rename(temporary, path).map_err(|source| Error::io("rename a file to", path, source))
    });
    if renamed.is_err() {
        let _ = fs::remove_file(temporary);
    }
    renamed
}

/// Writes a JSON document with its checksum on the first line.
pub(crate) fn write_document(temporary: &Path, path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let body =
        serde_json::to_vec(value).map_err(|error| Error::io("encode", path, io::Error::other(error)))?;
    let mut bytes = Digest::of(&body).hex().into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    write_atomically(temporary, path, &bytes)
}

/// Reads a document; absent, damaged and foreign ones are all nothing.
pub(crate) fn read_document<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    let document = decode(&bytes);
    if document.is_none() {
        tracing::warn!(path = %path.display(), "damaged document, taken as absent");
    }
    document
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (sum, body) = bytes.split_at_checked(64)?;
    let body = body.strip_prefix(b"\n")?;
    if Digest::of(body).hex().as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// Removes a file or a whole tree; what is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => remove_tree(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// `remove_dir_all`, but for a user who is not root too: directories that a build made unwritable are opened up first.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_up(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Moves a thing out of sight at once, then removes it; readers that have it open keep it.
///
/// Tells whether it was there.
pub(crate) fn trash(root: &Path, path: &Path) -> Result<Option<PathBuf>, Error> {
    let grave = root.join("trash").join(unique());
    match fs::rename(path, &grave) {
        Ok(()) => Ok(Some(grave)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("move away", path, error)),
    }
}

/// Lists the names in a directory, sorted; one that is not there is empty.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", directory, error)),
    };
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|source| Error::io("list", directory, source))?;
        // Names that are not text are not ours.
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Marks a thing as used now; a store on a read-only mount has no say in that.
pub(crate) fn touch(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Returns when a thing was last used.
pub(crate) fn last_used(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Checks a name that comes from outside and becomes one component of a path.
pub(crate) fn checked_name(name: &str) -> Result<&str, Error> {
    let fits = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits { Ok(name) } else { Err(Error::Name { name: name.to_owned() }) }
}
