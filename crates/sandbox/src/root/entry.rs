//! Entries of directories by the descriptor of their directory: what they are, and how to copy, remove and give them their
//! metadata. No path is looked up twice, and no symlink is followed.

use std::{
    ffi::{CStr, CString, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, StatxAttributes, StatxFlags, Timespec, Timestamps,
        UTIME_OMIT, Uid, XattrFlags, chownat, copy_file_range, fchmod, fchown, fgetxattr, flistxattr,
        fsetxattr, futimens, ioctl_ficlone, makedev, mkdirat, mknodat, openat, readlinkat, statx, symlinkat,
        unlinkat, utimensat,
    },
    io::Errno,
};

/// A point in time as the file system stores it.
pub(crate) type Time = (i64, u32);

/// A device and the number of a file on it.
pub(crate) type Number = ((u32, u32), u64);

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) links: u32,
    pub(crate) special: (u32, u32),
    pub(crate) modified: Time,
    pub(crate) changed: Time,
    pub(crate) born: Option<Time>,
    /// Something is mounted here: not ours to copy, compare or remove.
    pub(crate) mount_point: bool,
}

impl Meta {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(u32::from(self.mode))
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Overlayfs's mark for a removed entry.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind() == FileType::CharacterDevice && self.special == (0, 0)
    }

    /// Returns whether both are one and the same, and not a later one under the same number, where the file system tells.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.identity() == other.identity() && self.born == other.born
    }

    pub(crate) fn identity(&self) -> Number {
        (self.device, self.inode)
    }

    fn permissions(&self) -> Mode {
        Mode::from_raw_mode(u32::from(self.mode) & 0o7777)
    }
}

/// Returns what `name` in a directory is; `None` where there is nothing.
pub(crate) fn look(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Meta>> {
    match meta(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns what something open is.
pub(crate) fn meta_of(fd: BorrowedFd<'_>) -> io::Result<Meta> {
    meta(fd, OsStr::new(""), AtFlags::EMPTY_PATH)
}

fn meta(directory: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> io::Result<Meta> {
    let found =
        statx(directory, name, flags | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    let time = |stamp: rustix::fs::StatxTimestamp| (stamp.tv_sec, stamp.tv_nsec);
    let born = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    Ok(Meta {
        device: (found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        mode: found.stx_mode,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: found.stx_size,
        links: found.stx_nlink,
        special: (found.stx_rdev_major, found.stx_rdev_minor),
        modified: time(found.stx_mtime),
        changed: time(found.stx_ctime),
        born: born.then(|| time(found.stx_btime)),
        mount_point: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    })
}

/// Returns which mount a path lies on.
pub(crate) fn mount_of(path: &Path) -> io::Result<u64> {
    Ok(statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Opens a directory in a directory, for reading.
pub(crate) fn open_directory(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?)
}

/// Returns the names in a directory, sorted.
pub(crate) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort();
    Ok(names)
}

/// Removes an entry with all below it, except what is mounted there and what leads to it. Returns whether it is gone.
pub(crate) fn remove(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    let Some(meta) = look(directory, name)? else { return Ok(true) };
    if meta.mount_point {
        return Ok(false);
    }
    if !meta.is_directory() {
        unlinkat(directory, name, AtFlags::empty())?;
        return Ok(true);
    }
    let inside = open_directory(directory, name)?;
    if !clear(inside.as_fd())? {
        // It stays, and in the container's own overlay it may come from the image yet. A change makes it one of the
        // container's files, whose numbers stay the same from here on.
        fchmod(&inside, meta.permissions())?;
        return Ok(false);
    }
    unlinkat(directory, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

/// Removes all that is in a directory, with the same exception. Returns whether it is empty.
pub(crate) fn clear(directory: BorrowedFd<'_>) -> io::Result<bool> {
    let mut empty = true;
    for name in names(directory)? {
        empty &= remove(directory, &name)?;
    }
    Ok(empty)
}

/// Copies an entry that is not a directory; there must be nothing at the target.
pub(crate) fn copy(
    from: BorrowedFd<'_>,
    name: &OsStr,
    meta: &Meta,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> io::Result<()> {
    match meta.kind() {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let source = File::from(openat(from, name, flags, Mode::empty())?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = File::from(openat(to, new, flags, Mode::RUSR | Mode::WUSR)?);
            copy_bytes(&source, &target)?;
            adorn(target.as_fd(), source.as_fd(), meta)?;
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?, to, new)?;
            dress_unopened(to, new, meta, false)?;
        }
        kind => {
            let device = makedev(meta.special.0, meta.special.1);
            mknodat(to, new, kind, meta.permissions(), device)?;
            dress_unopened(to, new, meta, true)?;
        }
    }
    Ok(())
}

/// Makes the content the same: by sharing blocks where the file system can, else in the kernel, else by hand.
fn copy_bytes(mut source: &File, mut target: &File) -> io::Result<()> {
    if ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    loop {
        match copy_file_range(source, None, target, None, 1 << 30) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return io::copy(&mut source, &mut target).map(drop);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives an open file or directory the owner, mode, extended attributes and time of another.
pub(crate) fn adorn(target: BorrowedFd<'_>, source: BorrowedFd<'_>, meta: &Meta) -> io::Result<()> {
    fchown(target, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    // After the owner, whose change takes set-user-id bits and file capabilities away.
    fchmod(target, meta.permissions())?;
    for (name, value) in attributes(source)? {
        match fsetxattr(target, &*name, &value, XattrFlags::empty()) {
            // Labels of the host are not the image's business, and may not be ours to set.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(Errno::PERM | Errno::ACCESS) if name.to_bytes().starts_with(b"security.selinux") => {}
            Err(error) => return Err(error.into()),
        }
    }
    futimens(target, &times(meta.modified))?;
    Ok(())
}

/// The same for what cannot be opened.
fn dress_unopened(directory: BorrowedFd<'_>, name: &OsStr, meta: &Meta, has_mode: bool) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    chownat(directory, name, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)), flags)?;
    if has_mode {
        // A node that was just made by us, in a directory that nobody else writes to: no symlink can be in its place.
        rustix::fs::chmodat(directory, name, meta.permissions(), AtFlags::empty())?;
    }
    utimensat(directory, name, &times(meta.modified), flags)?;
    Ok(())
}

fn times(modified: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.0, tv_nsec: modified.1.into() },
    }
}

/// Returns the extended attributes that belong to an image: not those in which overlayfs keeps its notes.
pub(crate) fn attributes(fd: BorrowedFd<'_>) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let list = match sized(|buffer| flistxattr(fd, buffer)) {
        Err(Errno::OPNOTSUPP) => Vec::new(),
        list => list?,
    };
    let mut found = Vec::new();
    for name in list.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        if name.to_bytes().starts_with(b"user.overlay.") || name.to_bytes().starts_with(b"trusted.") {
            continue;
        }
        match sized(|buffer| fgetxattr(fd, name, buffer)) {
            // It was taken away meanwhile.
            Err(Errno::NODATA) => {}
            value => found.push((name.to_owned(), value?)),
        }
    }
    found.sort();
    Ok(found)
}

/// Reads something of unknown size: most are small, none is larger than the kernel's 64 KiB.
fn sized(mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match read(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; 64 << 10];
            let length = read(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}

/// Returns whether overlayfs noted that a directory hides the one below it.
pub(crate) fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0_u8; 2];
    fgetxattr(directory, c"user.overlay.opaque", &mut value) == Ok(1) && value[0] == b'y'
}

/// Notes it.
pub(crate) fn make_opaque(directory: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fsetxattr(directory, c"user.overlay.opaque", b"y", XattrFlags::empty())?)
}

/// Notes that an entry was removed.
pub(crate) fn make_whiteout(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0)?)
}

/// Makes a directory that only we see yet, and opens it.
pub(crate) fn make_directory(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    mkdirat(directory, name, Mode::RWXU)?;
    open_directory(directory, name)
}

/// Says where an error happened.
pub(crate) fn at<T>(name: &OsStr, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| {
        let place = String::from_utf8_lossy(name.as_bytes()).into_owned();
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Placed>()) {
            Some(Placed { path, said }) => {
                Placed { path: format!("{place}/{path}"), said: said.clone() }.into_error(error.kind())
            }
            None => Placed { path: place, said: error.to_string() }.into_error(error.kind()),
        }
    })
}

/// An error with the path that it concerns, built up on the way out of the recursion.
#[derive(Debug, thiserror::Error)]
#[error("`{path}`: {said}")]
struct Placed {
    path: String,
    said: String,
}

impl Placed {
    fn into_error(self, kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }
}
