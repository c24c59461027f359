//! Owners where files cannot be given away.
//!
//! In a namespace that enforces PodSecurity `restricted` the build pod is an ordinary user without capabilities, and so are all
//! files of its store. What an image says of owner and mode is then noted in an attribute of the file, [`NOTE`], and read from
//! there: everything above this module sees the owners that the image will have. Without a note a file belongs to root and its
//! mode is its own. Links and special files cannot carry attributes: they belong to root.
//!
//! Such a store is of no use to anybody who mounts its layers, so it has a place of its own on the volume.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, XattrFlags, fchmod, fgetxattr, fremovexattr, fsetxattr, lgetxattr};
use rustix::io::Errno;

use super::Owner;
use super::meta::{Kind, Meta};

/// What notes begin with; never part of an image.
pub const NOTE_PREFIX: &[u8] = b"user.slipway.";
/// The attribute with owner and mode: `uid:gid:mode`, the mode in octal.
const NOTE: &str = "user.slipway.owner";
/// Stands for file capabilities, which only the privileged may set.
pub(super) const CAPABILITY: &str = "user.slipway.capability";
/// What the owner of a file must keep to work with it.
const FILE_FLOOR: u32 = 0o600;
const DIRECTORY_FLOOR: u32 = 0o700;

static NOTED: AtomicBool = AtomicBool::new(false);

/// From now on this process notes owners.
pub fn note_owners() {
    NOTED.store(true, Ordering::Relaxed);
}

/// Tells whether owners are noted.
pub(super) fn are_noted() -> bool {
    NOTED.load(Ordering::Relaxed)
}

/// Notes owner and mode of an open file or directory, and sets as much of the mode as leaves it usable.
pub(super) fn give(file: impl AsFd, owner: Owner, mode: u32) -> io::Result<()> {
    let is_dir = Meta::raw(&file)?.is_dir();
    let real = mode | if is_dir { DIRECTORY_FLOOR } else { FILE_FLOOR };
    fchmod(&file, Mode::from_raw_mode(real))?;
    if owner == Owner::default() && real == mode {
        return match fremovexattr(&file, NOTE) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(errno.into()),
        };
    }
    let note = format!("{}:{}:{mode:o}", owner.uid, owner.gid);
    Ok(fsetxattr(&file, NOTE, note.as_bytes(), XattrFlags::empty())?)
}

/// Puts what is noted of an open file in place of what the file system says.
pub(super) fn seen(file: impl AsFd, meta: Meta) -> io::Result<Meta> {
    let mut buffer = [0; 64];
    let noted = fgetxattr(file, NOTE, &mut buffer);
    apply(meta, noted.map(|length| &buffer[..length]))
}

/// The same for a name in a directory.
pub(super) fn seen_at(directory: impl AsFd, name: &OsStr, meta: Meta) -> io::Result<Meta> {
    let mut buffer = [0; 64];
    let noted = if matches!(meta.kind, Kind::File | Kind::Directory) {
        // There is no call that takes a directory and a name. The name is one component, and a link is not followed.
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd())).join(name);
        lgetxattr(&path, NOTE, &mut buffer)
    } else {
        Err(Errno::NODATA)
    };
    apply(meta, noted.map(|length| &buffer[..length]))
}

fn apply(meta: Meta, noted: Result<&[u8], Errno>) -> io::Result<Meta> {
    match noted {
        Ok(note) => {
            let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a note of an owner is not readable");
            let text = std::str::from_utf8(note).map_err(|_| wrong())?;
            let mut parts = text.split(':');
            let mut number = |radix| u32::from_str_radix(parts.next()?, radix).ok();
            let (uid, gid, mode) = (number(10), number(10), number(8));
            match (uid, gid, mode) {
                (Some(uid), Some(gid), Some(mode)) => Ok(Meta { mode, uid, gid, ..meta }),
                _ => Err(wrong()),
            }
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(Meta { uid: 0, gid: 0, ..meta }),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        let stat = rustix::fs::stat("/").expect("a root");
        Meta { uid: 65532, gid: 65532, mode: 0o755, ..Meta::from(stat) }
    }

    #[test]
    fn a_note_counts_and_nothing_means_root() {
        let noted = apply(meta(), Ok(b"1000:50:4711")).expect("readable");
        assert_eq!((noted.uid, noted.gid, noted.mode), (1000, 50, 0o4711));
        let plain = apply(meta(), Err(Errno::NODATA)).expect("readable");
        assert_eq!((plain.uid, plain.gid, plain.mode), (0, 0, 0o755));
        assert!(apply(meta(), Ok(b"x")).is_err());
    }
}
