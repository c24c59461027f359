use std::io::{self, Read, Write};

use super::*;
use crate::archive::Limits;
use crate::digest::Digest;

/// Text that compresses by about three, the same on every run.
pub(super) fn text(size: usize) -> Vec<u8> {
    let words = ["layer ", "digest ", "of ", "a ", "registry ", "and\n", "0x", "7f", "stage ", "build "];
    let mut state = 1_u32;
    let mut out = Vec::with_capacity(size + 16);
    while out.len() < size {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend_from_slice(words[(state >> 24) as usize % words.len()].as_bytes());
        if state & 0x3000_0000 == 0 {
            out.push((state >> 16) as u8);
        }
    }
    out.truncate(size);
    out
}

/// Bytes that do not compress, the same on every run.
pub(super) fn noise(size: usize, mut state: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn pack(data: &[u8], compression: Compression, threads: usize, cut: usize) -> (Vec<u8>, LayerDigests) {
    let mut layer = LayerWriter::new(vec![], compression, threads);
    data.chunks(cut).for_each(|chunk| layer.write_all(chunk).unwrap());
    layer.finish().unwrap()
}

const ALL: [Compression; 6] = [
    Compression::None,
    Compression::Gzip(0),
    Compression::Gzip(1),
    Compression::GZIP,
    Compression::Zstd(1),
    Compression::ZSTD,
];

#[test]
fn the_bytes_do_not_depend_on_threads_or_writes() {
    for size in [0, 1, gzip::BLOCK - 1, gzip::BLOCK, gzip::BLOCK + 1, 3 * gzip::BLOCK, 5 << 20] {
        let data = text(size);
        for compression in ALL {
            let (first, digests) = pack(&data, compression, 1, 65_536);
            assert_eq!(digests.diff_id, Digest::of(&data));
            assert_eq!(digests.digest, Digest::of(&first));
            assert_eq!((digests.diff_size, digests.size), (data.len() as u64, first.len() as u64));
            for (threads, cut) in [(2, 1 << 20), (3, 7919), (8, usize::MAX)] {
                let (other, _) = pack(&data, compression, threads, cut);
                assert!(
                    first == other,
                    "{compression:?} of {size} bytes with {threads} threads, writes of {cut}"
                );
            }
            let mut back = vec![];
            let mut decoder = Decoder::new(&first[..], Limits::default()).unwrap();
            decoder.read_to_end(&mut back).unwrap();
            assert_eq!(
                decoder.format(),
                if size == 0 && compression == Compression::None {
                    Format::None
                } else {
                    compression.format()
                }
            );
            assert!(back == data, "{compression:?} of {size} bytes does not read back");
            decoder.finish().unwrap();
        }
    }
}

/// Digests of images depend on these bytes and so on the exact compressor: whoever updates it learns it here.
#[test]
fn the_bytes_do_not_change_with_a_release() {
    let data = text(700_000);
    let digest = |compression| pack(&data, compression, 2, 65_536).1.digest.short();
    assert_eq!(
        [digest(Compression::GZIP), digest(Compression::Gzip(1)), digest(Compression::ZSTD)],
        ["5ab686943d20", "0c7d8bf8306d", "8632cc732e65"]
    );
}

#[test]
fn the_dictionary_makes_blocks_as_small_as_one_stream() {
    let data = text(4 << 20);
    for level in [1, 4, 6, 9] {
        let blocks = pack(&data, Compression::Gzip(level), 2, 65_536).0.len();
        let mut whole = flate2::write::GzEncoder::new(vec![], flate2::Compression::new(level));
        whole.write_all(&data).unwrap();
        let whole = whole.finish().unwrap().len();
        assert!(
            blocks < whole + whole / 200,
            "level {level}: {blocks} bytes in blocks, {whole} in one stream"
        );
    }
}

#[test]
fn what_does_not_compress_is_stored() {
    // Text, then noise, then the text again: blocks of both kinds follow each other.
    let noise = noise(3 * gzip::BLOCK + 12_345, 5);
    let text = text(2 * gzip::BLOCK);
    let data = [&text[..], &noise, &text].concat();
    let (packed, digests) = pack(&data, Compression::GZIP, 2, 65_536);
    assert!(digests.size < (noise.len() + text.len()) as u64 + 1000);
    let mut back = vec![];
    Decoder::new(&packed[..], Limits::default()).unwrap().read_to_end(&mut back).unwrap();
    assert!(back == data);
    let (alone, _) = pack(&noise, Compression::GZIP, 2, 65_536);
    let headers = alone.len() - noise.len();
    assert!(headers < 200, "{headers} bytes more than nothing");
}

#[test]
fn a_failing_output_is_reported() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 =
                self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let data = text(8 << 20);
    for compression in ALL {
        for room in [0, 100_000] {
            let mut layer = LayerWriter::new(Full(room), compression, 2);
            let written = layer.write_all(&data);
            let error = written.and_then(|()| layer.finish().map(|_| ())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{compression:?} with room for {room}");
        }
    }
}

#[test]
fn several_members_and_frames_are_one_stream() {
    let (a, b) = (text(300_000), text(5));
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let packed = [pack(&a, compression, 1, 9999).0, pack(&b, compression, 1, 9999).0].concat();
        let mut back = vec![];
        Decoder::new(&packed[..], Limits::default()).unwrap().read_to_end(&mut back).unwrap();
        assert!(back == [a.clone(), b.clone()].concat());
    }
}

#[test]
fn damage_is_an_error() {
    let data = text(500_000);
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let packed = pack(&data, compression, 1, 9999).0;
        let unpack = |bytes: &[u8]| {
            let decoder = Decoder::new(bytes, Limits::default())?;
            decoder.finish().map(|_| ())
        };
        unpack(&packed).unwrap();
        assert!(unpack(&packed[..packed.len() - 9]).is_err(), "{compression:?}: cut");
        assert!(unpack(&[&packed[..], b"garbage"].concat()).is_err(), "{compression:?}: bytes after the end");
    }
    let mut flipped = pack(&data, Compression::GZIP, 1, 9999).0;
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    assert!(Decoder::new(&flipped[..], Limits::default()).unwrap().finish().is_err(), "wrong checksum");
}

#[test]
fn bombs_are_stopped() {
    let zeros = vec![0; 32 << 20];
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let packed = pack(&zeros, compression, 2, 1 << 20).0;
        let read =
            |limits: Limits| io::copy(&mut Decoder::new(&packed[..], limits).unwrap(), &mut io::sink());
        assert_eq!(read(Limits::default()).unwrap(), 32 << 20);
        let error = read(Limits { unpacked: 1 << 20, ..Limits::default() }).unwrap_err();
        assert_eq!(error.to_string(), "the stream unpacks to more than the limit of 1048576 bytes");
        let error = read(Limits { ratio: 500, ratio_from: 4 << 20, ..Limits::default() }).unwrap_err();
        assert_eq!(error.to_string(), "the stream unpacks to more than 500 times its size, the limit");
    }
}

#[test]
fn a_window_that_would_take_gigabytes_is_refused() {
    // A frame header that asks for a window of 2^28 bytes, then an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (28 - 10) << 3, 0x01, 0x00, 0x00];
    assert!(Decoder::new(&frame[..], Limits::default()).unwrap().finish().is_err());
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x01, 0x00, 0x00];
    Decoder::new(&frame[..], Limits::default()).unwrap().finish().unwrap();
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let table: [(&[u8], Format); 8] = [
        (&[0x1f, 0x8b, 8, 0, 0, 0], Format::Gzip),
        (&[0x1f, 0x8b, 7, 0, 0, 0], Format::None),
        (&[0x28, 0xb5, 0x2f, 0xfd], Format::Zstd),
        (&[0x5a, 0x2a, 0x4d, 0x18], Format::Zstd),
        (b"BZh91A", Format::Bzip2),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], Format::Xz),
        (b"", Format::None),
        (b"etc/", Format::None),
    ];
    for (bytes, format) in table {
        assert_eq!(Format::sniff(bytes), format, "{bytes:x?}");
    }
    assert_eq!(
        Decoder::new(&b"BZh91A"[..], Limits::default()).unwrap_err().kind(),
        io::ErrorKind::Unsupported
    );
}

#[test]
fn options_are_read_and_refused() {
    assert_eq!(Compression::parse("gzip", None), Ok(Compression::GZIP));
    assert_eq!(Compression::parse("gzip", Some(0)), Ok(Compression::Gzip(0)));
    assert_eq!(Compression::parse("zstd", Some(19)), Ok(Compression::Zstd(19)));
    assert_eq!(Compression::parse("uncompressed", Some(3)), Ok(Compression::None));
    assert_eq!(
        Compression::parse("gzip", Some(10)).unwrap_err().to_string(),
        "gzip has no level 10; there are 0 to 9"
    );
    assert!(Compression::parse("lz4", None).is_err());
}
