//! The content of regular files: shared, cloned, or copied by the kernel.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::tree::dir::{self, Dir};
use crate::tree::meta::{Meta, Time};
use crate::tree::pool::Job;
use crate::tree::{Owner, TreeError, xattr};

/// Files up to this size are read and written in one go: the special calls cost more than they save.
const SMALL: u64 = 64 << 10;

/// Files to copy into one directory.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) to: Arc<Dir>,
    /// The destination's path, for errors.
    pub(super) path: PathBuf,
    pub(super) files: Vec<FileCopy>,
}

/// One file.
#[derive(Debug)]
pub(super) struct FileCopy {
    /// The layer's directory that has it; not all files of a directory come from one layer.
    pub(super) dir: Arc<Dir>,
    pub(super) from: OsString,
    pub(super) to: OsString,
    pub(super) owner: Owner,
    pub(super) mode: u32,
    pub(super) time: Time,
    /// Give it a second name, if the file systems allow that.
    pub(super) share: bool,
}

impl Job for Batch {
    fn run(self) -> Result<(), TreeError> {
        for file in &self.files {
            self.copy(file).map_err(|source| TreeError::at("copy to", &self.path, &file.to, source))?;
        }
        Ok(())
    }
}

impl Batch {
    fn copy(&self, file: &FileCopy) -> io::Result<()> {
        if file.share && share(&file.dir, &file.from, &self.to, &file.to)? {
            return Ok(());
        }
        let mut source = file.dir.open_file(&file.from)?;
        let mut target = self.to.create_file(&file.to)?;
        let size = Meta::from(rustix::fs::fstat(&source)?).size;
        copy_content(&mut source, &mut target, size)?;
        let xattrs = xattr::read(&source)?;
        // Owner before attributes: a change of owner takes file capabilities away. Time last.
        dir::set_owner_and_mode(&target, file.owner, file.mode)?;
        if !xattrs.is_empty() {
            xattr::write(&target, &xattrs)?;
        }
        dir::set_time(&target, file.time)
    }
}

/// Gives a file a second name; false where that is not possible here.
fn share(from: &Dir, from_name: &OsStr, to: &Dir, to_name: &OsStr) -> io::Result<bool> {
    match to.link_from(from, from_name, to_name) {
        Ok(()) => Ok(true),
        Err(error) => match Errno::from_io_error(&error) {
            // Another mount, too many names, or a file system or a policy that does not have it.
            Some(
                Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS | Errno::ROFS,
            ) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Copies a file's bytes into an empty file.
pub(crate) fn copy_content(from: &mut File, to: &mut File, size: u64) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    if size <= SMALL {
        // One byte more, to see that it did not grow.
        let mut buffer = vec![0; size as usize + 1];
        let mut length = 0;
        while length < buffer.len() {
            match from.read(&mut buffer[length..])? {
                0 => break,
                count => length += count,
            }
        }
        to.write_all(&buffer[..length])?;
        // It grew meanwhile: the rest follows.
        return if length < buffer.len() { Ok(()) } else { in_the_kernel(from, to, length as u64) };
    }
    if clone(from, to) {
        return Ok(());
    }
    in_the_kernel(from, to, 0)
}

/// Shares the blocks where the file system can (XFS, Btrfs); one that cannot is not asked again.
fn clone(from: &File, to: &File) -> bool {
    static USELESS: AtomicBool = AtomicBool::new(false);
    if USELESS.load(Ordering::Relaxed) {
        return false;
    }
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => true,
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
            USELESS.store(true, Ordering::Relaxed);
            false
        }
        Err(_) => false,
    }
}

fn in_the_kernel(from: &mut File, to: &mut File, start: u64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    loop {
        match rustix::fs::copy_file_range(&*from, Some(&mut read), &*to, Some(&mut written), 1 << 30) {
            Ok(0) if written == start => break,
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::IO) => {
                break;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    // Some file systems copy nothing and say so; this way always works.
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = from.read_at(&mut buffer, written)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all_at(&buffer[..count], written)?;
        written += count as u64;
    }
}
