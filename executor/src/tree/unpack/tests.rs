//! Tests of unpacking: what layers mean, and what hostile archives try.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use slipway_oci::archive::{Kind as Type, Writer};

use super::*;
use crate::tree::testing::{Desk, NOW, lines, show, show_layer};

const OPTIONS: Options = Options {
    limits: Limits {
        entries: 1000,
        path: 4095,
        depth: 1000,
        extended: 1 << 20,
        unpacked: 1 << 30,
        ratio: 2000,
        ratio_from: 1 << 30,
    },
    owner: None,
    whiteouts: true,
    now: NOW,
};

/// Makes an archive of lines: `a/`, `a = text`, `a -> b`, `a => b` (second name), `a char 1 3`, with a mode at the end.
fn archive(spec: &str) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for line in spec.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let mode = words.last().filter(|word| word.len() == 5 && word.starts_with('0'));
        let mode = mode.and_then(|word| u32::from_str_radix(word, 8).ok());
        if mode.is_some() {
            words.pop();
        }
        let path = words[0].trim_end_matches('/');
        let (kind, text) = match &words[1..] {
            [] => (Type::Directory, ""),
            ["=", text] => (Type::File { size: text.len() as u64 }, *text),
            ["="] => (Type::File { size: 0 }, ""),
            ["->", target] => (Type::Symlink { target: target.as_bytes().to_vec() }, ""),
            ["=>", target] => (Type::Hardlink { target: target.as_bytes().to_vec() }, ""),
            ["char", major, minor] => {
                (Type::Char { major: major.parse().unwrap(), minor: minor.parse().unwrap() }, "")
            }
            ["fifo"] => (Type::Fifo, ""),
            other => panic!("{other:?}"),
        };
        let usual = if kind == Type::Directory { 0o755 } else { 0o644 };
        let mut entry = Entry::new(path, kind, mode.unwrap_or(usual));
        entry.mtime.seconds = 1_000_000;
        writer.append_file(&entry, &mut text.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

fn unpack(upper: &Path, base: &LayerStack, bytes: &[u8]) -> Result<Unpacked, TreeError> {
    let reader = Reader::new(Cursor::new(bytes), OPTIONS.limits);
    layer(reader, upper, base, &OPTIONS).map(|(unpacked, _)| unpacked)
}

#[test]
fn layers_mean_what_they_mean_in_other_engines() {
    // The base, the archive, what the layer holds, what the tree then shows.
    let cases = [
        (
            "plain",
            "",
            "a/\na/f = 1\na/l -> f\na/h => a/f",
            "a/\na/f = 1 x2\na/h = 1 x2\na/l -> f",
            "a/\na/f = 1 x2\na/h = 1 x2\na/l -> f",
        ),
        ("whiteout", "a = 1\nb = 1", ".wh.a =", "a !", "b = 1"),
        ("whiteout of a directory", "d/x = 1", ".wh.d =", "d !", ""),
        ("opaque", "d/x = 1", "d/\nd/.wh..wh..opq =\nd/y = 2", "d/ opaque\nd/y = 2", "d/ opaque\nd/y = 2"),
        (
            "opaque said later",
            "d/x = 1",
            "d/\nd/y = 2\nd/.wh..wh..opq =",
            "d/ opaque\nd/y = 2",
            "d/ opaque\nd/y = 2",
        ),
        (
            "whiteout, then again",
            "d/x = 1",
            ".wh.d =\nd/\nd/y = 2",
            "d/ opaque\nd/y = 2",
            "d/ opaque\nd/y = 2",
        ),
        (
            "again, then whiteout",
            "d/x = 1",
            "d/\nd/y = 2\n.wh.d =",
            "d/ opaque\nd/y = 2",
            "d/ opaque\nd/y = 2",
        ),
        ("whiteout, then a file", "d/x = 1", ".wh.d =\nd = 2", "d = 2", "d = 2"),
        ("aufs left-overs", "", ".wh..wh.plnk/\n.wh..wh.aufs =\na = 1", "a = 1", "a = 1"),
        ("later wins", "", "a = 1\na = 22", "a = 22", "a = 22"),
        ("file, then directory", "", "a = 1\na/\na/b = 2", "a/\na/b = 2", "a/\na/b = 2"),
        ("directory, then file", "", "a/\na/b = 2\na = 1", "a = 1", "a = 1"),
        ("metadata said twice", "", "a/ 00700\na/b = 1\na/ 00711", "a/ 0711\na/b = 1", "a/ 0711\na/b = 1"),
        ("parents left out", "d/ 0700 3:4", "d/x = 1", "d/ 0700 3:4\nd/x = 1", "d/ 0700 3:4\nd/x = 1"),
        (
            "through the base's link",
            "usr/lib/\nlib -> usr/lib",
            "lib/x = 1",
            "usr/\nusr/lib/\nusr/lib/x = 1",
            "lib -> usr/lib\nusr/\nusr/lib/\nusr/lib/x = 1",
        ),
        (
            "in place of the base's link",
            "usr/lib/\nlib -> usr/lib",
            "lib/\nlib/x = 1",
            "lib/\nlib/x = 1",
            "lib/\nlib/x = 1\nusr/\nusr/lib/",
        ),
        (
            "second name of the base's file",
            "a = 1 0600 5:6",
            "b => a",
            "a = 1 x2 0600 5:6\nb = 1 x2 0600 5:6",
            "a = 1 x2 0600 5:6\nb = 1 x2 0600 5:6",
        ),
        ("second name of a link", "", "l -> x\nm => l", "l -> x\nm -> x", "l -> x\nm -> x"),
    ];
    for (name, base, spec, held, shown) in cases {
        let desk = Desk::new();
        let (base, upper) = (desk.stack(&[base]), desk.tree("upper", ""));
        unpack(&upper, &base, &archive(spec)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(show_layer(&upper), lines(held), "{name}: the layer");
        assert_eq!(show(&base.with_top(&upper).unwrap()), lines(shown), "{name}: the tree");
    }
}

#[test]
fn a_layer_that_needs_its_base_says_so() {
    let needs = |spec: &str| {
        let desk = Desk::new();
        unpack(&desk.tree("upper", ""), &LayerStack::empty(), &archive(spec))
            .map(|unpacked| unpacked.needs_base)
            .ok()
    };
    assert_eq!(needs("a/\na/b = 1\nc = 1"), Some(false));
    assert_eq!(needs("a/b = 1"), Some(true));
    assert_eq!(needs("a/\na/b/.wh.c ="), Some(true));
    assert_eq!(needs("a => b"), None, "the file to link to is not here");
}

#[test]
fn nothing_leaves_the_root() {
    // Each of these tries to write, link to or change something outside; the canaries say whether it did.
    let attacks = [
        "l -> ../outside\nl/x = evil",
        "l -> OUTSIDE\nl/x = evil",
        "l -> OUTSIDE\nl/\nl/x = evil 04777",
        "l -> OUTSIDE/secret\nl = evil",
        "l -> OUTSIDE\nl/ 00777",
        "l -> ..\nm -> l/outside\nm/x = evil",
        "d/\nd/l -> ../../outside\nd/l/x = evil",
        "l -> OUTSIDE\nh => l/secret\nh = evil",
        "l -> ../outside/secret\nh => l\nh = evil",
        "l -> OUTSIDE\nl/.wh.secret =",
        "l -> ../outside\nl/.wh..wh..opq =",
        "l -> /proc/self/root\nl/x = evil",
        "l -> /proc/self/cwd\nl/x = evil",
    ];
    for attack in attacks {
        let desk = Desk::new();
        let outside = desk.tree("outside", "secret = kept 0600");
        let upper = desk.tree("upper", "");
        let before = snapshot(&outside);
        let bytes = archive(&attack.replace("OUTSIDE", outside.to_str().unwrap()));
        // With an error or without one: what is unpacked lies inside.
        let _ = unpack(&upper, &LayerStack::empty(), &bytes);
        assert_eq!(snapshot(&outside), before, "{attack}");
        // The same against a base that brought the link in a layer of its own.
        let base = desk.stack(&[&format!("l -> {}", outside.display())]);
        let _ = unpack(&desk.tree("upper2", ""), &base, &archive("l/x = evil\nl/secret = evil"));
        assert_eq!(snapshot(&outside), before, "two layers");
    }
}

fn snapshot(directory: &Path) -> Vec<(PathBuf, u32, u64, String, u64)> {
    let mut found = Vec::new();
    for path in std::iter::once(directory.to_owned())
        .chain(fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()))
    {
        let meta = fs::symlink_metadata(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap_or_default();
        found.push((path, meta.permissions().mode(), meta.nlink(), text, meta.ino()));
    }
    found.sort();
    found
}

#[test]
fn what_makes_no_sense_is_refused() {
    let cases = [
        ("a => nothing", "second name of `nothing`"),
        ("a = 1\na => a", "second name of itself"),
        ("d/\na => d", "second name of a directory"),
        (".wh... =", "its own directory or the one above"),
        ("d/\nd/.wh.. =", "its own directory or the one above"),
        ("d/\nd/.wh. =", "its own directory or the one above"),
        ("dev char 0 0", "device 0:0"),
        ("l -> l\nl/x = 1", "too many symbolic links"),
        ("f = 1\nf/x = 1", "is not a directory"),
    ];
    for (spec, expected) in cases {
        let desk = Desk::new();
        let error = unpack(&desk.tree("upper", ""), &LayerStack::empty(), &archive(spec)).unwrap_err();
        assert!(error.to_string().contains(expected), "{spec}: {error}");
    }
}

#[test]
fn limits_hold() {
    let desk = Desk::new();
    let many: String = (0..1001).fold(String::new(), |text, n| format!("{text}f{n} =\n"));
    let error = unpack(&desk.tree("many", ""), &LayerStack::empty(), &archive(&many)).unwrap_err();
    assert!(
        matches!(&error, TreeError::Archive { source, .. } if source.to_string().contains("1000 entries")),
        "{error:?}"
    );
    // Deeper than one system call takes a path.
    let deep: String =
        (1..600).fold(String::new(), |text, n| format!("{text}{}\n", vec!["dddddddd"; n].join("/") + "/"));
    let result = unpack(&desk.tree("deep", ""), &LayerStack::empty(), &archive(&deep));
    assert!(result.is_err(), "a path of 5000 bytes is refused");
}

#[test]
fn numbers_that_linux_does_not_have_are_refused() {
    for (uid, gid) in [(u64::from(u32::MAX), 0), (0, 1 << 40)] {
        let mut writer = Writer::new(Vec::new());
        let entry = Entry { uid, gid, ..Entry::new("a", Type::Directory, 0o755) };
        writer.append(&entry).unwrap();
        let desk = Desk::new();
        let result = unpack(&desk.tree("upper", ""), &LayerStack::empty(), &writer.finish().unwrap());
        assert!(result.is_err(), "{uid}:{gid}");
    }
}

#[test]
fn overlayfs_notes_of_an_archive_are_dropped() {
    let mut writer = Writer::new(Vec::new());
    let mut entry = Entry::new("d", Type::Directory, 0o755);
    for name in ["user.overlay.opaque", "user.overlay.redirect", "trusted.overlay.opaque", "user.mine"] {
        entry.xattrs.insert(name.as_bytes().to_vec(), b"y".to_vec());
    }
    writer.append(&entry).unwrap();
    let desk = Desk::new();
    let upper = desk.tree("upper", "");
    unpack(&upper, &LayerStack::empty(), &writer.finish().unwrap()).unwrap();
    let dir = crate::tree::dir::Dir::open(&upper.join("d")).unwrap();
    assert!(!xattr::is_opaque(&dir).unwrap());
    assert_eq!(xattr::read(&dir).unwrap().keys().collect::<Vec<_>>(), [b"user.mine"]);
    let mut names = [0; 200];
    let length = rustix::fs::flistxattr(&dir, &mut names).unwrap();
    assert_eq!(&names[..length], b"user.mine\0");
}

#[test]
fn a_link_that_is_swapped_meanwhile_leads_nowhere() {
    let desk = Desk::new();
    let outside = desk.tree("outside", "secret = kept");
    let upper = desk.tree("upper", "d/");
    let before = snapshot(&outside);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(upper.join("d"), upper.join("e"));
                let _ = symlink(&outside, upper.join("d"));
                let _ = fs::remove_file(upper.join("d"));
                let _ = fs::rename(upper.join("e"), upper.join("d"));
            }
        });
        let _stop = crate::tree::testing::Stop(&stop);
        let bytes = archive("d/x = evil\nd/.wh.secret =\nd/ 00777\nd/secret = evil");
        for _ in 0..2000 {
            let _ = unpack(&upper, &LayerStack::empty(), &bytes);
        }
    });
    assert_eq!(snapshot(&outside), before);
}
