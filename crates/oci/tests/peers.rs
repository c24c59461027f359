//! What we write, others read; what others write, we read: GNU tar, gzip, zstd, Python's and Go's own libraries.
//!
//! Peers that a machine lacks are skipped with a note, except tar and gzip, which every machine has.

#![allow(clippy::unwrap_used, clippy::panic)] // a test: its helpers may fail loudly

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use slipway_oci::Digest;
use slipway_oci::archive::{Entry, Kind, Limits, Mtime, Reader, Writer};
use slipway_oci::compress::{Compression, Decoder, LayerWriter};

fn samples() -> Vec<(Entry, Vec<u8>)> {
    let at = |entry: Entry| Entry { mtime: Mtime::at(1_700_000_000), uid: 1234, gid: 70_000, ..entry };
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(90));
    let longer = format!("{}/{}", "e".repeat(200), "m".repeat(200));
    let file = |path: &str, content: &[u8]| {
        (at(Entry::new(path, Kind::File { size: content.len() as u64 }, 0o4755)), content.to_vec())
    };
    let none = |path: &str, kind| (at(Entry::new(path, kind, 0o700)), vec![]);
    let mut rich = file("xattr", b"rich");
    rich.0.xattrs.insert(b"user.note".to_vec(), b"a=b\nc".to_vec());
    let mut ids = file("ids", b"");
    (ids.0.uid, ids.0.gid) = (2_147_483_646, 4_000_000);
    let mut old = file("old", b"");
    old.0.mtime = Mtime::at(-1_000_000);
    vec![
        none("dir", Kind::Directory),
        file("dir/file", b"content"),
        file("ümläut/名前", b"u"),
        file(&long, &[7; 1000]),
        file(&longer, &[8; 512]),
        rich,
        ids,
        old,
        none("sym", Kind::Symlink { target: b"../else/where".to_vec() }),
        none("hard", Kind::Hardlink { target: b"dir/file".to_vec() }),
        none("hardlong", Kind::Hardlink { target: longer.into_bytes() }),
        none("null", Kind::Char { major: 1, minor: 3 }),
        none("pipe", Kind::Fifo),
    ]
}

fn archive(entries: &[(Entry, Vec<u8>)], compression: Compression) -> Vec<u8> {
    let mut writer = Writer::new(LayerWriter::new(vec![], compression, 2));
    for (entry, content) in entries {
        writer.append_file(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap().finish().unwrap().0
}

/// Feeds a program and returns what it says; none if it is not installed.
fn feed(program: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let spawned = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no {program}");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?} failed");
    Some(output.stdout)
}

fn lines(entries: &[(Entry, Vec<u8>)]) -> Vec<String> {
    entries
        .iter()
        .map(|(entry, content)| {
            let (kind, link) = match &entry.kind {
                Kind::File { .. } => ('0', &b""[..]),
                Kind::Hardlink { target } => ('1', &target[..]),
                Kind::Symlink { target } => ('2', &target[..]),
                Kind::Char { .. } => ('3', &b""[..]),
                Kind::Block { .. } => ('4', &b""[..]),
                Kind::Directory => ('5', &b""[..]),
                Kind::Fifo => ('6', &b""[..]),
            };
            format!(
                "{} {kind} {:o} {} {} {} {} {}",
                String::from_utf8_lossy(&entry.path),
                entry.mode,
                entry.uid,
                entry.gid,
                entry.mtime.seconds,
                String::from_utf8_lossy(link),
                Digest::of(content).short(),
            )
        })
        .collect()
}

#[test]
fn python_reads_the_same_entries() {
    for compression in [Compression::None, Compression::GZIP] {
        let bytes = archive(&samples(), compression);
        let Some(out) = feed("python3", &["-c", include_str!("peers/list.py")], &bytes) else { return };
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), lines(&samples()));
    }
}

#[test]
fn go_reads_the_same_entries() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/list.go");
    let bytes = archive(&samples(), Compression::GZIP);
    let Some(out) = feed("go", &["run", program], &bytes) else { return };
    assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), lines(&samples()));
}

#[test]
fn gnu_tar_lists_the_same_names() {
    let bytes = archive(&samples(), Compression::None);
    let out = feed("tar", &["--quoting-style=literal", "-tf", "-"], &bytes).unwrap();
    let names = String::from_utf8(out).unwrap();
    let expected: Vec<_> = samples()
        .iter()
        .map(|(entry, _)| {
            let slash = if entry.kind == Kind::Directory { "/" } else { "" };
            format!("{}{slash}", String::from_utf8_lossy(&entry.path))
        })
        .collect();
    assert_eq!(names.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn gzip_and_zstd_read_the_blobs() {
    let mut data = Vec::new();
    for number in 0..300_000_u32 {
        data.extend_from_slice(format!("{number:x} ").as_bytes());
    }
    let entries = [(Entry::new("f", Kind::File { size: data.len() as u64 }, 0o644), data)];
    let plain = archive(&entries, Compression::None);
    for (program, compression) in [
        ("gzip", Compression::GZIP),
        ("gzip", Compression::Gzip(0)),
        ("gzip", Compression::Gzip(9)),
        ("zstd", Compression::ZSTD),
    ] {
        let packed = archive(&entries, compression);
        let Some(out) = feed(program, &["-dc"], &packed) else { continue };
        assert!(out == plain, "{program} unpacks {compression:?} to something else");
    }
}

/// Makes a folder with what archives differ about.
fn folder(root: &Path) {
    let deep = root.join("d".repeat(90)).join("e".repeat(90));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("long"), "long").unwrap();
    fs::write(root.join("plain"), "plain").unwrap();
    fs::set_permissions(root.join("plain"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::write(root.join("ümläut"), vec![1; 1025]).unwrap();
    fs::hard_link(root.join("plain"), root.join("second")).unwrap();
    std::os::unix::fs::symlink("../far/away", root.join("sym")).unwrap();
    // Pieces with holes between, before and after.
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    for piece in [100_u64, 5, 77, 200, 31] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[piece as u8; 3000], piece * 65_536).unwrap();
    }
    for piece in 300..340_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"x", piece * 65_536).unwrap();
    }
    sparse.set_len(30 << 20).unwrap();
}

#[test]
fn every_form_that_gnu_tar_writes_is_read() {
    let root = tempfile::tempdir().unwrap();
    folder(root.path());
    let forms: [&[&str]; 9] = [
        &["--format=gnu"],
        &["--format=oldgnu"],
        &["--format=posix"],
        &["--format=ustar"],
        &["--format=gnu", "-S"],
        &["--format=posix", "-S", "--sparse-version=0.0"],
        &["--format=posix", "-S", "--sparse-version=0.1"],
        &["--format=posix", "-S", "--sparse-version=1.0"],
        &["--format=posix", "-S", "--sparse-version=1.0", "-z"],
    ];
    for form in forms {
        let folder = root.path().to_str().unwrap();
        let arguments = [&["-C", folder, "--sort=name", "-cf", "-", "."], form].concat();
        let bytes = feed("tar", &arguments, b"").unwrap();
        let mut reader = Reader::new(Decoder::new(&bytes[..], Limits::default()).unwrap(), Limits::default());
        let mut seen = BTreeMap::new();
        while let Some(entry) = reader.next_entry().unwrap_or_else(|error| panic!("{form:?}: {error}")) {
            let mut content = vec![];
            reader.content().read_to_end(&mut content).unwrap();
            seen.insert(String::from_utf8(entry.path.clone()).unwrap(), (entry, content));
        }
        for (path, (entry, content)) in &seen {
            let file = root.path().join(path);
            let is = fs::symlink_metadata(&file).unwrap();
            assert_eq!(entry.mode, is.mode() & 0o7777, "{form:?} {path}");
            assert_eq!(entry.mtime.seconds, is.mtime(), "{form:?} {path}");
            match &entry.kind {
                Kind::File { .. } => {
                    assert!(*content == fs::read(&file).unwrap(), "{form:?} {path}: content");
                }
                Kind::Symlink { target } => {
                    assert_eq!(fs::read_link(&file).unwrap().as_os_str().as_encoded_bytes(), target);
                }
                Kind::Hardlink { target } => assert_eq!(target, b"plain"),
                Kind::Directory => assert!(is.is_dir()),
                other => panic!("{form:?} {path}: {other:?}"),
            }
        }
        assert_eq!(seen.len(), 9, "{form:?}: {:?}", seen.keys());
    }
}
