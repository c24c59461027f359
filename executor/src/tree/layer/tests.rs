//! Tests of layers as archives.

use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Read as _};
use std::path::Path;

use slipway_oci::archive::{Kind as Type, Limits, Reader};

use super::*;
use crate::tree::testing::{Desk, NOW, lines, show_layer};
use crate::tree::unpack;
use crate::tree::xattr;

fn archive(layer: &Path, options: Options) -> (Vec<u8>, Written) {
    let (bytes, written) = write(layer, Vec::new(), &options).unwrap();
    assert_eq!(written.archive, bytes.len() as u64);
    (bytes, written)
}

fn paths(bytes: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(bytes, Limits::default());
    let mut paths = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        paths.push(String::from_utf8(entry.path).unwrap());
    }
    paths
}

const TREE: &str = "
    b/ 0700 3:4
    b/two = two 0600 1:2
    b/opaque/ opaque
    b/opaque/in = x
    a = one 04755
    gone !
    link -> ../a
    pipe fifo
    z => a";

#[test]
fn what_is_written_is_read_back_the_same() {
    let desk = Desk::new();
    let layer = desk.tree("layer", TREE);
    let file = fs::File::open(layer.join("a")).unwrap();
    let capability =
        b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let xattrs =
        [(b"security.capability".to_vec(), capability), (b"user.note".to_vec(), b"kept".to_vec())].into();
    xattr::write(&file, &xattrs).unwrap();
    let (bytes, written) = archive(&layer, Options::default());
    let entries = [
        "a",
        "b",
        "b/opaque",
        "b/opaque/.wh..wh..opq",
        "b/opaque/in",
        "b/two",
        ".wh.gone",
        "link",
        "pipe",
        "z",
    ];
    assert_eq!(paths(&bytes), entries);
    assert_eq!((written.entries, written.bytes), (10, 7));

    let again = desk.tree("again", "");
    let options = unpack::Options { limits: Limits::default(), owner: None, whiteouts: true, now: NOW };
    let reader = Reader::new(Cursor::new(&bytes), Limits::default());
    let (unpacked, _) = unpack::layer(reader, &again, &LayerStack::empty(), &options).unwrap();
    assert!(!unpacked.needs_base);
    let mut expected = show_layer(&layer);
    // Making the pipe and the mark leaves their own time.
    let strip = |lines: &mut Vec<String>| {
        for line in lines.iter_mut().filter(|line| line.starts_with("pipe")) {
            "pipe fifo".clone_into(line);
        }
    };
    let mut found = show_layer(&again);
    strip(&mut expected);
    strip(&mut found);
    assert_eq!(found, expected);
    assert_eq!(xattr::read(fs::File::open(again.join("a")).unwrap()).unwrap(), xattrs);
    // And once more from there: the same bytes.
    set_pipe_time(&layer);
    set_pipe_time(&again);
    assert_eq!(archive(&again, Options::default()).0, archive(&layer, Options::default()).0);
}

fn set_pipe_time(layer: &Path) {
    let dir = crate::tree::dir::Dir::open(layer).unwrap();
    dir.set_time(OsStr::new("pipe"), NOW).unwrap();
}

#[test]
fn names_that_mean_something_else_to_readers_are_refused() {
    let desk = Desk::new();
    let layer = desk.tree("layer", "d/.wh.x = 1");
    let error = write(&layer, Vec::new(), &Options::default()).unwrap_err().to_string();
    assert!(error.contains("/d/.wh.x"), "{error}");
}

#[test]
fn times_are_clamped() {
    let desk = Desk::new();
    let layer = desk.tree("layer", "a = 1");
    let early = archive(&layer, Options { clamp: Some(5) }).0;
    let late = archive(&layer, Options { clamp: Some(5_000_000) }).0;
    assert_eq!(late, archive(&layer, Options::default()).0);
    let time =
        |bytes: &[u8]| Reader::new(bytes, Limits::default()).next_entry().unwrap().unwrap().mtime.seconds;
    assert_eq!((time(&early), time(&late)), (5, 1_000_000));
}

#[test]
fn a_stack_is_written_as_it_is_seen() {
    let desk = Desk::new();
    let stack = desk.stack(&["a !\nd/ opaque\nd/new = 2", "a = 1\nd/old = 1\nkept = 1"]);
    let (bytes, written) = write_trees(&[("", &stack)], Vec::new(), &Options::default()).unwrap();
    assert_eq!(paths(&bytes), ["d", "d/new", "kept"]);
    assert_eq!(written.entries, 3);
    assert_eq!(lines("x"), ["x"]);
}

#[test]
fn a_file_that_the_store_keeps_once_for_two_layers_is_two_files() {
    let desk = Desk::new();
    let (upper, lower) = (desk.tree("upper", "own = 2\nsecond => own"), desk.tree("lower", "first = 1"));
    fs::hard_link(lower.join("first"), upper.join("shared")).unwrap();
    let stack = LayerStack::open([&upper, &lower]).unwrap();
    let (bytes, _) = write_trees(&[("", &stack)], Vec::new(), &Options::default()).unwrap();
    let mut links = Vec::new();
    let mut reader = Reader::new(&bytes[..], Limits::default());
    while let Some(entry) = reader.next_entry().unwrap() {
        if matches!(entry.kind, Type::Hardlink { .. }) {
            links.push(String::from_utf8(entry.path).unwrap());
        }
    }
    assert_eq!(links, ["second"]);
    // A copy of what the layers show has as many files.
    let copied = desk.tree("copied", "");
    let source = crate::tree::source::Source { stack: &stack, ignore: None, owner: None };
    let item = [crate::tree::copy::Item::Path { source, pattern: "/", unpack: false }];
    let options = crate::tree::copy::Options::new(NOW);
    crate::tree::copy::copy(&copied, &LayerStack::empty(), &item, "/n", &options).unwrap();
    assert_eq!(
        show_layer(&copied)[1..],
        lines("n/first = 1\nn/own = 2 x2\nn/second = 2 x2\nn/shared = 1")[..]
    );
}

#[test]
fn more_than_one_batch_comes_in_order() {
    let desk = Desk::new();
    let layer = desk.dir.path().join("layer");
    fs::create_dir_all(layer.join("d")).unwrap();
    let content =
        |number: usize| vec![b'a' + (number % 26) as u8; if number % 100 == 7 { 200_000 } else { number }];
    for number in 0..700 {
        fs::write(layer.join(format!("d/{number:03}")), content(number)).unwrap();
    }
    let (bytes, written) = archive(&layer, Options::default());
    assert_eq!(written.entries, 701);
    assert_eq!(written.bytes, (0..700).map(|number| content(number).len() as u64).sum::<u64>());
    let mut reader = Reader::new(&bytes[..], Limits::default());
    assert_eq!(reader.next_entry().unwrap().unwrap().path, b"d");
    for number in 0..700 {
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!(entry.path, format!("d/{number:03}").into_bytes());
        let mut found = Vec::new();
        reader.content().read_to_end(&mut found).unwrap();
        assert!(found == content(number), "{number}");
    }
    assert!(reader.next_entry().unwrap().is_none());
}

#[test]
fn a_full_disk_ends_the_walk() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let desk = Desk::new();
    let layer = desk.dir.path().join("layer");
    fs::create_dir(&layer).unwrap();
    for number in 0..3000 {
        fs::write(layer.join(number.to_string()), "x").unwrap();
    }
    let error = write(&layer, Full(10_000), &Options::default()).map(drop).unwrap_err();
    assert!(crate::engine::Cause::text(&error).contains("no storage space"), "{error}");
}
