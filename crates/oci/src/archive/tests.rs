use std::io::{self, Read};

use super::*;
use crate::digest::Digest;

fn read_all(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, ReadError> {
    read_with(archive, Limits::default())
}

fn read_with(archive: &[u8], limits: Limits) -> Result<Vec<(Entry, Vec<u8>)>, ReadError> {
    let mut reader = Reader::new(archive, limits);
    let mut entries = vec![];
    while let Some(entry) = reader.next_entry()? {
        let mut content = vec![];
        reader.content().read_to_end(&mut content)?;
        entries.push((entry, content));
    }
    reader.finish()?;
    Ok(entries)
}

fn file(path: &str, size: u64) -> Entry {
    Entry {
        uid: 1000,
        gid: 100,
        mtime: Mtime::at(1_700_000_000),
        ..Entry::new(path, Kind::File { size }, 0o644)
    }
}

/// One of everything.
fn samples() -> Vec<(Entry, Vec<u8>)> {
    let entry = |path: &str, kind| (Entry::new(path, kind, 0o755), vec![]);
    let mut rich = file("bin/ping", 4);
    rich.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 32, 0, 0, b'\n', b'=', 0, 0]);
    rich.xattrs.insert(b"user.note".to_vec(), b"x".to_vec());
    let mut ids = file("ids", 0);
    (ids.uid, ids.gid) = (2_147_483_646, 2_097_152);
    let mut old = file("old", 0);
    old.mtime = Mtime::at(-86_400);
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(90));
    let longer = format!("{}/{}", "d".repeat(200), "n".repeat(200));
    vec![
        entry("", Kind::Directory),
        entry("bin", Kind::Directory),
        (rich, b"ping".to_vec()),
        (ids, vec![]),
        (old, vec![]),
        (file("five-hundred-and-twelve", 512), vec![7; 512]),
        (file("with spaces\tand\nlines", 3), b"abc".to_vec()),
        (file("ümläut/名前", 1), b"u".to_vec()),
        (Entry { path: vec![b'b', 0xff, 0xfe], ..file("", 0) }, vec![]),
        (file(&long, 1), b"l".to_vec()),
        (file(&longer, 1), b"m".to_vec()),
        entry("sym", Kind::Symlink { target: b"/etc/../x".to_vec() }),
        entry("symlong", Kind::Symlink { target: vec![b't'; 300] }),
        entry("hard", Kind::Hardlink { target: b"bin/ping".to_vec() }),
        entry("hardlong", Kind::Hardlink { target: longer.into_bytes() }),
        entry("null", Kind::Char { major: 1, minor: 3 }),
        entry("disk", Kind::Block { major: 259, minor: 65_537 }),
        entry("pipe", Kind::Fifo),
        (Whiteout::Removed(b"a/b".to_vec()).entry().unwrap(), vec![]),
    ]
}

fn write_all(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(vec![]);
    for (entry, content) in entries {
        writer.append_file(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read() {
    let samples = samples();
    let archive = write_all(&samples);
    assert_eq!(archive.len() % 512, 0);
    for ((got, content), (want, body)) in read_all(&archive).unwrap().iter().zip(&samples) {
        assert_eq!((got, content), (want, body));
    }
    assert_eq!(read_all(&archive).unwrap().len(), samples.len());
}

/// Layers' digests depend on these bytes: whoever changes this digest changes every image.
#[test]
fn the_bytes_never_change() {
    let digest = Digest::of(write_all(&samples()));
    assert_eq!(digest.to_string(), "sha256:7a25a5caf322b09c3ab939487d16199efd70da37f1ef7e5b62acad55500dd53c");
}

#[test]
fn fractions_of_seconds_are_kept_on_request_only() {
    let mut entry = file("f", 0);
    entry.mtime = Mtime { seconds: -2, nanos: 250_000_000 };
    let mut writer = Writer::new(vec![]).sub_second(true);
    writer.append(&entry).unwrap();
    assert_eq!(read_all(&writer.finish().unwrap()).unwrap()[0].0.mtime, entry.mtime);
    assert_eq!(read_all(&write_all(&[(entry, vec![])])).unwrap()[0].0.mtime, Mtime::at(-2));
    assert_eq!(Mtime { seconds: 9, nanos: 1 }.clamped(Some(9)), Mtime::at(9));
    assert_eq!(Mtime::at(8).clamped(Some(9)), Mtime::at(8));
}

#[test]
fn a_size_beyond_octal_stands_in_a_record() {
    let size = 9 << 30;
    let mut out = vec![];
    let error = Writer::new(&mut out).append_file(&file("big", size), &mut io::empty()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`big` became shorter while it was read: 9663676416 bytes expected, 0 found"
    );
    let mut reader = Reader::new(&out[..], Limits::default());
    assert_eq!(reader.next_entry().unwrap().unwrap().size(), size);
}

#[test]
fn a_file_that_grew_is_cut_at_its_size() {
    let mut writer = Writer::new(vec![]);
    writer.append_file(&file("f", 2), &mut &b"abcdef"[..]).unwrap();
    assert_eq!(read_all(&writer.finish().unwrap()).unwrap()[0].1, b"ab");
}

#[test]
fn entries_that_no_reader_could_take_are_not_written() {
    let table = [
        Entry::new("", Kind::Fifo, 0o644),
        Entry::new("/abs", Kind::Directory, 0o755),
        Entry::new("a//b", Kind::Directory, 0o755),
        Entry::new("a/", Kind::Directory, 0o755),
        Entry::new("a/../b", Kind::Directory, 0o755),
        Entry::new("a\0b", Kind::Directory, 0o755),
        Entry::new("h", Kind::Hardlink { target: b"/abs".to_vec() }, 0o644),
        Entry::new("h", Kind::Hardlink { target: b"../x".to_vec() }, 0o644),
        Entry::new("s", Kind::Symlink { target: vec![] }, 0o777),
        Entry::new("m", Kind::Fifo, 0o100_644),
        Entry::new("d", Kind::Char { major: 1, minor: 1 << 21 }, 0o644),
    ];
    for entry in table {
        let mut out = vec![];
        assert!(matches!(Writer::new(&mut out).append(&entry), Err(WriteError::Entry { .. })), "{entry:?}");
        assert!(out.is_empty(), "something was written of {entry:?}");
    }
}

/// Builds archives that no writer of good faith makes.
struct Raw(Vec<u8>);

impl Raw {
    fn new() -> Self {
        Self(vec![])
    }

    fn entry(mut self, kind: u8, name: &str, link: &str, size: u64, content: &[u8]) -> Self {
        let mut block = [0; 512];
        header::put_text(&mut block, header::NAME, name.as_bytes());
        header::put_text(&mut block, header::LINK, link.as_bytes());
        header::put_octal(&mut block, header::MODE, 0o644);
        header::put_octal(&mut block, header::UID, 0);
        header::put_octal(&mut block, header::GID, 0);
        header::put_octal(&mut block, header::MTIME, 0);
        header::put_octal(&mut block, header::SIZE, size);
        block[header::TYPE] = kind;
        block[header::MAGIC].copy_from_slice(header::POSIX);
        header::seal(&mut block);
        self.0.extend(block);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(b'0', name, "", content.len() as u64, content)
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut data = vec![];
        for (key, value) in records {
            pax::put(&mut data, key.as_bytes(), value.as_bytes());
        }
        self.entry(b'x', "PaxHeaders.0/x", "", data.len() as u64, &data)
    }

    fn special(self, kind: u8, data: &[u8]) -> Self {
        self.entry(kind, "special", "", data.len() as u64, data)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

#[test]
fn the_size_record_decides_where_the_next_entry_is() {
    // CVE-2025-62518: the block says 0 bytes, the record says how many; inside the content stands an archive.
    let inner = Raw::new().file("smuggled", b"evil").0;
    let size = inner.len().to_string();
    let archive =
        Raw::new().pax(&[("size", &size)]).entry(b'0', "outer", "", 0, &inner).file("after", b"x").end();
    let entries = read_all(&archive).unwrap();
    let names: Vec<_> =
        entries.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    assert_eq!(names, ["outer", "after"]);
    assert_eq!(entries[0].1, inner);
}

#[test]
fn paths_are_cleaned_or_refused() {
    let table = [
        ("a/b", Some("a/b")),
        ("./a", Some("a")),
        (".", Some("")),
        ("./", Some("")),
        ("/", Some("")),
        ("/etc/passwd", Some("etc/passwd")),
        ("//a//b/", Some("a/b")),
        ("a/./b/.", Some("a/b")),
        ("a/../b", Some("b")),
        ("a/b/../../c", Some("c")),
        ("..", None),
        ("../x", None),
        ("a/../../x", None),
        ("./..//x", None),
        ("/../x", None),
        ("..a/..", Some("")),
        ("...", Some("...")),
    ];
    for (written, expected) in table {
        let got = read_all(&Raw::new().entry(b'5', written, "", 0, b"").end());
        match (got, expected) {
            (Ok(entries), Some(path)) => assert_eq!(entries[0].0.path, path.as_bytes(), "{written}"),
            (Err(ReadError::Path { .. }), None) => {}
            (got, _) => panic!("`{written}`: {got:?}"),
        }
    }
}

#[test]
fn attacks_are_refused_with_a_reason() {
    let deep = vec!["d"; 1001].join("/");
    let long = "p/".repeat(2048);
    let component = "c".repeat(256);
    let global_size = Raw::new().special(b'g', b"10 size=5\n");
    let mut bad_sum = Raw::new().file("f", b"x").end();
    bad_sum[0] ^= 1;
    let mut cut = Raw::new().file("f", &[1; 2000]).end();
    cut.truncate(1500);
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("hard link out", Raw::new().entry(b'1', "h", "../../etc/shadow", 0, b"").end(), "leads out"),
        ("hard link to the root", Raw::new().entry(b'1', "h", "/", 0, b"").end(), "hard link to the root"),
        ("symbolic link to nothing", Raw::new().entry(b'2', "s", "", 0, b"").end(), "link to nothing"),
        ("a file as the root", Raw::new().file("./.", b"x").end(), "is the root"),
        (
            "directory with content",
            Raw::new().entry(b'5', "d", "", 512, &[0; 512]).end(),
            "claims to have content",
        ),
        (
            "link with content",
            Raw::new().entry(b'2', "s", "t", 512, &[0; 512]).end(),
            "claims to have content",
        ),
        ("device with content", Raw::new().entry(b'3', "s", "", 1, b"x").end(), "claims to have content"),
        ("unknown type", Raw::new().entry(b'M', "m", "", 0, b"").end(), "unknown type `M`"),
        (
            "lone zero block",
            [Raw::new().file("a", b"").0, vec![0; 512], Raw::new().file("b", b"").end()].concat(),
            "lone block",
        ),
        ("checksum", bad_sum, "checksum"),
        ("cut in the content", cut, "ends within"),
        ("no archive", vec![b'x'; 2048], "not a tar header"),
        (
            "two extended headers",
            Raw::new().pax(&[("path", "a")]).pax(&[("path", "b")]).file("f", b"").end(),
            "two extended",
        ),
        (
            "long name and record",
            Raw::new().special(b'L', b"a\0").pax(&[("path", "b")]).file("f", b"").end(),
            "long name",
        ),
        (
            "record and long name",
            Raw::new().pax(&[("path", "b")]).special(b'L', b"a\0").file("f", b"").end(),
            "two extended",
        ),
        (
            "two long names",
            Raw::new().special(b'L', b"a\0").special(b'L', b"b\0").file("f", b"").end(),
            "two extended",
        ),
        ("NUL in a long name", Raw::new().special(b'L', b"a\0b").file("f", b"").end(), "NUL inside"),
        (
            "NUL in a path record",
            Raw::new().pax(&[("path", "a\0b")]).file("f", b"").end(),
            "bad value of the record `path`",
        ),
        (
            "repeated record",
            Raw::new().pax(&[("size", "1"), ("size", "2")]).file("f", b"x").end(),
            "`size` twice",
        ),
        ("negative size", Raw::new().pax(&[("size", "-1")]).file("f", b"x").end(), "bad value"),
        ("size with a sign", Raw::new().pax(&[("size", "+1")]).file("f", b"x").end(), "bad value"),
        ("huge size", Raw::new().pax(&[("size", "18446744073709551615")]).file("f", b"x").end(), "limit"),
        (
            "size beyond 64 bits",
            Raw::new().pax(&[("size", "18446744073709551616")]).file("f", b"x").end(),
            "bad value",
        ),
        ("record length", Raw::new().special(b'x', b"99 path=x\n").file("f", b"").end(), "bad records"),
        (
            "record without line end",
            Raw::new().special(b'x', b"9 path=xy").file("f", b"").end(),
            "bad records",
        ),
        ("global size", global_size.file("f", b"hello").end(), "global header sets `size`"),
        ("header at the end", Raw::new().pax(&[("path", "x")]).end(), "belongs to no entry"),
        ("path out by record", Raw::new().pax(&[("path", "../../x")]).file("f", b"").end(), "leads out"),
        (
            "link out by record",
            Raw::new().pax(&[("linkpath", "../x")]).entry(b'1', "h", "ok", 0, b"").end(),
            "leads out",
        ),
        ("deep path", Raw::new().pax(&[("path", &deep)]).file("f", b"").end(), "parts of a path"),
        ("long path", Raw::new().pax(&[("path", &long)]).file("f", b"").end(), "bytes of a path"),
        ("long component", Raw::new().pax(&[("path", &component)]).file("f", b"").end(), "longer than 255"),
        ("much extended header", Raw::new().special(b'x', &vec![b'1'; 2 << 20]).end(), "extended headers"),
        ("sparse map that overlaps", sparse("2,4,0,4", "10"), "overlaps"),
        ("sparse map beyond the end", sparse("0,8", "4"), "overlaps"),
        ("sparse map that overflows", sparse("18446744073709551615,8", "9"), "overlaps"),
        ("sparse map with an odd number", sparse("0,4,4", "10"), "bad map"),
        ("sparse bomb", sparse("0,8", "9223372036854775807"), "limit"),
        ("sparse name out", Raw::new().pax(&[("GNU.sparse.name", "../x")]).file("f", b"").end(), "leads out"),
    ];
    for (name, archive, expected) in table {
        match read_all(&archive) {
            Ok(entries) => panic!("{name}: read as {:?}", entries.iter().map(|e| &e.0).collect::<Vec<_>>()),
            Err(error) => assert!(chain(&error).contains(expected), "{name}: {}", chain(&error)),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

fn sparse(map: &str, size: &str) -> Vec<u8> {
    Raw::new().pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)]).file("f", b"12345678").end()
}

#[test]
fn holes_are_zeros() {
    let entries = read_all(&sparse("2,3,7,5", "14")).unwrap();
    assert_eq!(entries[0].0.kind, Kind::File { size: 14 });
    assert_eq!(entries[0].1, b"\0\x00123\0\x0045678\0\0");
}

#[test]
fn limits_name_themselves() {
    let three = Raw::new().file("a", b"").file("b", b"").file("c", b"").end();
    let limits = Limits { entries: 2, ..Limits::default() };
    assert_eq!(
        read_with(&three, limits).unwrap_err().to_string(),
        "the archive exceeds the limit of 2 entries"
    );
    let big = Raw::new().file("a", &[0; 4096]).end();
    let limits = Limits { unpacked: 4000, ..Limits::default() };
    let error = read_with(&big, limits).unwrap_err().to_string();
    assert_eq!(error, "the archive exceeds the limit of 4000 unpacked bytes at `a`");
    // What follows the end counts too: it is part of the stream that is digested.
    let tail = [Raw::new().end(), vec![1; 5000]].concat();
    assert!(read_with(&tail, limits).is_err());
}

#[test]
fn old_and_odd_archives_are_read() {
    // Type NUL, a name with a slash: a directory of seventh edition Unix.
    assert_eq!(read_all(&Raw::new().entry(0, "d/", "", 0, b"").end()).unwrap()[0].0.kind, Kind::Directory);
    // No end blocks at all.
    assert_eq!(read_all(&Raw::new().file("a", b"x").0).unwrap().len(), 1);
    assert!(read_all(&[]).unwrap().is_empty());
    // git archive's global comment.
    assert_eq!(read_all(&Raw::new().special(b'g', b"13 comment=a\n").file("a", b"").end()).unwrap().len(), 1);
    // A hard link with its file's size, as old writers have it.
    let archive = Raw::new().file("a", b"x").entry(b'1', "b", "a", 1, b"").end();
    assert_eq!(read_all(&archive).unwrap()[1].0.kind, Kind::Hardlink { target: b"a".to_vec() });
    // A record taken back by an empty value.
    assert_eq!(read_all(&Raw::new().pax(&[("path", "")]).file("a", b"").end()).unwrap()[0].0.path, b"a");
}

#[test]
fn whiteouts() {
    let table: [(&str, Option<Whiteout>); 9] = [
        ("a/.wh.b", Some(Whiteout::Removed(b"a/b".to_vec()))),
        (".wh.b", Some(Whiteout::Removed(b"b".to_vec()))),
        ("a/.wh..wh..opq", Some(Whiteout::Opaque(b"a".to_vec()))),
        (".wh..wh..opq", Some(Whiteout::Opaque(vec![]))),
        (".wh.", Some(Whiteout::Invalid)),
        ("a/.wh..", Some(Whiteout::Invalid)),
        ("a/.wh...", Some(Whiteout::Invalid)),
        (".wh..wh.plnk", Some(Whiteout::Invalid)),
        ("a/wh.b", None),
    ];
    for (path, expected) in table {
        let got = Whiteout::of(path.as_bytes());
        assert_eq!(got, expected, "{path}");
        if let Some(entry) = got.and_then(|whiteout| whiteout.entry()) {
            assert_eq!(entry.path, path.as_bytes());
        }
    }
    assert_eq!(Whiteout::of(b".wh.a/b"), None);
}

/// A reader never panics and never loops, whatever it is given.
#[test]
fn damaged_archives_end_in_an_error_or_an_archive() {
    let archive = write_all(&samples());
    let mut state = 0x9e37_79b9_u32;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let mut refused = 0;
    for _ in 0..3000 {
        let mut damaged = archive.clone();
        for _ in 0..=next(4) {
            let at = next(damaged.len());
            match next(3) {
                0 => damaged[at] = next(256) as u8,
                1 => damaged.truncate(at.max(1)),
                _ => reseal(&mut damaged, at, next(500), next(256) as u8),
            }
        }
        refused += usize::from(read_all(&damaged).is_err());
    }
    assert!(refused > 500, "only {refused} were refused");
}

/// Changes a byte of a block and makes the checksum right again, so that the damage gets further in.
fn reseal(archive: &mut [u8], at: usize, within: usize, byte: u8) {
    let start = at / 512 * 512;
    if let Some(Ok(block)) = archive.get_mut(start..start + 512).map(<&mut [u8; 512]>::try_from) {
        block[within] = byte;
        header::seal(block);
    }
}
