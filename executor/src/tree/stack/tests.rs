//! Tests of the union view.

use std::path::Path;

use crate::tree::TreeError;
use crate::tree::stack::LayerStack;
use crate::tree::testing::{Desk, lines, show};

#[test]
fn layers_merge_as_overlayfs_merges_them() {
    // Topmost first, then what must be seen.
    let cases: &[(&str, &[&str], &str)] = &[
        ("nothing", &[], ""),
        ("one", &["a = 1"], "a = 1"),
        ("the upper file wins", &["a = 2", "a = 1\nb = 1"], "a = 2\nb = 1"),
        ("directories merge", &["d/a = 2", "d/b = 1"], "d/\nd/a = 2\nd/b = 1"),
        ("a whiteout hides", &["a !", "a = 1\nb = 1"], "b = 1"),
        ("a whiteout hides a directory", &["d !", "d/a = 1"], ""),
        ("a whiteout of nothing is not seen", &["a !", "b = 1"], "b = 1"),
        ("made again above a whiteout", &["d/a = 3", "d !", "d/b = 1"], "d/\nd/a = 3"),
        ("opaque", &["d/ opaque\nd/a = 2", "d/b = 1"], "d/ opaque\nd/a = 2"),
        ("opaque in the middle", &["d/a = 3", "d/ opaque\nd/b = 2", "d/c = 1"], "d/\nd/a = 3\nd/b = 2"),
        ("a file over a directory", &["d = 2", "d/a = 1"], "d = 2"),
        ("a directory over a file", &["d/a = 2", "d = 1"], "d/\nd/a = 2"),
        ("a file in the middle ends the merge", &["d/a = 3", "d = 2", "d/b = 1"], "d/\nd/a = 3"),
        ("upper metadata", &["d/ 0700 1:2", "d/ 0755\nd/a = 1"], "d/ 0700 1:2\nd/a = 1"),
    ];
    for (name, layers, expected) in cases {
        let desk = Desk::new();
        assert_eq!(show(&desk.stack(layers)), lines(expected), "{name}");
    }
}

#[test]
fn paths_are_resolved_below_the_root() {
    let desk = Desk::new();
    let stack = desk.stack(&[
        "usr/bin/sh = new\nbin -> usr/bin\nup -> ../../../../etc\nabs -> /etc/passwd",
        "etc/passwd = root\nusr/bin/ls = ls\nloop -> loop\na -> b\nb -> a\ndeep/x/up -> ../../etc\nfile = f",
    ]);
    let cases = [
        ("/", Some("/")),
        ("", Some("/")),
        ("/bin/sh", Some("/usr/bin/sh")),
        ("bin/ls", Some("/usr/bin/ls")),
        ("/up/passwd", Some("/etc/passwd")),
        ("/abs", Some("/etc/passwd")),
        ("/../../../etc/passwd", Some("/etc/passwd")),
        ("/deep/x/up/passwd", Some("/etc/passwd")),
        ("/bin/../lib", None),
        ("/deep/x/up", Some("/etc")),
        ("/file/x", None),
        ("/nothing/at/all", None),
    ];
    for (path, expected) in cases {
        let found = stack.find(Path::new(path), true).unwrap().map(|place| place.path());
        assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
    }
    for path in ["/loop", "/a", "/loop/x"] {
        assert!(matches!(stack.find(Path::new(path), true), Err(TreeError::Loop { .. })), "{path}");
    }
    let canonical =
        [("/bin/new/dir", "/usr/bin/new/dir"), ("/up/../x", "/x"), ("/no/../such", "/such"), ("/", "/")];
    for (path, expected) in canonical {
        assert_eq!(stack.canonical(Path::new(path)).unwrap(), Path::new(expected), "{path}");
    }
    assert_eq!(stack.read(Path::new("/bin/sh"), 10).unwrap().unwrap(), b"new");
    assert!(stack.read(Path::new("/bin/sh"), 2).is_err(), "larger than the limit");
    assert_eq!(stack.read(Path::new("/bin"), 10).unwrap(), None, "not a file");
    assert_eq!(stack.read_dir(Path::new("/bin")).unwrap().unwrap(), ["ls", "sh"]);
}

#[test]
fn an_empty_tree_has_nothing() {
    let stack = LayerStack::empty();
    assert!(stack.find(Path::new("/"), true).unwrap().is_none());
    assert!(stack.find(Path::new("/a/b"), true).unwrap().is_none());
    assert_eq!(stack.canonical(Path::new("/a/../b")).unwrap(), Path::new("/b"));
}

#[test]
fn a_pipe_is_never_opened() {
    let desk = Desk::new();
    let stack = desk.stack(&["etc/passwd fifo"]);
    assert!(stack.open_file(Path::new("/etc/passwd")).unwrap().is_none());
}

#[test]
fn a_hundred_deep_layers_can_be_open() {
    let desk = Desk::new();
    let specs: Vec<String> = (0..100).map(|n| format!("a/b/c/d/e/f/g/h/i/j/k/l/f{n} = {n}")).collect();
    let stack = desk.stack(&specs.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(show(&stack).len(), 112);
}
