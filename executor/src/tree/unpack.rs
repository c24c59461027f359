//! Unpacking archives: layers that were pulled, and what `ADD` unpacks.
//!
//! The archive is hostile input. Its reader refuses what programs would read differently; here each path is resolved below the
//! destination, links included, every name is made anew with nothing followed, and what would fool overlayfs is refused.

mod parents;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use slipway_oci::archive::{self, Entry, Limits, Reader, Whiteout};

use super::copy::copy_content;
use super::meta::{Kind, Meta, Time};
use super::stack::LayerStack;
use super::upper::{Fresh, Spot, Upper};
use super::{Owner, TreeError, dir, xattr};
use parents::Parents;

/// How to unpack.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Limits on the archive.
    pub limits: Limits,
    /// Who owns everything; else what the archive says.
    pub owner: Option<Owner>,
    /// Whether names that begin with `.wh.` mean that something is gone: in layers, and nowhere else.
    pub whiteouts: bool,
    /// The time of directories that the archive leaves out.
    pub now: Time,
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Everything that was made, whiteouts included.
    pub entries: u64,
    /// Regular files, second names not counted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Device files that this process may not make and that are missing now.
    pub skipped: u64,
    /// True where a directory was left out of the archive, or a link led to a file that is not in it: such a layer is only right
    /// when it is unpacked over the layers below.
    pub needs_base: bool,
}

/// Unpacks a layer into an empty directory.
///
/// Without a base, look at [`Unpacked::needs_base`] afterwards, or at the error: the layer may have to be unpacked again, over
/// the layers below, and is then named by its chain.
pub fn layer<R: Read>(
    reader: Reader<R>,
    upper: &Path,
    base: &LayerStack,
    options: &Options,
) -> Result<(Unpacked, R), TreeError> {
    let mut upper = Upper::open(upper, base)?;
    let mut unpacker = Unpacker::new(&mut upper, Path::new("/"), options)?;
    let rest = unpacker.entries(reader, "layer")?;
    let unpacked = unpacker.done;
    upper.finish()?;
    Ok((unpacked, rest))
}

/// Unpacks archives into a directory of a layer in the making.
pub struct Unpacker<'a> {
    upper: &'a mut Upper,
    options: &'a Options,
    parents: Parents,
    done: Unpacked,
    buffer: Vec<u8>,
}

impl<'a> Unpacker<'a> {
    /// Unpacks into `target`, an existing directory free of links. Links in the archive are resolved as if it were the root.
    pub fn new(upper: &'a mut Upper, target: &Path, options: &'a Options) -> Result<Self, TreeError> {
        let fresh = Fresh { owner: options.owner.unwrap_or_default(), mode: 0o755, time: options.now };
        let spot = upper.make_path(target, fresh)?;
        Ok(Self {
            upper,
            options,
            parents: Parents::new(spot, fresh),
            done: Unpacked::default(),
            buffer: Vec::new(),
        })
    }

    /// Unpacks all of an archive; `name` is for errors.
    pub fn run<R: Read>(mut self, reader: Reader<R>, name: &str) -> Result<Unpacked, TreeError> {
        self.entries(reader, name)?;
        Ok(self.done)
    }

    fn entries<R: Read>(&mut self, mut reader: Reader<R>, name: &str) -> Result<R, TreeError> {
        let failed = |source| TreeError::Archive { archive: name.to_owned(), source };
        while let Some(entry) = reader.next_entry().map_err(failed)? {
            // The root is there already, and is not the archive's.
            if entry.path.is_empty() {
                continue;
            }
            self.done.entries += 1;
            match Whiteout::of(&entry.path).filter(|_| self.options.whiteouts) {
                Some(whiteout) => self.whiteout(&entry, whiteout)?,
                None => self.entry(&entry, &mut reader.content())?,
            }
        }
        self.done.needs_base |= self.parents.implied;
        reader.finish().map_err(failed)
    }

    fn whiteout(&mut self, entry: &Entry, whiteout: Whiteout) -> Result<(), TreeError> {
        match whiteout {
            Whiteout::Removed(path) => {
                let (spot, name) = self.parent(&path)?;
                let failed = |source| TreeError::at("remove", spot.path(), &name, source);
                // What this same layer made stays; only what is below it is gone.
                match spot.dir().stat(&name).map_err(failed)? {
                    Some(meta) if meta.is_dir() => {
                        let opaque = spot.dir().enter(&name).and_then(|dir| xattr::set_opaque(&dir));
                        self.parents.forget();
                        opaque.map_err(failed)
                    }
                    Some(_) => Ok(()),
                    None => spot.dir().make_whiteout(&name).map_err(failed),
                }
            }
            Whiteout::Opaque(path) => {
                let spot = self.parents.find(self.upper, &path)?;
                self.parents.forget();
                xattr::set_opaque(&**spot.dir()).map_err(|source| TreeError::io("mark", spot.path(), source))
            }
            Whiteout::Invalid if file_name(&entry.path).starts_with(b".wh..wh.") => {
                // Left behind by aufs, and without meaning elsewhere.
                self.done.entries -= 1;
                Ok(())
            }
            Whiteout::Invalid => Err(refused(entry, "says that its own directory or the one above is gone")),
        }
    }

    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), TreeError> {
        let owner = self.owner(entry)?;
        let time = Time { seconds: entry.mtime.seconds, nanos: entry.mtime.nanos };
        let (spot, name) = self.parent(&entry.path)?;
        let failed = |source| TreeError::at("make", spot.path(), &name, source);
        match &entry.kind {
            archive::Kind::Directory => {
                return self.directory(&spot, &name, entry, Fresh { owner, mode: entry.mode, time });
            }
            archive::Kind::File { size } => {
                let mut file = self.replacing(&spot, &name, || spot.dir().create_file(&name))?;
                self.fill(&mut file, content, *size).map_err(failed)?;
                dir::set_owner_and_mode(&file, owner, entry.mode).map_err(failed)?;
                if !entry.xattrs.is_empty() {
                    xattr::write(&file, &entry.xattrs).map_err(failed)?;
                }
                self.done.files += 1;
                self.done.bytes += size;
                return dir::set_time(&file, time).map_err(failed);
            }
            archive::Kind::Hardlink { target } => return self.hard_link(entry, &spot, &name, target),
            archive::Kind::Symlink { target } => {
                let target = PathBuf::from(OsString::from_vec(target.clone()));
                self.replacing(&spot, &name, || spot.dir().make_link(&target, &name))?;
                self.parents.forget();
            }
            archive::Kind::Fifo => self.node(&spot, &name, entry, Kind::Fifo, (0, 0))?,
            archive::Kind::Char { major, minor } => {
                if (*major, *minor) == (0, 0) {
                    return Err(refused(entry, "is a device 0:0, which overlayfs takes for a removed file"));
                }
                self.node(&spot, &name, entry, Kind::Char, (*major, *minor))?;
            }
            archive::Kind::Block { major, minor } => {
                self.node(&spot, &name, entry, Kind::Block, (*major, *minor))?;
            }
        }
        match spot.dir().chown(&name, owner).and_then(|()| spot.dir().set_time(&name, time)) {
            // A device that was skipped.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(failed),
        }
    }

    fn owner(&self, entry: &Entry) -> Result<Owner, TreeError> {
        if let Some(owner) = self.options.owner {
            return Ok(owner);
        }
        match (u32::try_from(entry.uid), u32::try_from(entry.gid)) {
            (Ok(uid), Ok(gid)) if uid != u32::MAX && gid != u32::MAX => Ok(Owner { uid, gid }),
            _ => Err(refused(entry, "belongs to a user or group whose number Linux does not have")),
        }
    }

    /// Returns the directory of a path, links on the way resolved, and the last name.
    fn parent(&mut self, path: &[u8]) -> Result<(Spot, OsString), TreeError> {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let directory = at.map_or(&[][..], |at| &path[..at]);
        let spot = self.parents.find(self.upper, directory)?;
        Ok((spot, OsStr::from_bytes(file_name(path)).to_owned()))
    }

    fn directory(&mut self, spot: &Spot, name: &OsStr, entry: &Entry, fresh: Fresh) -> Result<(), TreeError> {
        let made = match spot.get(name)? {
            Some(there) if there.meta.is_dir() => {
                let made = self.upper.enter(spot, name, &there)?;
                made.set_meta(fresh.owner, fresh.mode, &entry.xattrs)?;
                self.upper.set_time(made.path(), fresh.time);
                made
            }
            there => {
                if there.is_some() {
                    self.forget(spot, name);
                }
                let made = self.upper.make_dir(spot, name, fresh)?;
                if !entry.xattrs.is_empty() {
                    made.set_meta(fresh.owner, fresh.mode, &entry.xattrs)?;
                }
                made
            }
        };
        self.parents.remember(&entry.path, made);
        Ok(())
    }

    fn hard_link(
        &mut self,
        entry: &Entry,
        spot: &Spot,
        name: &OsStr,
        target: &[u8],
    ) -> Result<(), TreeError> {
        let missing = || {
            refused(
                entry,
                &format!("is a second name of `{}`, which is not there", String::from_utf8_lossy(target)),
            )
        };
        if target.is_empty() {
            return Err(missing());
        }
        let (from, first) = self.parent(target)?;
        let Some(there) = from.get(&first)? else {
            self.done.needs_base = true;
            return Err(missing());
        };
        if there.meta.is_dir() {
            return Err(refused(entry, "is a second name of a directory"));
        }
        if from.path() == spot.path() && first == name {
            return Err(refused(entry, "is a second name of itself"));
        }
        if from
            .dir()
            .stat(&first)
            .map_err(|source| TreeError::at("look at", from.path(), &first, source))?
            .is_none()
        {
            self.done.needs_base = true;
            copy_up(&from, &first)?;
        }
        self.replacing(spot, name, || spot.dir().link_from(from.dir(), &first, name))
    }

    fn node(
        &mut self,
        spot: &Spot,
        name: &OsStr,
        entry: &Entry,
        kind: Kind,
        device: (u32, u32),
    ) -> Result<(), TreeError> {
        let device = rustix::fs::makedev(device.0, device.1);
        let mut refused_by_kernel = false;
        self.replacing(spot, name, || match spot.dir().make_node(name, kind, entry.mode, device) {
            // In a user namespace nobody may make devices; engines that run there leave them out.
            Err(error) if kind != Kind::Fifo && Errno::from_io_error(&error) == Some(Errno::PERM) => {
                refused_by_kernel = true;
                Ok(())
            }
            other => other,
        })?;
        if refused_by_kernel {
            tracing::warn!(path = %spot.path().join(name).display(), "left out a device that this process may not make");
            self.done.skipped += 1;
        }
        Ok(())
    }

    /// Makes something; what is in its place goes first.
    fn replacing<T>(
        &mut self,
        spot: &Spot,
        name: &OsStr,
        make: impl FnMut() -> io::Result<T>,
    ) -> Result<T, TreeError> {
        let mut make = make;
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                spot.clear(name)?;
                self.forget(spot, name);
                make()
            }
            other => other,
        }
        .map_err(|source| TreeError::at("make", spot.path(), name, source))
    }

    /// Forgets what was known of a name that is replaced.
    fn forget(&mut self, spot: &Spot, name: &OsStr) {
        self.parents.forget();
        self.upper.forget(&spot.path().join(name));
    }

    fn fill(&mut self, file: &mut std::fs::File, content: &mut dyn Read, size: u64) -> io::Result<()> {
        self.buffer.resize(256 << 10, 0);
        let mut left = size;
        while left > 0 {
            match content.read(&mut self.buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    file.write_all(&self.buffer[..count])?;
                    left = left.saturating_sub(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Copies a file of the base into the layer, as overlayfs does before it gets a second name.
fn copy_up(spot: &Spot, name: &OsStr) -> Result<(), TreeError> {
    let failed = |source| TreeError::at("copy up", spot.path(), name, source);
    let Some((lower, node)) = spot.below(name)? else { return Ok(()) };
    let meta: Meta = node.meta;
    let owner = Owner { uid: meta.uid, gid: meta.gid };
    match meta.kind {
        Kind::File => {
            let mut from = lower.open_file(name, &node)?;
            let mut to = spot.dir().create_file(name).map_err(failed)?;
            copy_content(&mut from, &mut to, meta.size).map_err(failed)?;
            dir::set_owner_and_mode(&to, owner, meta.mode).map_err(failed)?;
            xattr::write(&to, &xattr::read(&from).map_err(failed)?).map_err(failed)?;
            return dir::set_time(&to, meta.mtime).map_err(failed);
        }
        Kind::Symlink => spot.dir().make_link(&lower.read_link(name, &node)?, name).map_err(failed)?,
        kind => spot.dir().make_node(name, kind, meta.mode, meta.rdev).map_err(failed)?,
    }
    spot.dir().chown(name, owner).and_then(|()| spot.dir().set_time(name, meta.mtime)).map_err(failed)
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn refused(entry: &Entry, reason: &str) -> TreeError {
    TreeError::Entry {
        path: PathBuf::from(OsString::from_vec(entry.path.clone())),
        reason: reason.to_owned(),
    }
}
