//! Extended attributes of open files and directories.
//!
//! Links and devices are left out: only `trusted.` and `security.` attributes can be on them, and reaching them needs a path.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

use super::owners;

/// Attributes by name, sorted.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What overlayfs notes for itself when mounted with `userxattr`; never part of an image.
pub const OVERLAY_PREFIX: &[u8] = b"user.overlay.";
/// Says that a directory hides the same directory of the layers below.
const OPAQUE: &str = "user.overlay.opaque";

/// Reads the attributes that belong to a file: not overlayfs's notes, not `trusted.` and `system.` ones, no labels of the machine (`security.selinux`
/// and the like), but file capabilities.
pub fn read(file: impl AsFd) -> io::Result<Xattrs> {
    let mut found = Xattrs::new();
    for name in names(&file)? {
        if owners::are_noted() && name.as_bytes() == owners::CAPABILITY.as_bytes() {
            found.extend(get(&file, &name)?.map(|value| (b"security.capability".to_vec(), value)));
        }
        if !belongs(name.as_bytes()) {
            continue;
        }
        if let Some(value) = get(&file, &name)? {
            found.insert(name.into_bytes(), value);
        }
    }
    Ok(found)
}

/// Tells whether an attribute is a file's own, and not the system's.
pub fn belongs(name: &[u8]) -> bool {
    let labels = name.starts_with(b"security.") && name != b"security.capability";
    !(labels
        || [OVERLAY_PREFIX, owners::NOTE_PREFIX, b"trusted.", b"system."]
            .iter()
            .any(|prefix| name.starts_with(prefix)))
}

/// Writes attributes. What this file system or this process cannot set is left out, as every builder does.
pub fn write(file: impl AsFd, xattrs: &Xattrs) -> io::Result<()> {
    for (name, value) in xattrs.iter().filter(|(name, _)| belongs(name)) {
        let noted = owners::are_noted() && name == b"security.capability";
        let name = if noted { owners::CAPABILITY.as_bytes().to_vec() } else { name.clone() };
        let Ok(name) = CString::new(name) else { continue };
        match fsetxattr(&file, &name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Tells whether a directory is marked as hiding what is below it.
pub fn is_opaque(dir: impl AsFd) -> io::Result<bool> {
    let mut value = [0; 4];
    match fgetxattr(dir, OPAQUE, &mut value) {
        // `x` is what newer kernels write for a directory that only may hold whiteouts as attributes.
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Marks a directory as hiding what is below it.
pub fn set_opaque(dir: impl AsFd) -> io::Result<()> {
    Ok(fsetxattr(dir, OPAQUE, b"y", XattrFlags::empty())?)
}

/// Takes the mark away.
pub fn clear_opaque(dir: impl AsFd) -> io::Result<()> {
    match fremovexattr(dir, OPAQUE) {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes all notes to overlayfs away, but for a directory's mark of being opaque. Tells how many they were.
pub fn scrub(file: impl AsFd, is_dir: bool) -> io::Result<u64> {
    let mut scrubbed = 0;
    for name in names(&file)? {
        let note = name.as_bytes().starts_with(OVERLAY_PREFIX);
        let mark = is_dir
            && name.as_bytes() == OPAQUE.as_bytes()
            && get(&file, &name)?.is_some_and(|value| value == b"y");
        if note && !mark {
            fremovexattr(&file, &name)?;
            scrubbed += 1;
        }
    }
    Ok(scrubbed)
}

fn names(file: &impl AsFd) -> io::Result<Vec<CString>> {
    let mut buffer = vec![0_u8; 256];
    loop {
        match flistxattr(file, &mut buffer) {
            Ok(length) => {
                let names = buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
                return Ok(names.filter_map(|name| CString::new(name).ok()).collect());
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 8, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn get(file: &impl AsFd, name: &CString) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0_u8; 256];
    loop {
        match fgetxattr(file, name, &mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 8, 0),
            // Gone between the listing and now.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}
