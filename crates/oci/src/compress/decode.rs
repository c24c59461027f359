//! Unpacking streams that others packed, with limits.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::Format;
use crate::archive::{Limits, Meter};

/// The largest zstd window that is accepted, as a power of two: the format's own recommendation for all decoders.
const ZSTD_WINDOW: u32 = 27;

/// How often the ratio is looked at.
const CHECK_EVERY: u64 = 1 << 20;

type Input<R> = BufReader<io::Chain<Cursor<Vec<u8>>, Meter<R>>>;

/// Unpacks a stream whose format is told by its first bytes.
///
/// gzip may have several members, zstd several frames. Stops with an error at [`Limits::unpacked`] and
/// [`Limits::ratio`]; a zstd frame that wants more than 128 MiB of window is refused.
pub struct Decoder<R: Read> {
    format: Format,
    packer: Unpacker<R>,
    limits: Limits,
    out: u64,
    next_check: u64,
}

enum Unpacker<R: Read> {
    None(Input<R>),
    Gzip(Box<MultiGzDecoder<Input<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Input<R>>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `input`, which need not be buffered. bzip2 and xz are
    /// [`io::ErrorKind::Unsupported`] here.
    pub fn new(input: R, limits: Limits) -> io::Result<Self> {
        let mut input = Meter::new(input, u64::MAX, "the packed stream");
        let mut first = Vec::with_capacity(Format::SNIFF);
        (&mut input).take(Format::SNIFF as u64).read_to_end(&mut first)?;
        let format = Format::sniff(&first);
        let input = BufReader::with_capacity(64 << 10, Cursor::new(first).chain(input));
        let packer = match format {
            Format::None => Unpacker::None(input),
            Format::Gzip => Unpacker::Gzip(Box::new(MultiGzDecoder::new(input))),
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Unpacker::Zstd(Box::new(decoder))
            }
            Format::Bzip2 | Format::Xz => {
                let message = "layers are packed with gzip or zstd; this is bzip2 or xz";
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
        };
        Ok(Self { format, packer, limits, out: 0, next_check: CHECK_EVERY })
    }

    /// Returns how the stream is packed.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns how many bytes came out.
    pub fn unpacked(&self) -> u64 {
        self.out
    }

    /// Returns how many bytes went in, what is buffered included.
    pub fn packed(&self) -> u64 {
        let input = match &self.packer {
            Unpacker::None(input) => input,
            Unpacker::Gzip(decoder) => decoder.get_ref(),
            Unpacker::Zstd(decoder) => decoder.get_ref(),
        };
        input.get_ref().get_ref().1.count()
    }

    /// Returns the input after the stream's end; an error if bytes are left that belong to no member.
    pub fn finish(mut self) -> io::Result<R> {
        io::copy(&mut self, &mut io::sink())?;
        let mut input = match self.packer {
            Unpacker::None(input) => input,
            Unpacker::Gzip(decoder) => decoder.into_inner(),
            Unpacker::Zstd(decoder) => decoder.finish(),
        };
        if !input.fill_buf()?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow the packed stream"));
        }
        Ok(input.into_inner().into_inner().1.into_inner())
    }

    fn check(&mut self) -> io::Result<()> {
        let bomb = |message: String| Err(io::Error::new(io::ErrorKind::InvalidData, message));
        if self.out > self.limits.unpacked {
            return bomb(format!(
                "the stream unpacks to more than the limit of {} bytes",
                self.limits.unpacked
            ));
        }
        if self.out >= self.next_check {
            self.next_check = self.out + CHECK_EVERY;
            let packed = self.packed().max(1);
            if self.out > self.limits.ratio_from && self.out / packed > self.limits.ratio {
                return bomb(format!(
                    "the stream unpacks to more than {} times its size, the limit",
                    self.limits.ratio
                ));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.packer {
            Unpacker::None(input) => input.read(buffer),
            Unpacker::Gzip(decoder) => decoder.read(buffer),
            Unpacker::Zstd(decoder) => decoder.read(buffer),
        }?;
        self.out += count as u64;
        self.check()?;
        Ok(count)
    }
}

impl<R: Read> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("format", &self.format)
            .field("unpacked", &self.out)
            .finish_non_exhaustive()
    }
}
