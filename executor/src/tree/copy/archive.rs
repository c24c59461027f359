//! Sources that are no plain trees: here-documents and archives.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use slipway_oci::archive::{Limits, Reader};
use slipway_oci::compress::{Decoder, Format};

use super::Copier;
use crate::tree::source::Selected;
use crate::tree::unpack::{self, Unpacker};
use crate::tree::upper::split;
use crate::tree::{TreeError, dir};

/// An archive's unpacked stream.
type Stream = Box<dyn Read>;

impl Copier<'_, '_> {
    /// Writes a here-document.
    pub(super) fn inline(&mut self, name: &str, data: &str, dest: &str) -> Result<(), TreeError> {
        let target = self.place(dest, Path::new(name), false)?;
        let Some((directory, name)) = split(&target) else {
            return Err(TreeError::FileOverDirectory { path: target });
        };
        let spot = self.upper.make_path(&directory, self.options.on_the_way())?;
        if spot.get(&name)?.is_some_and(|there| there.meta.is_dir()) {
            return Err(TreeError::FileOverDirectory { path: target });
        }
        spot.clear(&name)?;
        let owner = self.options.owner.unwrap_or_default();
        let mode = self.options.mode.as_ref().map_or(0o644, |change| change.apply(0o644, false));
        let now = self.options.now;
        self.stats.files += 1;
        self.stats.bytes += data.len() as u64;
        let written = spot.dir().create_file(&name).and_then(|mut file| {
            file.write_all(data.as_bytes())?;
            dir::set_owner_and_mode(&file, owner, mode)?;
            dir::set_time(&file, now)
        });
        written.map_err(|source| TreeError::io("write", target, source))
    }

    /// Unpacks a file that is an archive into the destination; false where it is none.
    pub(super) fn unpacked(&mut self, selected: &Selected, dest: &str) -> Result<bool, TreeError> {
        if !selected.place.meta().is_file() {
            return Ok(false);
        }
        let path = &selected.path;
        let limits = self.options.limits;
        let file = selected.place.open()?;
        let Some(stream) = open(file, limits).map_err(|source| TreeError::io("read", path, source))? else {
            return Ok(false);
        };
        let view = self.upper.view()?;
        let target = view.canonical(Path::new(dest))?;
        if view.metadata(&target)?.is_some_and(|meta| !meta.is_dir()) {
            return Err(TreeError::DirectoryOverFile { path: target });
        }
        let on_the_way = super::Fresh { mode: 0o755, ..self.options.on_the_way() };
        self.upper.make_path(&target, on_the_way)?;
        let options =
            unpack::Options { limits, owner: self.options.owner, whiteouts: false, now: self.options.now };
        let stats = Unpacker::new(self.upper, &target, &options)?
            .run(Reader::new(stream, limits), &path.to_string_lossy())?;
        self.stats.files += stats.files;
        self.stats.bytes += stats.bytes;
        Ok(true)
    }
}

/// Opens a file as an archive, told by its content alone: the first header must make sense. None for all other files.
fn open(mut file: File, limits: Limits) -> io::Result<Option<Stream>> {
    let Some(first) = unpacked_stream(file.try_clone()?, limits)? else { return Ok(None) };
    if !matches!(Reader::new(first, limits).next_entry(), Ok(Some(_))) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0))?;
    unpacked_stream(file, limits)
}

fn unpacked_stream(mut file: File, limits: Limits) -> io::Result<Option<Stream>> {
    let mut start = [0; Format::SNIFF];
    file.seek(SeekFrom::Start(0))?;
    let count = read_start(&mut file, &mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match Format::sniff(&start[..count]) {
        Format::Bzip2 => {
            Some(Box::new(limited(bzip2::read::MultiBzDecoder::new(BufReader::new(file)), limits)))
        }
        Format::Xz => Some(Box::new(limited(lzma_rust2::XzReader::new(BufReader::new(file), true), limits))),
        // Anything may begin like a compressed stream and be none.
        _ => Decoder::new(file, limits).ok().map(|decoder| Box::new(decoder) as Stream),
    })
}

fn limited(inner: impl Read, limits: Limits) -> impl Read {
    slipway_oci::archive::Meter::new(inner, limits.unpacked, "the unpacked archive")
}

fn read_start(file: &mut File, start: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < start.len() {
        match file.read(&mut start[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}
