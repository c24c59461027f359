//! What stands in for mounts where nothing can be mounted: files and directories put into the tree before a command, and
//! taken out after it.
//!
//! What was there before is moved aside and back. A writable bind is moved in and out where both places are on one mount, and
//! copied otherwise; everything else is a copy that is thrown away, so that a read-only mount can be written without effect.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, ftruncate, makedev, mkdirat, mknodat,
        openat, renameat, symlinkat, unlinkat,
    },
    io::Errno,
};

use super::{
    entry::{self, Meta},
    layers,
};
use crate::{
    error::{During, Failure},
    relay::{Access, Relay},
    spec::{Mount, MountSource, RunSpec},
    walk::{Made, Missing, ParentTime, walk},
};

/// Everything that was put into a tree.
pub(super) struct Guests<'a> {
    tree: BorrowedFd<'a>,
    /// A directory on the tree's own mount, out of the command's sight.
    aside: &'a Path,
    present: Vec<Guest>,
    made: Vec<Made>,
    count: usize,
    /// What was moved away and back.
    moved: HashSet<entry::Number>,
}

struct Guest {
    name: OsString,
    time: ParentTime,
    /// What was there before, under this name in the directory aside.
    before: Option<(OsString, Meta)>,
    end: End,
}

/// What happens with a guest at the end.
enum End {
    /// It is thrown away.
    Remove,
    /// The content of a file that could not be moved is put back.
    Restore(File, Vec<u8>),
    /// It is moved to where it came from.
    MoveBack(PathBuf),
    /// What it holds is copied to where it came from.
    CopyBack(PathBuf),
    /// It ends with its relay.
    Socket(Relay),
}

impl<'a> Guests<'a> {
    pub(super) fn new(tree: BorrowedFd<'a>, aside: &'a Path) -> Self {
        Self { tree, aside, present: Vec::new(), made: Vec::new(), count: 0, moved: HashSet::new() }
    }

    /// Puts in what every command has and what this one asks for. `devices` says whether /dev has to be made.
    pub(super) fn place_all(&mut self, spec: &RunSpec, devices: bool) -> Result<(), Failure> {
        if devices {
            self.place_devices()?;
        }
        for (target, content) in [("/etc/hosts", &spec.hosts), ("/etc/resolv.conf", &spec.resolv_conf)] {
            self.place_file(target, content.as_bytes(), (0, 0), 0o644)?;
        }
        for mount in &spec.mounts {
            self.place(mount).map_err(|failure| {
                Failure::new(format!("put something on `{}`: {}", mount.target, failure.step), failure.detail)
            })?;
        }
        Ok(())
    }

    fn place(&mut self, Mount { target, source }: &Mount) -> Result<(), Failure> {
        match source {
            MountSource::Bind { path, readonly } => self.place_bind(target, path, *readonly),
            MountSource::Scratch { path } => self.place_bind(target, path, true),
            MountSource::Layers { lowers, path, .. } => {
                let found = self.join(lowers, path)?;
                self.insert(target, &found, End::Remove)
            }
            MountSource::Tmpfs { .. } => {
                let fresh = self.fresh();
                make_directory(&fresh, 0o1777)?;
                self.insert(target, &fresh, End::Remove)
            }
            MountSource::File { content, uid, gid, mode, .. } => {
                self.place_file(target, content, (*uid, *gid), *mode)
            }
            MountSource::Socket { path, uid, gid, mode } => {
                let fresh = self.fresh();
                let relay = Relay::start(path, &fresh, Access { uid: *uid, gid: *gid, mode: *mode })
                    .during(|| format!("hand the socket `{}` on", path.display()))?;
                self.insert(target, &fresh, End::Socket(relay))
            }
        }
    }

    fn place_bind(&mut self, target: &str, path: &Path, readonly: bool) -> Result<(), Failure> {
        let step = || format!("look at `{}`", path.display());
        let meta = entry::look(CWD, path.as_os_str()).during(step)?;
        let meta = meta.ok_or_else(|| Failure::new(step(), "there is nothing"))?;
        if !readonly && meta.is_directory() {
            // Whoever else looks for it meanwhile finds it empty, not missing.
            let fresh = self.fresh();
            match renameat(CWD, path, CWD, &fresh) {
                Ok(()) => {
                    fs::create_dir(path).during(|| format!("hold the place of `{}`", path.display()))?;
                    return self.insert(target, &fresh, End::MoveBack(path.to_owned()));
                }
                Err(Errno::XDEV | Errno::BUSY | Errno::PERM | Errno::ACCESS | Errno::ROFS) => {}
                Err(error) => return Err(error).during(|| format!("move `{}`", path.display())),
            }
        }
        let fresh = self.fresh();
        copy_whole(path, &meta, &fresh).during(|| format!("copy `{}`", path.display()))?;
        let end = if readonly { End::Remove } else { End::CopyBack(path.to_owned()) };
        self.insert(target, &fresh, end)
    }

    /// Lays out what layers, topmost first, show at a path.
    fn join(&mut self, lowers: &[PathBuf], path: &str) -> Result<PathBuf, Failure> {
        if let [only] = lowers {
            // Nothing to join: the part alone is copied.
            let step = || format!("copy a part of the layer `{}`", only.display());
            let layer = layers::open(only).during(step)?;
            let found = walk(layer.as_fd(), path, Missing::Refuse, &mut Vec::new())?;
            let part = only.join(found.path.trim_start_matches('/'));
            let meta = entry::look(CWD, part.as_os_str()).during(step)?;
            let meta = meta.ok_or_else(|| Failure::new(step(), "it is gone"))?;
            let fresh = self.fresh();
            copy_whole(&part, &meta, &fresh).during(step)?;
            return Ok(fresh);
        }
        let whole = self.fresh();
        make_directory(&whole, 0o755)?;
        let joined = layers::open(&whole).during(|| "open a directory aside")?;
        for lower in lowers.iter().rev() {
            layers::open(lower)
                .and_then(|layer| layers::apply(layer.as_fd(), joined.as_fd()))
                .during(|| format!("copy the layer `{}`", lower.display()))?;
        }
        let found = walk(joined.as_fd(), path, Missing::Refuse, &mut Vec::new())?;
        Ok(if found.path == "/" { whole } else { whole.join(&found.path[1..]) })
    }

    fn place_file(
        &mut self,
        target: &str,
        content: &[u8],
        owner: (u32, u32),
        mode: u32,
    ) -> Result<(), Failure> {
        let step = || format!("write `{target}`");
        let fresh = self.fresh();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(CWD, &fresh, flags, Mode::RUSR | Mode::WUSR).during(step)?);
        file.write_all(content).during(step)?;
        fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1))).during(step)?;
        fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).during(step)?;
        self.insert(target, &fresh, End::Remove)
    }

    /// Makes a /dev of nodes. What a program leaves there goes with it.
    fn place_devices(&mut self) -> Result<(), Failure> {
        let fresh = self.fresh();
        make_directory(&fresh, 0o755)?;
        let directory = layers::open(&fresh).during(|| "open a directory aside")?;
        for (name, major, minor) in DEVICES {
            let mode = Mode::from_raw_mode(0o666);
            mknodat(&directory, name, FileType::CharacterDevice, mode, makedev(major, minor))
                .and_then(|()| rustix::fs::chmodat(&directory, name, mode, AtFlags::empty()))
                .during(|| format!("make the device `{name}` (this asks for CAP_MKNOD)"))?;
        }
        for (name, text) in
            [("fd", "/proc/self/fd"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")]
        {
            symlinkat(text, &directory, name).during(|| format!("make /dev/{name}"))?;
        }
        for (name, mode) in [("shm", 0o1777), ("pts", 0o755)] {
            mkdirat(&directory, name, Mode::RWXU).during(|| format!("make /dev/{name}"))?;
            rustix::fs::chmodat(&directory, name, Mode::from_raw_mode(mode), AtFlags::empty())
                .during(|| format!("make /dev/{name}"))?;
        }
        self.insert("/dev", &fresh, End::Remove)
    }

    fn fresh(&mut self) -> PathBuf {
        self.count += 1;
        self.aside.join(self.count.to_string())
    }

    /// Moves something from the directory aside to its target, and what is there to the directory aside.
    fn insert(&mut self, target: &str, source: &Path, end: End) -> Result<(), Failure> {
        let step = || format!("put something on `{target}`");
        let is_directory =
            entry::look(CWD, source.as_os_str()).during(step)?.is_some_and(|meta| meta.is_directory());
        let missing = if is_directory { Missing::Directory } else { Missing::File };
        let place = walk(self.tree, target, missing, &mut self.made)?;
        let Some((parent, name)) = place.path.rsplit_once('/').filter(|(_, name)| !name.is_empty()) else {
            return Err(Failure::new(step(), "the root itself cannot be covered"));
        };
        let name = OsString::from(name);
        let parent = walk(self.tree, parent, Missing::Refuse, &mut Vec::new())?;
        let found = entry::look(parent.fd.as_fd(), &name).during(step)?;
        match found {
            Some(found) if found.is_directory() && !is_directory => {
                return Err(Failure::new(step(), "it is a directory, and the source a file"));
            }
            Some(found) if !found.is_directory() && is_directory => {
                return Err(Failure::new(step(), "it is a file, and the source a directory"));
            }
            _ => {}
        }
        let time = ParentTime::note(parent.fd.as_fd()).during(step)?;
        if found.is_some_and(|found| found.mount_point) {
            if is_directory {
                return Err(Failure::new(step(), "the container itself has something mounted there"));
            }
            return self.overwrite(parent.fd.as_fd(), name, source, time).during(step);
        }
        let before = match found {
            Some(meta) => self.set_aside(parent.fd.as_fd(), &name, &meta).during(step)?,
            None => None,
        };
        match renameat(CWD, source, &parent.fd, &name) {
            // On a mount of the container, such as /dev.
            Err(Errno::XDEV) => copy_in(source, parent.fd.as_fd(), &name, &end).during(step)?,
            other => other.during(step)?,
        }
        self.present.push(Guest { name, time: time.placed().during(step)?, before, end });
        Ok(())
    }

    /// Moves away what is at a target; what is empty and on another mount, such as what was just made there, is removed.
    fn set_aside(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        meta: &Meta,
    ) -> io::Result<Option<(OsString, Meta)>> {
        let aside = self.fresh();
        match renameat(parent, name, CWD, &aside) {
            Ok(()) => Ok(Some((aside.into_os_string(), *meta))),
            Err(Errno::XDEV) if meta.is_directory() => {
                Ok(unlinkat(parent, name, AtFlags::REMOVEDIR).map(|()| None)?)
            }
            Err(Errno::XDEV) if meta.size == 0 => {
                Ok(unlinkat(parent, name, AtFlags::empty()).map(|()| None)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the container itself has mounted, such as /etc/hosts, cannot be moved: its content is lent.
    fn overwrite(
        &mut self,
        parent: BorrowedFd<'_>,
        name: OsString,
        source: &Path,
        time: ParentTime,
    ) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, &name, flags, Mode::empty())?);
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        rewrite(&file, &fs::read(source)?)?;
        self.present.push(Guest { name, time, before: None, end: End::Restore(file, content) });
        Ok(())
    }

    /// Takes everything out again, the last first. Returns what was moved away and back.
    pub(super) fn take_out(mut self) -> Result<HashSet<entry::Number>, Failure> {
        while let Some(guest) = self.present.pop() {
            let name = guest.name.to_string_lossy().into_owned();
            self.take_one_out(guest).during(|| format!("take `{name}` out of the tree again"))?;
        }
        while let Some(made) = self.made.pop() {
            made.remove_if_unused();
        }
        Ok(self.moved)
    }

    fn take_one_out(&mut self, guest: Guest) -> io::Result<()> {
        let Guest { name, time, before, end } = guest;
        if let End::Restore(file, content) = &end {
            return rewrite(file, content);
        }
        time.put_back(|parent| {
            match end {
                End::Remove | End::Restore(..) => {}
                End::Socket(relay) => drop(relay),
                End::MoveBack(path) => {
                    // Only a directory goes back: the command may have put anything in its place.
                    if entry::look(parent, &name)?.is_some_and(|now| now.is_directory()) {
                        entry::remove(CWD, path.as_os_str())?;
                        renameat(parent, &name, CWD, &path)?;
                    }
                }
                End::CopyBack(path) => copy_back(parent, &name, &path)?,
            }
            entry::remove(parent, &name)?;
            if let Some((aside, meta)) = before {
                renameat(CWD, &aside, parent, &name)?;
                self.moved.insert(meta.identity());
            }
            Ok::<_, io::Error>(())
        })
    }
}

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Writes the content of an open file anew.
fn rewrite(mut file: &File, content: &[u8]) -> io::Result<()> {
    file.rewind()?;
    ftruncate(file, 0)?;
    file.write_all(content)
}

/// Copies a file or a whole directory.
fn copy_whole(path: &Path, meta: &Meta, target: &Path) -> io::Result<()> {
    if !meta.is_directory() {
        return entry::copy(CWD, path.as_os_str(), meta, CWD, target.as_os_str());
    }
    let source = layers::open(path)?;
    let copy = entry::make_directory(CWD, target.as_os_str())?;
    layers::apply(source.as_fd(), copy.as_fd())
}

/// Makes the original the same as the copy. The original stays itself, with its owner: others may have it open.
fn copy_back(parent: BorrowedFd<'_>, name: &OsStr, path: &Path) -> io::Result<()> {
    let Some(now) = entry::look(parent, name)? else { return Ok(()) };
    if now.is_directory() {
        let original = layers::open(path)?;
        entry::clear(original.as_fd())?;
        return layers::apply(entry::open_directory(parent, name)?.as_fd(), original.as_fd());
    }
    if now.kind() == FileType::RegularFile {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut copy = File::from(openat(parent, name, flags, Mode::empty())?);
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut original = File::from(openat(CWD, path, flags, Mode::empty())?);
        io::copy(&mut copy, &mut original)?;
    }
    Ok(())
}

/// Makes an empty directory with this mode.
fn make_directory(path: &Path, mode: u32) -> Result<(), Failure> {
    let step = || format!("make `{}`", path.display());
    mkdirat(CWD, path, Mode::RWXU).during(step)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).during(step)
}

/// Copies where nothing can be moved. A cache is not written back from there, so that is refused.
fn copy_in(source: &Path, parent: BorrowedFd<'_>, name: &OsStr, end: &End) -> io::Result<()> {
    if !matches!(end, End::Remove) {
        return Err(io::Error::other(
            "it is on another mount of the container, where only copies can be put",
        ));
    }
    let meta = entry::look(CWD, source.as_os_str())?.ok_or(io::ErrorKind::NotFound)?;
    if !meta.is_directory() {
        return entry::copy(CWD, source.as_os_str(), &meta, parent, name);
    }
    let copy = entry::make_directory(parent, name)?;
    layers::apply(layers::open(source)?.as_fd(), copy.as_fd())
}
