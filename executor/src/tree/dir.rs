//! The one door to the file system: an open directory, and operations on names in it.
//!
//! A name is one component, never a path, and is never followed if it is a symbolic link. So nothing that somebody puts into
//! a tree, or swaps while it is read, can lead an operation out of it. Paths of several components exist only in
//! [`Dir::beneath`], where the kernel refuses links and `..`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::listing::Listing;
use super::meta::{Kind, Meta, Time};
use super::{Owner, owners};

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// Whether nobody has refused yet that this process reads without a trace.
static ALLOWED: AtomicBool = AtomicBool::new(true);

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Dir {
    /// Opens a tree's root by a path of the host, which we trust.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())? })
    }

    /// Opens a child directory; a link to a directory is not one.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self { fd: fs::openat(&self.fd, component(name)?, DIRECTORY, Mode::empty())? })
    }

    /// Opens a directory some levels below. A link on the way is an error, and so is a way out.
    pub fn beneath(&self, path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(&self.fd, path, DIRECTORY, Mode::empty(), resolve) {
            // Sandboxes of user space, and valgrind, do not know it.
            Err(Errno::NOSYS) => self.step_by_step(path),
            opened => Ok(Self { fd: opened? }),
        }
    }

    /// The same, one directory after the other.
    fn step_by_step(&self, path: &Path) -> io::Result<Self> {
        let mut here = self.again()?;
        for component in path.components().filter(|component| *component != Component::CurDir) {
            here = here.enter(component.as_os_str())?;
        }
        Ok(here)
    }

    /// Opens the same directory once more.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
    }

    /// Returns what is known of the directory itself.
    pub fn meta(&self) -> io::Result<Meta> {
        let meta = Meta::raw(&self.fd)?;
        if owners::are_noted() { owners::seen(&self.fd, meta) } else { Ok(meta) }
    }

    /// Returns what is known of a name; none where it is not there.
    pub fn stat(&self, name: &OsStr) -> io::Result<Option<Meta>> {
        match fs::statat(&self.fd, component(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if owners::are_noted() => owners::seen_at(&self.fd, name, stat.into()).map(Some),
            Ok(stat) => Ok(Some(stat.into())),
            // Longer than the file system allows: it cannot be there.
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Lists the names, sorted by bytes, without `.` and `..`.
    pub fn list(&self) -> io::Result<Listing> {
        // A descriptor of its own, since the position in the listing belongs to it.
        let fd = untouched(DIRECTORY, |flags| fs::openat(&self.fd, ".", flags, Mode::empty()))?;
        let mut buffer = Vec::with_capacity(1 << 15);
        let mut raw = fs::RawDir::new(fd, buffer.spare_capacity_mut());
        let mut listed = Listing::default();
        while let Some(entry) = raw.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                listed.push(name, kind_of(entry.file_type()))?;
            }
        }
        listed.sort();
        Ok(listed)
    }

    /// Opens a regular file for reading. A pipe or device in its place is an error and does not block.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        self.open_raw(name).map(|(file, _)| file)
    }

    /// Opens a regular file for reading, and returns what is known of it.
    pub fn open_seen(&self, name: &OsStr) -> io::Result<(File, Meta)> {
        let (file, meta) = self.open_raw(name)?;
        let meta = if owners::are_noted() { owners::seen(&file, meta)? } else { meta };
        Ok((file, meta))
    }

    fn open_raw(&self, name: &OsStr) -> io::Result<(File, Meta)> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let name = component(name)?;
        let fd = untouched(flags, |flags| fs::openat(&self.fd, name, flags, Mode::empty()))?;
        let meta = Meta::raw(&fd)?;
        if meta.kind != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((File::from(fd), meta))
    }

    /// Makes a new file; anything in its place is an error.
    pub fn create_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(fs::openat(&self.fd, component(name)?, flags, Mode::from_raw_mode(0o600))?))
    }

    /// Reads a symbolic link.
    pub fn read_link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let target = fs::readlinkat(&self.fd, component(name)?, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// Makes a directory and opens it.
    pub fn make_dir(&self, name: &OsStr) -> io::Result<Self> {
        fs::mkdirat(&self.fd, component(name)?, Mode::from_raw_mode(0o700))?;
        self.enter(name)
    }

    /// Makes a symbolic link.
    pub fn make_link(&self, target: &Path, name: &OsStr) -> io::Result<()> {
        Ok(fs::symlinkat(target, &self.fd, component(name)?)?)
    }

    /// Makes a device, pipe or socket.
    pub fn make_node(&self, name: &OsStr, kind: Kind, mode: u32, device: u64) -> io::Result<()> {
        let file_type = match kind {
            Kind::Char => FileType::CharacterDevice,
            Kind::Block => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::File | Kind::Directory | Kind::Symlink => return Err(io::ErrorKind::InvalidInput.into()),
        };
        fs::mknodat(&self.fd, component(name)?, file_type, Mode::from_raw_mode(mode), device)?;
        // The process's umask has cut it. The node was made just now by us, so the name is no link.
        Ok(fs::chmodat(&self.fd, name, Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    /// Makes overlayfs's mark that a name of the layers below is gone.
    pub fn make_whiteout(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::mknodat(&self.fd, component(name)?, FileType::CharacterDevice, Mode::empty(), 0)?)
    }

    /// Gives a file of another directory a second name here.
    pub fn link_from(&self, from: &Self, from_name: &OsStr, name: &OsStr) -> io::Result<()> {
        Ok(fs::linkat(&from.fd, component(from_name)?, &self.fd, component(name)?, AtFlags::empty())?)
    }

    /// Removes a name that is no directory.
    pub fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, component(name)?, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, component(name)?, AtFlags::REMOVEDIR)?)
    }

    /// Removes a name with all below it.
    pub fn remove_all(&self, name: &OsStr) -> io::Result<()> {
        match self.unlink(name) {
            Err(error) if matches!(error.raw_os_error(), Some(code) if code == Errno::ISDIR.raw_os_error()) =>
                {}
            other => return other,
        }
        let child = self.enter(name)?;
        for (name, _) in child.list()?.iter() {
            child.remove_all(name)?;
        }
        self.remove_dir(name)
    }

    /// Gives a name to somebody; a link itself, not what it points to.
    pub fn chown(&self, name: &OsStr, owner: Owner) -> io::Result<()> {
        if owners::are_noted() {
            let Some(meta) = self.stat(name)?.filter(|meta| meta.is_file() || meta.is_dir()) else {
                return Ok(());
            };
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = fs::openat(&self.fd, component(name)?, flags, Mode::empty())?;
            return owners::give(&file, owner, meta.mode);
        }
        let (uid, gid) = ids(owner);
        Ok(fs::chownat(&self.fd, component(name)?, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets when a name was changed; a link's own time, not that of what it points to.
    pub fn set_time(&self, name: &OsStr, time: Time) -> io::Result<()> {
        Ok(fs::utimensat(&self.fd, component(name)?, &timestamps(time), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens so that reading leaves the time of the last access alone, where that is allowed: one write less for each file.
fn untouched(flags: OFlags, open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    if ALLOWED.load(Ordering::Relaxed) {
        match open(flags | OFlags::NOATIME) {
            // A file of somebody else. There will be more of them.
            Err(Errno::PERM) => ALLOWED.store(false, Ordering::Relaxed),
            other => return other,
        }
    }
    open(flags)
}

/// Sets owner and mode of an open file or directory. The owner comes first, since a change of it clears set-uid.
pub fn set_owner_and_mode(file: impl AsFd, owner: Owner, mode: u32) -> io::Result<()> {
    if owners::are_noted() {
        return owners::give(&file, owner, mode);
    }
    let (uid, gid) = ids(owner);
    fs::fchown(&file, Some(uid), Some(gid))?;
    Ok(fs::fchmod(&file, Mode::from_raw_mode(mode))?)
}

/// Sets when an open file or directory was changed.
pub fn set_time(file: impl AsFd, time: Time) -> io::Result<()> {
    Ok(fs::futimens(file, &timestamps(time))?)
}

fn ids(owner: Owner) -> (Uid, Gid) {
    (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid))
}

fn timestamps(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanos) };
    Timestamps { last_access: time, last_modification: time }
}

/// Checks that a name is one component.
fn component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file name"));
    }
    Ok(name)
}

fn kind_of(file_type: FileType) -> Option<Kind> {
    Some(match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::Char,
        FileType::BlockDevice => Kind::Block,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_down_refuse_links_and_what_is_above() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
        let root = Dir::open(folder.path()).unwrap();
        let ways: [fn(&Dir, &Path) -> io::Result<Dir>; 2] = [Dir::beneath, Dir::step_by_step];
        for way in ways {
            let names = |path: &str| way(&root, Path::new(path))?.list();
            assert!(names("a/b").unwrap().is_empty());
            assert_eq!(names(".").unwrap().iter().count(), 2);
            for path in ["link/b", "..", "/", "a/none"] {
                assert!(names(path).is_err(), "{path}");
            }
        }
    }
}
