//! Tests of what a command changed.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::tree::testing::{Desk, lines, show, show_layer};

#[test]
fn only_changes_stay() {
    // The base, the upper directory, what is left of it.
    let cases = [
        ("new", "", "a = 1\nd/b = 1", "a = 1\nd/\nd/b = 1"),
        ("copied up and unchanged", "a = 1\nd/b = 1", "a = 1\nd/b = 1", ""),
        ("other content", "a = 1", "a = 2", "a = 2"),
        ("other mode", "a = 1", "a = 1 0600", "a = 1 0600"),
        ("other owner", "a = 1", "a = 1 5:6", "a = 1 5:6"),
        ("other link", "l -> a\nm -> a", "l -> b\nm -> a", "l -> b"),
        ("another kind", "a = 1\nd/x = 1", "a/\nd = 1", "a/\nd = 1"),
        ("a whiteout", "a = 1", "a !", "a !"),
        ("a whiteout of nothing", "b = 1", "a !\nd/c !", "d/"),
        ("a directory that was only entered", "d/ 0700 5:5\nd/a = 1", "d/ 0700 5:5", ""),
        (
            "a parent of a change",
            "d/ 0700\nd/a = 1\nd/b = 1",
            "d/ 0700\nd/a = 1\nd/b = 2",
            "d/ 0700\nd/b = 2",
        ),
        ("a directory's mode", "d/a = 1", "d/ 0700", "d/ 0700"),
        ("opaque over nothing", "", "d/ opaque\nd/a = 1", "d/\nd/a = 1"),
        ("opaque over something", "d/a = 1\nd/b = 1", "d/ opaque\nd/a = 1", "d/ opaque\nd/a = 1"),
        ("opaque and empty", "d/a = 1", "d/ opaque", "d/ opaque"),
        ("opaque over a file", "d = 1", "d/ opaque\nd/a = 1", "d/ opaque\nd/a = 1"),
    ];
    for (name, base, upper, expected) in cases {
        let desk = Desk::new();
        let (base, upper) = (desk.stack(&[base]), desk.tree("upper", upper));
        let before = show(&base.with_top(&upper).unwrap());
        let pruned = prune(&upper, &base).unwrap();
        let expected = lines(expected);
        assert_eq!(show_layer(&upper), expected, "{name}");
        assert_eq!(pruned.entries, expected.len() as u64, "{name}");
        // The tree that is seen is the same, but for marks that meant nothing.
        let strip = |lines: Vec<String>| {
            lines.into_iter().map(|line| line.replace(" opaque", "")).collect::<Vec<_>>()
        };
        assert_eq!(strip(show(&base.with_top(&upper).unwrap())), strip(before), "{name}");
    }
}

#[test]
fn a_touched_file_is_a_change_and_a_touched_directory_is_not() {
    let desk = Desk::new();
    let (base, upper) = (desk.stack(&["d/a = 1\ne/b = 1"]), desk.tree("upper", "d/a = 1\ne/b = 1"));
    let now = crate::tree::testing::NOW;
    dir::set_time(File::open(upper.join("d/a")).unwrap(), now).unwrap();
    dir::set_time(File::open(upper.join("e")).unwrap(), now).unwrap();
    prune(&upper, &base).unwrap();
    assert_eq!(show_layer(&upper), lines("d/\nd/a = 1 now"));
    assert_eq!(fs::metadata(upper.join("d")).unwrap().mtime(), 1_000_000, "removing left its time");
}

#[test]
fn numbers_count_what_is_left() {
    let desk = Desk::new();
    let (base, upper) =
        (desk.stack(&["a = 1\nb = 1"]), desk.tree("upper", "a = 1\nb !\nc = four\nd/e = two"));
    assert_eq!(prune(&upper, &base).unwrap(), Pruned { entries: 4, bytes: 7, dropped: 1 });
}
