//! Paths inside a root that others have filled: every component is opened by itself, below the directory before it.
//!
//! Symlinks are resolved here and not by the kernel, with the root as their `/`; links of /proc that lead to an open file
//! (`/proc/self/fd/N`) are refused. What is made on the way is remembered by its parent's descriptor, so that it can be
//! removed without looking up any path a second time.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Timespec, Timestamps, UTIME_OMIT,
        Uid, fchown, fstat, fstatfs, futimens, mkdirat, openat, openat2, readlinkat, statat, statx, unlinkat,
    },
    io::Errno,
};

use crate::error::{During, Failure};

/// The file system type of /proc.
const PROC_MAGIC: i64 = 0x9fa0;
/// As the kernel's own limit.
const MAX_LINKS: usize = 40;

/// What to make where a path ends in nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing: it is an error.
    Refuse,
    /// A directory, and an empty file as its last component.
    File,
    /// Directories.
    Directory,
    /// Directories that stay, of this user.
    Owned(u32, u32),
}

/// Where a path leads.
pub(crate) struct Place {
    /// Opened with `O_PATH`.
    pub(crate) fd: OwnedFd,
    /// The path from the root without any symlink, absolute.
    pub(crate) path: String,
}

/// A directory in which something is placed for a while: its time of change comes back with [`ParentTime::put_back`], unless
/// somebody else changed the directory meanwhile.
pub(crate) struct ParentTime {
    directory: OwnedFd,
    before: Timespec,
    after: Timespec,
}

impl ParentTime {
    /// To be called before the change.
    pub(crate) fn note(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(directory, ".", flags, Mode::empty())?;
        let before = modified(directory.as_fd())?;
        Ok(Self { directory, before, after: before })
    }

    /// To be called directly after it.
    pub(crate) fn placed(mut self) -> Result<Self, Errno> {
        self.after = modified(self.directory.as_fd())?;
        Ok(self)
    }

    /// The directory.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Undoes the change with `undo`, then, if that went well, puts the time back.
    pub(crate) fn put_back<T, E>(&self, undo: impl FnOnce(BorrowedFd<'_>) -> Result<T, E>) -> Result<T, E> {
        let now = modified(self.directory.as_fd());
        let result = undo(self.directory.as_fd());
        if let (Ok(now), Ok(_)) = (now, &result) {
            let time = if same(now, self.after) { self.before } else { now };
            let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            // The worst outcome is a directory in the layer that has only a newer time.
            let _ = futimens(&self.directory, &Timestamps { last_access: keep, last_modification: time });
        }
        result
    }
}

/// Something that was made as a place to mount on.
pub(crate) struct Made {
    parent: ParentTime,
    name: String,
    directory: bool,
}

impl Made {
    /// Removes it if it is still as empty as it was made. Puts the parent's time back if nothing else changed the parent.
    pub(crate) fn remove_if_unused(self) {
        let flags = if self.directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let parent = self.parent.directory();
        let Ok(found) = statat(parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let kind = FileType::from_raw_mode(found.st_mode);
        if self.directory == (kind == FileType::Directory)
            && (self.directory || (kind == FileType::RegularFile && found.st_size == 0))
        {
            // It fails where something was put in.
            let _ = self.parent.put_back(|parent| unlinkat(parent, &self.name, flags));
        }
    }
}

fn same(left: Timespec, right: Timespec) -> bool {
    left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec
}

fn modified(directory: BorrowedFd<'_>) -> Result<Timespec, Errno> {
    let found = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::MTIME)?;
    Ok(Timespec { tv_sec: found.stx_mtime.tv_sec, tv_nsec: found.stx_mtime.tv_nsec.into() })
}

/// Walks from `root` along `path`, making what is missing as `missing` says.
pub(crate) fn walk(
    root: BorrowedFd<'_>,
    path: &str,
    missing: Missing,
    made: &mut Vec<Made>,
) -> Result<Place, Failure> {
    let step = || format!("resolve `{path}` inside the root file system");
    let base = openat(root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    // A file as the root of a mount has no `.`.
    let base = match base {
        Err(Errno::NOTDIR) => root.try_clone_to_owned().during(step)?,
        other => other.during(step)?,
    };
    let mut trail = vec![(String::new(), base)];
    let mut ahead: VecDeque<String> = path.split('/').map(str::to_owned).collect();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name.is_empty() || name == "." {
            continue;
        }
        if name == ".." {
            if trail.len() > 1 {
                trail.pop();
            }
            continue;
        }
        let last = ahead.iter().all(|next| next.is_empty() || next == ".");
        let Some((_, here)) = trail.last() else {
            return Err(Failure::new(step(), "the walk lost its root"));
        };
        let next = match look(here.as_fd(), &name) {
            Ok(next) => next,
            Err(Errno::NOENT) if missing != Missing::Refuse => {
                let directory = !last || missing != Missing::File;
                make(here.as_fd(), &name, directory, missing, made)
                    .during(|| format!("make `{name}` for `{path}` inside the root file system"))?;
                look(here.as_fd(), &name).during(step)?
            }
            Err(error) => return Err(error).during(step),
        };
        let kind = FileType::from_raw_mode(fstat(&next).during(step)?.st_mode);
        if kind == FileType::Symlink {
            links += 1;
            if links > MAX_LINKS {
                return Err(Failure::new(step(), "too many symbolic links"));
            }
            if leads_to_open_file(here.as_fd(), &next, &name) {
                return Err(Failure::new(step(), format!("`{name}` is a link of /proc to an open file")));
            }
            let text = readlinkat(&next, "", Vec::new()).during(step)?;
            let text =
                text.to_str().map_err(|_| Failure::new(step(), "a symbolic link that is not UTF-8"))?;
            if text.starts_with('/') {
                trail.truncate(1);
            }
            for part in text.split('/').rev() {
                ahead.push_front(part.to_owned());
            }
        } else if kind != FileType::Directory && !last {
            return Err(Failure::new(step(), format!("`{name}` is not a directory")));
        } else {
            trail.push((name, next));
        }
    }
    let path: String = trail.iter().skip(1).flat_map(|(name, _)| ["/", name]).collect();
    let (_, fd) = trail.pop().ok_or_else(|| Failure::new(step(), "the walk lost its root"))?;
    Ok(Place { fd, path: if path.is_empty() { "/".to_owned() } else { path } })
}

/// Opens one name without following it.
fn look(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry(|| {
        openat2(directory, name, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
    })
}

/// Returns whether a symlink is one that the kernel would follow to a file rather than by its text.
fn leads_to_open_file(directory: BorrowedFd<'_>, link: &OwnedFd, name: &str) -> bool {
    fstatfs(link).is_ok_and(|system| system.f_type == PROC_MAGIC)
        && retry(|| {
            openat2(
                directory,
                name,
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            )
        })
        .is_err_and(|error| error == Errno::LOOP)
}

/// `openat2` asks to be called again when something was renamed meanwhile.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut tries = 0;
    loop {
        match call() {
            Err(Errno::AGAIN | Errno::INTR) if tries < 100 => tries += 1,
            result => return result,
        }
    }
}

/// Makes one directory or empty file and remembers it, unless it is to stay.
fn make(
    parent: BorrowedFd<'_>,
    name: &str,
    directory: bool,
    missing: Missing,
    made: &mut Vec<Made>,
) -> Result<(), Errno> {
    let time = ParentTime::note(parent)?;
    if directory {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
    }
    if let Missing::Owned(uid, gid) = missing {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = openat(parent, name, flags, Mode::empty())?;
        return fchown(&new, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
    made.push(Made { parent: time.placed()?, name: name.to_owned(), directory });
    Ok(())
}
