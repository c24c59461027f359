//! Reading archives that someone else made, perhaps with bad intent.
//!
//! One rule decides doubtful cases: what GNU tar and Go's `archive/tar` read the same is read so, what they read
//! differently is refused. An archive that shows different programs different entries is an attack or broken.

use std::io::{self, Read};

use super::header::{self, BLOCK, Block};
use super::sparse::{self, Segment};
use super::{Entry, Kind, Limits, Mtime, Xattrs, pax};

/// Reads a tar archive, entry after entry.
///
/// ```
/// # use slipway_oci::archive::{Limits, Reader};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut reader = Reader::new(&[0_u8; 1024][..], Limits::default());
/// while let Some(entry) = reader.next_entry()? {
///     std::io::copy(&mut reader.content(), &mut std::io::sink())?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    entries: u64,
    /// Bytes taken from the input.
    offset: u64,
    /// Bytes that the entries so far unpack to.
    unpacked: u64,
    body: Body,
    ended: bool,
}

/// What is left of the current entry.
#[derive(Debug, Default)]
struct Body {
    /// Bytes in the archive, without padding.
    stored: u64,
    padding: u64,
    /// Bytes of the file, holes included.
    size: u64,
    position: u64,
    /// Where stored bytes belong, in reverse order; empty for an ordinary file.
    segments: Vec<Segment>,
    sparse: bool,
}

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed, or its decompression did.
    #[error("the archive cannot be read")]
    Io(#[from] io::Error),
    /// Not a tar archive, or a damaged one, or one made to deceive.
    #[error("the archive is damaged or deceptive at byte {offset}: {reason}")]
    Malformed {
        /// Where in the unpacked stream.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A path that leads out of the root.
    #[error("the archive's entry `{path}` {reason}")]
    Path {
        /// The path as it stands there.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// More than a [`Limits`] field allows.
    #[error("the archive exceeds the limit of {limit} {what}{}", near(path))]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The entry, where one is known.
        path: String,
    },
}

fn near(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at `{path}`") }
}

/// What extended headers say about the next entry.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<Mtime>,
    xattrs: Xattrs,
    sparse: sparse::Records,
    has_pax: bool,
    has_gnu_name: bool,
    has_gnu_link: bool,
    /// What was read so far, for the limit.
    bytes: u64,
}

impl<R: Read> Reader<R> {
    /// Reads an unpacked stream; see [`crate::compress::Decoder`] for packed ones.
    pub fn new(input: R, limits: Limits) -> Self {
        Self { input, limits, entries: 0, offset: 0, unpacked: 0, body: Body::default(), ended: false }
    }

    /// Returns the next entry; its content, if any, comes from [`Reader::content`] until the next call.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        self.skip_body()?;
        let mut extended = Extended::default();
        loop {
            let Some(block) = self.block()? else {
                self.ended = true;
                return if extended.bytes == 0 {
                    Ok(None)
                } else {
                    Err(self.malformed("an extended header belongs to no entry"))
                };
            };
            let kind = block[header::TYPE];
            match kind {
                b'x' | b'g' | b'L' | b'K' => self.extended(&block, kind, &mut extended)?,
                _ => return self.entry(&block, extended).map(Some),
            }
        }
    }

    /// Returns a reader of the current entry's content, holes of sparse files as zeros.
    pub fn content(&mut self) -> EntryReader<'_, R> {
        EntryReader { reader: self }
    }

    /// Reads what follows the archive's end, so that a digest of the stream covers it, and returns the input.
    pub fn finish(mut self) -> Result<R, ReadError> {
        while self.next_entry()?.is_some() {}
        let mut buffer = [0; 8192];
        loop {
            let count = retry(|| self.input.read(&mut buffer))?;
            if count == 0 {
                return Ok(self.input);
            }
            self.offset += count as u64;
            self.check_unpacked("")?;
        }
    }

    /// Returns how many bytes were taken from the input.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn malformed(&self, reason: impl Into<String>) -> ReadError {
        ReadError::Malformed { offset: self.offset, reason: reason.into() }
    }

    fn limit(what: &'static str, limit: u64, path: &[u8]) -> ReadError {
        let path: String = String::from_utf8_lossy(path).chars().take(200).collect();
        ReadError::Limit { what, limit, path }
    }

    /// Reads a header block; none at the archive's end: two blocks of zeros, or the end of the input.
    fn block(&mut self) -> Result<Option<Block>, ReadError> {
        let Some(block) = self.raw_block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            return match self.raw_block()? {
                Some(second) if second != [0; BLOCK] => {
                    Err(self.malformed("a lone block of zeros between entries"))
                }
                _ => Ok(None),
            };
        }
        let (unsigned, signed) = header::checksum(&block);
        match header::number(&block, header::CHECKSUM) {
            Some(sum) if sum == unsigned.cast_signed() || sum == signed => Ok(Some(block)),
            _ => Err(self.malformed("not a tar header: the checksum is wrong")),
        }
    }

    fn raw_block(&mut self) -> Result<Option<Block>, ReadError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let count = retry(|| self.input.read(&mut block[filled..]))?;
            if count == 0 {
                return if filled == 0 { Ok(None) } else { Err(self.malformed("it ends within a header")) };
            }
            filled += count;
        }
        self.offset += BLOCK as u64;
        self.check_unpacked("")?;
        Ok(Some(block))
    }

    /// Reads a numeric field that cannot be negative.
    fn number(&self, block: &Block, field: header::Field) -> Result<u64, ReadError> {
        header::number(block, field.clone())
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| self.malformed(format!("bad number in the header at {}", field.start)))
    }

    /// Reads an extended header into `extended`.
    fn extended(&mut self, block: &Block, kind: u8, extended: &mut Extended) -> Result<(), ReadError> {
        let size = self.number(block, header::SIZE)?;
        extended.bytes = extended.bytes.saturating_add(size.max(1));
        if extended.bytes > self.limits.extended {
            return Err(Self::limit("bytes of extended headers", self.limits.extended, b""));
        }
        let data = self.take(size)?;
        let twice = |reader: &Self| Err(reader.malformed("two extended headers of one kind before an entry"));
        match kind {
            b'L' | b'K' => {
                let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
                if data[end..].iter().any(|b| *b != 0) {
                    return Err(self.malformed("a long name has a NUL inside"));
                }
                let (slot, seen) = match kind {
                    b'L' => (&mut extended.path, &mut extended.has_gnu_name),
                    _ => (&mut extended.link, &mut extended.has_gnu_link),
                };
                if std::mem::replace(seen, true) || slot.replace(data[..end].to_vec()).is_some() {
                    return twice(self);
                }
            }
            b'g' => {
                let records =
                    pax::records(&data).ok_or_else(|| self.malformed("bad records in a global header"))?;
                // GNU tar lets a global header change all later entries, Go ignores it.
                if let Some((key, _)) = records.iter().find(|(key, _)| matches_meaning(key)) {
                    let key = String::from_utf8_lossy(key).into_owned();
                    return Err(self.malformed(format!("a global header sets `{key}`")));
                }
            }
            _ => {
                if std::mem::replace(&mut extended.has_pax, true) {
                    return twice(self);
                }
                self.records(&data, extended)?;
            }
        }
        Ok(())
    }

    fn records(&self, data: &[u8], extended: &mut Extended) -> Result<(), ReadError> {
        let bad = |key: &[u8]| {
            self.malformed(format!("bad value of the record `{}`", String::from_utf8_lossy(key)))
        };
        let records =
            pax::records(data).ok_or_else(|| self.malformed("bad records in an extended header"))?;
        let mut seen = std::collections::BTreeSet::new();
        for (key, value) in records {
            if !seen.insert(key) && matches_meaning(key) && !sparse::repeats(key) {
                return Err(self.malformed(format!("the record `{}` twice", String::from_utf8_lossy(key))));
            }
            if let Some(name) = key.strip_prefix(pax::XATTR) {
                extended.xattrs.insert(name.to_vec(), value.to_vec());
                continue;
            }
            if key.starts_with(sparse::PREFIX) {
                extended.sparse.add(key, value).ok_or_else(|| bad(key))?;
                continue;
            }
            // An empty value takes a record back.
            if value.is_empty() {
                continue;
            }
            match key {
                b"path" | b"linkpath" if value.contains(&0) => return Err(bad(key)),
                b"path" if extended.has_gnu_name => {
                    return Err(self.malformed("a long name and a `path` record"));
                }
                b"linkpath" if extended.has_gnu_link => {
                    return Err(self.malformed("a long link and a `linkpath` record"));
                }
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.link = Some(value.to_vec()),
                b"size" => extended.size = Some(pax::decimal(value).ok_or_else(|| bad(key))?),
                b"uid" => extended.uid = Some(pax::decimal(value).ok_or_else(|| bad(key))?),
                b"gid" => extended.gid = Some(pax::decimal(value).ok_or_else(|| bad(key))?),
                b"mtime" => extended.mtime = Some(pax::time(value).ok_or_else(|| bad(key))?),
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self, block: &Block, mut extended: Extended) -> Result<Entry, ReadError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Self::limit("entries", self.limits.entries, b""));
        }
        let raw = extended.sparse.name.take().or(extended.path.take()).unwrap_or_else(|| short_name(block));
        let path = self.path(&raw)?;
        let link = extended.link.take().unwrap_or_else(|| header::text(block, header::LINK).to_vec());
        // The record counts where there is one: a reader that goes by the block would find entries inside the content.
        let stored = match extended.size {
            Some(size) => size,
            None => self.number(block, header::SIZE)?,
        };
        let typeflag = block[header::TYPE];
        let as_directory = raw.ends_with(b"/");
        let kind = match typeflag {
            0 | b'0' | b'7' if as_directory => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File { size: stored },
            b'1' => Kind::Hardlink { target: self.link_path(&raw, &link)? },
            b'2' => Kind::Symlink { target: self.link_text(&raw, link)? },
            b'3' => Kind::Char {
                major: self.device(block, header::MAJOR)?,
                minor: self.device(block, header::MINOR)?,
            },
            b'4' => Kind::Block {
                major: self.device(block, header::MAJOR)?,
                minor: self.device(block, header::MINOR)?,
            },
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let shown = char::from(other).escape_default().to_string();
                return Err(self.malformed(format!("an entry of the unknown type `{shown}`")));
            }
        };
        let mut kind = kind;
        if let Kind::File { size } = &mut kind {
            self.body = Body { stored, padding: stored.wrapping_neg() % BLOCK as u64, ..Body::default() };
            *size = self.open_sparse(block, typeflag, &extended)?;
            self.body.size = *size;
            self.unpacked = self.unpacked.saturating_add(*size);
        } else {
            // GNU tar would skip content here and Go would read it as entries. Hard links' sizes both ignore.
            if stored != 0 && !matches!(kind, Kind::Hardlink { .. }) {
                return Err(self.malformed("an entry that is no file claims to have content"));
            }
            self.body = Body::default();
        }
        if path.is_empty() && kind != Kind::Directory {
            return Err(Self::path_error(&raw, "is the root, but no directory"));
        }
        self.check_unpacked(&String::from_utf8_lossy(&path))?;
        let mtime = match extended.mtime {
            Some(mtime) => mtime,
            None => Mtime::at(
                header::number(block, header::MTIME).ok_or_else(|| self.malformed("bad time in a header"))?,
            ),
        };
        Ok(Entry {
            path,
            kind,
            mode: (self.number(block, header::MODE)? & 0o7777) as u32,
            uid: extended.uid.map_or_else(|| self.number(block, header::UID), Ok)?,
            gid: extended.gid.map_or_else(|| self.number(block, header::GID), Ok)?,
            mtime,
            xattrs: extended.xattrs,
        })
    }

    /// Prepares a sparse file's map and returns the file's size; an ordinary file's size is what is stored.
    fn open_sparse(&mut self, block: &Block, typeflag: u8, extended: &Extended) -> Result<u64, ReadError> {
        let map = if typeflag == b'S' {
            if !block[header::MAGIC].starts_with(header::GNU) {
                return Err(self.malformed("a sparse file in an archive that is not GNU tar's"));
            }
            let (mut map, mut more) =
                sparse::from_block(block).ok_or_else(|| self.malformed("bad map of a sparse file"))?;
            while more {
                if map.segments.len() > sparse::MAX_SEGMENTS {
                    return Err(Self::limit("segments of a sparse file", sparse::MAX_SEGMENTS as u64, b""));
                }
                let next =
                    self.raw_block()?.ok_or_else(|| self.malformed("it ends within a sparse file's map"))?;
                more = sparse::extend(&mut map, &next)
                    .ok_or_else(|| self.malformed("bad map of a sparse file"))?;
            }
            map
        } else if extended.sparse.in_content() {
            let mut content = vec![];
            while !sparse::is_complete(&content) {
                if content.len() as u64 > self.limits.extended || self.body.stored < BLOCK as u64 {
                    return Err(self.malformed("bad map of a sparse file"));
                }
                content.extend(
                    self.raw_block()?.ok_or_else(|| self.malformed("it ends within a sparse file's map"))?,
                );
                self.body.stored -= BLOCK as u64;
            }
            extended.sparse.map_from(&content).ok_or_else(|| self.malformed("bad map of a sparse file"))?
        } else if extended.sparse.is_used() {
            extended.sparse.map().ok_or_else(|| self.malformed("bad map of a sparse file"))?
        } else {
            return Ok(self.body.stored);
        };
        if !map.is_sound(self.body.stored) {
            return Err(self.malformed("a sparse file's map overlaps, or does not fit its content"));
        }
        self.body.sparse = true;
        self.body.segments = map.segments;
        self.body.segments.reverse();
        Ok(map.size)
    }

    fn device(&self, block: &Block, field: header::Field) -> Result<u32, ReadError> {
        u32::try_from(self.number(block, field)?).map_err(|_| self.malformed("a device number is too large"))
    }

    fn path_error(path: &[u8], reason: &'static str) -> ReadError {
        ReadError::Path { path: String::from_utf8_lossy(path).chars().take(200).collect(), reason }
    }

    /// Cleans a path lexically, as engines do: leading slashes and `.` are dropped, `..` takes a part back.
    fn path(&self, raw: &[u8]) -> Result<Vec<u8>, ReadError> {
        if raw.len() > self.limits.path {
            return Err(Self::limit("bytes of a path", self.limits.path as u64, raw));
        }
        if raw.is_empty() {
            return Err(Self::path_error(raw, "has no name"));
        }
        let mut parts: Vec<&[u8]> = vec![];
        for part in raw.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop().ok_or_else(|| Self::path_error(raw, "leads out of the archive's root"))?;
                }
                // No Linux file system holds such a name.
                part if part.len() > 255 => {
                    return Err(Self::path_error(raw, "has a part longer than 255 bytes"));
                }
                part => parts.push(part),
            }
        }
        if parts.len() > self.limits.depth {
            return Err(Self::limit("parts of a path", self.limits.depth as u64, raw));
        }
        Ok(parts.join(&b'/'))
    }

    fn link_path(&self, raw: &[u8], link: &[u8]) -> Result<Vec<u8>, ReadError> {
        let target = self.path(link)?;
        if target.is_empty() {
            return Err(Self::path_error(raw, "is a hard link to the root"));
        }
        Ok(target)
    }

    fn link_text(&self, raw: &[u8], link: Vec<u8>) -> Result<Vec<u8>, ReadError> {
        if link.is_empty() {
            return Err(Self::path_error(raw, "is a symbolic link to nothing"));
        }
        if link.len() > self.limits.path {
            return Err(Self::limit("bytes of a link", self.limits.path as u64, raw));
        }
        Ok(link)
    }

    fn check_unpacked(&self, path: &str) -> Result<(), ReadError> {
        if self.offset.max(self.unpacked) > self.limits.unpacked {
            return Err(Self::limit("unpacked bytes", self.limits.unpacked, path.as_bytes()));
        }
        Ok(())
    }

    /// Reads content of a known, small size, and its padding.
    fn take(&mut self, size: u64) -> Result<Vec<u8>, ReadError> {
        let mut data = vec![];
        (&mut self.input).take(size).read_to_end(&mut data)?;
        self.offset += data.len() as u64;
        if data.len() as u64 != size {
            return Err(self.malformed("it ends within an extended header"));
        }
        self.skip(size.wrapping_neg() % BLOCK as u64)?;
        Ok(data)
    }

    fn skip_body(&mut self) -> Result<(), ReadError> {
        let body = std::mem::take(&mut self.body);
        self.skip(body.stored.saturating_add(body.padding))
    }

    fn skip(&mut self, mut count: u64) -> Result<(), ReadError> {
        let mut buffer = [0; 8192];
        while count > 0 {
            let room = count.min(buffer.len() as u64) as usize;
            let read = retry(|| self.input.read(&mut buffer[..room]))?;
            if read == 0 {
                return Err(self.malformed("it ends within an entry's content"));
            }
            count -= read as u64;
            self.offset += read as u64;
        }
        Ok(())
    }
}

/// The current entry's content.
#[derive(Debug)]
pub struct EntryReader<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Read for EntryReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let body = &mut self.reader.body;
        let left = body.size - body.position;
        let mut room = left.min(buffer.len() as u64);
        if room == 0 {
            return Ok(0);
        }
        if body.sparse {
            while body.segments.last().is_some_and(|s| s.offset + s.length <= body.position) {
                body.segments.pop();
            }
            let hole = match body.segments.last() {
                Some(segment) if segment.offset <= body.position => {
                    room = room.min(segment.offset + segment.length - body.position);
                    0
                }
                Some(segment) => segment.offset - body.position,
                None => left,
            };
            if hole > 0 {
                let zeros = room.min(hole) as usize;
                buffer[..zeros].fill(0);
                body.position += zeros as u64;
                return Ok(zeros);
            }
        }
        let count = self.reader.input.read(&mut buffer[..room as usize])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends within an entry's content",
            ));
        }
        body.position += count as u64;
        body.stored -= count as u64;
        self.reader.offset += count as u64;
        Ok(count)
    }
}

/// Returns true for records that change what an entry is.
fn matches_meaning(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime")
        || key.starts_with(pax::XATTR)
        || key.starts_with(sparse::PREFIX)
}

/// Returns the name that stands in the block itself.
fn short_name(block: &Block) -> Vec<u8> {
    let name = header::text(block, header::NAME);
    let prefix = header::text(block, header::PREFIX);
    if prefix.is_empty() || &block[header::MAGIC] != header::POSIX {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// Repeats an interrupted read.
fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
