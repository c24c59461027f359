//! Writing archives.
//!
//! The same entries give the same bytes, in every version of this program: ustar blocks, PAX records only for what does
//! not fit, no user names, no access or change times. Go's `archive/tar`, GNU tar and libarchive read them.

use std::io::{self, Read, Write};

use super::header::{self, BLOCK, Block};
use super::{Entry, Kind, pax};

/// Writes a tar archive.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    sub_second: bool,
    written: u64,
}

/// Why an entry could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output failed, or reading the content did.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The entry cannot stand in an archive.
    #[error("`{}` cannot be written to an archive: {reason}", String::from_utf8_lossy(path))]
    Entry {
        /// Its path.
        path: Vec<u8>,
        /// Why.
        reason: &'static str,
    },
    /// The content ended early.
    #[error(
        "`{}` became shorter while it was read: {expected} bytes expected, {found} found",
        String::from_utf8_lossy(path)
    )]
    Shrunk {
        /// Its path.
        path: Vec<u8>,
        /// The size announced.
        expected: u64,
        /// The bytes that came.
        found: u64,
    },
}

impl<W: Write> Writer<W> {
    /// Writes to `out`, which should be buffered.
    pub fn new(out: W) -> Self {
        Self { out, sub_second: false, written: 0 }
    }

    /// Keeps the fraction of times, at the price of an extended header an entry. Image builders do not.
    #[must_use]
    pub fn sub_second(mut self, keep: bool) -> Self {
        self.sub_second = keep;
        self
    }

    /// Returns how many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns the output.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes an entry without content. An empty file is one.
    pub fn append(&mut self, entry: &Entry) -> Result<(), WriteError> {
        self.append_file(entry, &mut io::empty())
    }

    /// Writes a file: exactly [`Entry::size`] bytes of `content`. What a file grew meanwhile is left out.
    pub fn append_file(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), WriteError> {
        self.start(entry)?;
        let size = entry.size();
        let found = copy(content, &mut self.out, size)?;
        if found < size {
            return Err(WriteError::Shrunk { path: entry.path.clone(), expected: size, found });
        }
        self.written += size;
        self.pad(size)
    }

    /// Ends the archive and returns the output.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.put(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn start(&mut self, entry: &Entry) -> Result<(), WriteError> {
        check(entry).map_err(|reason| WriteError::Entry { path: entry.path.clone(), reason })?;
        let mut name = entry.path.clone();
        if entry.kind == Kind::Directory {
            name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
        }
        let (kind, link, major, minor) = match &entry.kind {
            Kind::File { .. } => (b'0', &[][..], 0, 0),
            Kind::Hardlink { target } => (b'1', &target[..], 0, 0),
            Kind::Symlink { target } => (b'2', &target[..], 0, 0),
            Kind::Char { major, minor } => (b'3', &[][..], *major, *minor),
            Kind::Block { major, minor } => (b'4', &[][..], *major, *minor),
            Kind::Directory => (b'5', &[][..], 0, 0),
            Kind::Fifo => (b'6', &[][..], 0, 0),
        };
        let mut extended = vec![];
        let mut block: Block = [0; BLOCK];

        // Keys in alphabetical order, as Go writes them.
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = vec![];
        let mut big = |key: &str, field: &header::Field, value: u64| {
            if value > header::octal_limit(field) {
                records.push((key.into(), value.to_string().into_bytes()));
            }
        };
        big("uid", &header::UID, entry.uid);
        big("gid", &header::GID, entry.gid);
        big("size", &header::SIZE, entry.size());
        let mut time = entry.mtime;
        if !self.sub_second {
            time.nanos = 0;
        }
        let seconds = u64::try_from(time.seconds).ok().filter(|s| *s <= header::octal_limit(&header::MTIME));
        if seconds.is_none() || time.nanos != 0 {
            records.push((b"mtime".to_vec(), pax::time_text(time).into_bytes()));
        }
        if let Some((prefix, rest)) = split(&name) {
            header::put_text(&mut block, header::PREFIX, prefix);
            header::put_text(&mut block, header::NAME, rest);
        } else {
            records.push((b"path".to_vec(), name.clone()));
            header::put_text(&mut block, header::NAME, &shortened(&name));
        }
        if link.is_ascii() && link.len() <= header::LINK.len() {
            header::put_text(&mut block, header::LINK, link);
        } else {
            records.push((b"linkpath".to_vec(), link.to_vec()));
            header::put_text(&mut block, header::LINK, &shortened(link));
        }
        for (key, value) in &entry.xattrs {
            records.push(([pax::XATTR, key].concat(), value.clone()));
        }
        records.sort();
        for (key, value) in &records {
            pax::put(&mut extended, key, value);
        }
        if !extended.is_empty() {
            self.extended(&name, &extended)?;
        }

        header::put_octal(&mut block, header::MODE, u64::from(entry.mode));
        header::put_octal(&mut block, header::UID, entry.uid);
        header::put_octal(&mut block, header::GID, entry.gid);
        header::put_octal(&mut block, header::SIZE, entry.size());
        header::put_octal(&mut block, header::MTIME, seconds.unwrap_or(0));
        header::put_octal(&mut block, header::MAJOR, u64::from(major));
        header::put_octal(&mut block, header::MINOR, u64::from(minor));
        self.block(block, kind)
    }

    /// Writes the records that go with the next entry.
    fn extended(&mut self, name: &[u8], records: &[u8]) -> Result<(), WriteError> {
        let mut block: Block = [0; BLOCK];
        let base = name.strip_suffix(b"/").unwrap_or(name);
        let base = base.rsplit(|b| *b == b'/').next().unwrap_or_default();
        header::put_text(&mut block, header::NAME, &shortened(&[b"PaxHeaders.0/", base].concat()));
        for field in [header::MODE, header::UID, header::GID, header::MTIME, header::MAJOR, header::MINOR] {
            header::put_octal(&mut block, field, 0);
        }
        header::put_octal(&mut block, header::SIZE, records.len() as u64);
        self.block(block, b'x')?;
        self.put(records)?;
        self.pad(records.len() as u64)
    }

    fn block(&mut self, mut block: Block, kind: u8) -> Result<(), WriteError> {
        block[header::TYPE] = kind;
        block[header::MAGIC].copy_from_slice(header::POSIX);
        header::seal(&mut block);
        self.put(&block)
    }

    fn pad(&mut self, size: u64) -> Result<(), WriteError> {
        let over = (size % BLOCK as u64) as usize;
        if over == 0 { Ok(()) } else { self.put(&[0; BLOCK][over..]) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Copies at most `size` bytes, with a buffer that suits large files.
fn copy(from: &mut dyn Read, to: &mut dyn Write, size: u64) -> io::Result<u64> {
    let mut left = size;
    if left == 0 {
        return Ok(0);
    }
    let mut buffer = vec![0; left.min(128 << 10) as usize];
    while left > 0 {
        let room = left.min(buffer.len() as u64) as usize;
        match from.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(count) => {
                to.write_all(&buffer[..count])?;
                left -= count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(size - left)
}

/// Refuses what no reader could take, or would take for something else.
fn check(entry: &Entry) -> Result<(), &'static str> {
    let parts_are_plain =
        |path: &[u8]| path.split(|b| *b == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    if entry.path.is_empty() && entry.kind != Kind::Directory {
        return Err("only a directory can be the root");
    }
    if !entry.path.is_empty() && !parts_are_plain(&entry.path) {
        return Err("its path is absolute or has empty, `.` or `..` parts");
    }
    if entry.path.contains(&0) {
        return Err("its path has a NUL");
    }
    match &entry.kind {
        Kind::Symlink { target } | Kind::Hardlink { target } if target.is_empty() || target.contains(&0) => {
            return Err("its link target is empty or has a NUL");
        }
        Kind::Hardlink { target } if !parts_are_plain(target) => {
            return Err("its hard link's target is not a path below the root");
        }
        Kind::Char { major, minor } | Kind::Block { major, minor }
            if u64::from(*major.max(minor)) > header::octal_limit(&header::MAJOR) =>
        {
            return Err("its device number is too large");
        }
        _ => {}
    }
    if entry.mode > 0o7777 {
        return Err("its mode has more than permission bits");
    }
    if entry.mtime.nanos >= 1_000_000_000 {
        return Err("its time has more than a second of nanoseconds");
    }
    if entry.xattrs.keys().any(|key| key.is_empty() || key.contains(&0) || key.contains(&b'=')) {
        return Err("an extended attribute's name is empty, or has a NUL or `=`");
    }
    Ok(())
}

/// Splits a name for the prefix and name fields; none if it does not fit or is not ASCII.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= header::NAME.len() {
        return Some((&[], name));
    }
    let last = name.len().min(header::PREFIX.len() + 1);
    let body = name.strip_suffix(b"/").unwrap_or(name);
    let at = body[..last.min(body.len())].iter().rposition(|b| *b == b'/')?;
    let rest = &name[at + 1..];
    (at > 0 && rest.len() <= header::NAME.len()).then_some((&name[..at], rest))
}

/// Returns what old readers see of a name that stands in a PAX record: its ASCII part, shortened.
fn shortened(name: &[u8]) -> Vec<u8> {
    name.iter().copied().filter(u8::is_ascii).take(header::NAME.len()).collect()
}
