//! Tests of digests of contents: what changes them, and what does not.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use slipway_dockerfile::pattern::IgnoreFile;

use super::*;
use crate::tree::testing::{Desk, NOW};
use crate::tree::{LayerStack, Owner, dir};

fn selection(pattern: &str) -> Selection {
    Selection {
        context: "context".to_owned(),
        pattern: pattern.to_owned(),
        literal: false,
        parents: false,
        exclude: Vec::new(),
    }
}

fn fact(tree: &std::path::Path, ignore: &str, selection: &Selection) -> ContentFact {
    let stack = LayerStack::plain(tree).unwrap();
    let ignore = IgnoreFile::parse(ignore).unwrap();
    let source = Source { stack: &stack, ignore: Some(&ignore), owner: Some(Owner::default()) };
    digest(&source, selection).unwrap()
}

fn of(spec: &str, pattern: &str) -> slipway_oci::Digest {
    let desk = Desk::new();
    fact(&desk.tree("t", spec), "", &selection(pattern)).digest
}

#[test]
fn everything_that_a_copy_brings_counts() {
    let base = "d/a = 1\nd/b = 2\nd/l -> a\nd/e/\nother = x";
    // What of it is the same, and what is not, seen through `d`.
    let same = [
        "d/a = 1\nd/b = 2\nd/l -> a\nd/e/\nother = changed",
        "d/ 0700\nd/a = 1\nd/b = 2\nd/l -> a\nd/e/",
        "d/a = 1 5:6\nd/b = 2\nd/l -> a\nd/e/",
    ];
    let other = [
        "d/a = 2\nd/b = 2\nd/l -> a\nd/e/",
        "d/a = 1 0600\nd/b = 2\nd/l -> a\nd/e/",
        "d/a = 1\nd/b = 2\nd/l -> b\nd/e/",
        "d/a = 1\nd/b = 2\nd/l -> a\nd/e/ 0700",
        "d/a = 1\nd/b = 2\nd/l -> a",
        "d/a = 1\nd/b = 2\nd/l -> a\nd/e/\nd/new =",
        "d/x = 1\nd/b = 2\nd/l -> a\nd/e/",
        "d/a = 2\nd/b = 1\nd/l -> a\nd/e/",
        "d/a/\nd/b = 2\nd/l -> a\nd/e/",
        "d/a = 1\nd/b = 2\nd/l = a\nd/e/",
        "d/a = 12\nd/b =\nd/l -> a\nd/e/",
    ];
    let expected = of(base, "d");
    for spec in same {
        assert_eq!(of(spec, "d"), expected, "{spec}");
    }
    let mut seen = BTreeMap::from([(expected, base)]);
    for spec in other {
        assert_eq!(seen.insert(of(spec, "d"), spec), None, "{spec}");
    }
    // Two names of one file are not two files.
    assert_ne!(of("d/a = 1\nd/b => d/a", "d"), of("d/a = 1\nd/b = 1", "d"));
    // A file's name at the destination counts, a directory's does not.
    assert_ne!(of("a = 1", "?"), of("b = 1", "?"));
    assert_eq!(of("a/x = 1", "?"), of("b/x = 1", "?"));
    assert_ne!(of("a = 1", "*.none"), of("a = 1", "a"));
}

#[test]
fn times_do_not_count() {
    let desk = Desk::new();
    let tree = desk.tree("t", "d/a = 1");
    let before = fact(&tree, "", &selection("d"));
    dir::set_time(fs::File::open(tree.join("d/a")).unwrap(), NOW).unwrap();
    dir::set_time(fs::File::open(tree.join("d")).unwrap(), NOW).unwrap();
    assert_eq!(fact(&tree, "", &selection("d")), before);
}

#[test]
fn only_what_is_copied_counts() {
    let desk = Desk::new();
    let tree = desk.tree("t", "a.go = a\nb.txt = b\nmods/f = f\nmods/keep/g = g");
    let ignore = "*.txt\nmods\n!mods/keep";
    let before = fact(&tree, ignore, &selection("."));
    let names: Vec<&str> = before.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.go", "mods/keep/g"]);
    fs::write(tree.join("b.txt"), "changed").unwrap();
    fs::write(tree.join("mods/f"), "changed").unwrap();
    assert_eq!(fact(&tree, ignore, &selection(".")), before);
    fs::write(tree.join("mods/keep/g"), "changed").unwrap();
    let after = fact(&tree, ignore, &selection("."));
    assert_ne!(after.digest, before.digest);
    assert!(after.files[0] == before.files[0] && after.files[1] != before.files[1], "and it says which file");

    let excluding = Selection { exclude: vec!["keep".to_owned()], ..selection("mods") };
    let before = fact(&tree, "", &excluding);
    fs::write(tree.join("mods/keep/g"), "once more").unwrap();
    assert_eq!(fact(&tree, "", &excluding), before);
}

#[test]
fn parents_and_literals() {
    let desk = Desk::new();
    let tree = desk.tree("t", "a/ 0711\na/b/x.go = x\na/b/y.txt = y\n[z] = z");
    let parents = |pattern: &str| Selection { parents: true, ..selection(pattern) };
    let whole = fact(&tree, "", &parents("**/*.go"));
    assert_eq!(whole.files.len(), 1);
    fs::write(tree.join("a/b/y.txt"), "changed").unwrap();
    assert_eq!(fact(&tree, "", &parents("**/*.go")), whole);
    // The directories on the way are copied too, so their modes count.
    dir::set_owner_and_mode(fs::File::open(tree.join("a")).unwrap(), Owner::default(), 0o700).unwrap();
    assert_ne!(fact(&tree, "", &parents("**/*.go")).digest, whole.digest);
    assert_ne!(fact(&tree, "", &parents("a/./b/x.go")).digest, fact(&tree, "", &parents("a/b/x.go")).digest);

    let literal = |pattern: &str| Selection { literal: true, ..selection(pattern) };
    assert_eq!(fact(&tree, "", &literal("[z]")).files[0].0, "[z]");
    let stack = LayerStack::plain(&tree).unwrap();
    let source = Source { stack: &stack, ignore: None, owner: None };
    for missing in [selection("none"), literal("none"), parents("a/none"), parents("none/x")] {
        assert!(matches!(digest(&source, &missing), Err(TreeError::NotFound { .. })), "{missing:?}");
    }
}

#[test]
fn owners_count_where_they_are_kept() {
    let desk = Desk::new();
    let digest_of = |spec: &str, name: &str| {
        let stack = LayerStack::open([desk.tree(name, spec)]).unwrap();
        digest(&Source { stack: &stack, ignore: None, owner: None }, &selection("d")).unwrap().digest
    };
    assert_ne!(digest_of("d/a = 1 5:6", "one"), digest_of("d/a = 1", "two"));
    assert_eq!(digest_of("d/a = 1 5:6", "three"), digest_of("d/a = 1 5:6", "four"));
}

#[test]
fn what_is_known_is_not_read_again_and_what_changed_is() {
    let desk = Desk::new();
    let tree = desk.tree("t", "d/a = 1\nd/b = 2");
    let stack = LayerStack::plain(&tree).unwrap();
    let source = Source { stack: &stack, ignore: None, owner: None };
    // Just made files are not trusted yet.
    std::thread::sleep(Duration::from_millis(150));
    let hashes = Hashes::default();
    let first = digest_with(&source, &selection("d"), &hashes).unwrap();
    let file = desk.dir.path().join("hashes");
    hashes.save(&file, &desk.dir.path().join("new")).unwrap();
    let known = |path: &str| {
        let meta = dir::Dir::open(&tree.join("d")).unwrap().stat(path.as_ref()).unwrap().unwrap();
        Hashes::load(&file).known(&meta).is_some()
    };
    assert!(known("a") && known("b"));
    assert_eq!(digest_with(&source, &selection("d"), &Hashes::load(&file)).unwrap(), first);
    // Same size, and the time set back: the change shows in ctime.
    fs::write(tree.join("d/a"), "9").unwrap();
    dir::set_time(fs::File::open(tree.join("d/a")).unwrap(), crate::tree::testing::MADE).unwrap();
    assert!(!known("a") && known("b"));
    assert_ne!(digest_with(&source, &selection("d"), &Hashes::load(&file)).unwrap().digest, first.digest);
    // A damaged file is an empty one.
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(!known("b"));
}

#[test]
fn a_digest_is_the_same_without_the_list() {
    let desk = Desk::new();
    let tree = desk.tree("t", "d/a = 1\nd/e/b = 2\nd/l -> a");
    let stack = LayerStack::plain(&tree).unwrap();
    let source = Source { stack: &stack, ignore: None, owner: None };
    let fact = digest(&source, &selection("d")).unwrap();
    assert_eq!(super::sum(&source, &selection("d")).unwrap(), fact.digest);
    assert_eq!(fact.files.len(), 3);
}

#[test]
fn large_selections_are_listed_by_directory() {
    let desk = Desk::new();
    let tree = desk.tree("t", "");
    for directory in 0..30 {
        fs::create_dir_all(tree.join(format!("d{directory}/e"))).unwrap();
        for file in 0..100 {
            fs::write(tree.join(format!("d{directory}/e/f{file}")), "x").unwrap();
        }
    }
    let before = fact(&tree, "", &selection("."));
    assert_eq!(before.files.len(), 60);
    fs::write(tree.join("d7/e/f7"), "y").unwrap();
    let after = fact(&tree, "", &selection("."));
    let changed: Vec<&str> =
        before.files.iter().zip(&after.files).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect();
    assert_eq!(changed, ["d7/e/"]);
}

/// Not a benchmark: a guard against something that grows faster than the tree.
#[test]
fn ten_times_the_files_take_some_ten_times_the_time() {
    let desk = Desk::new();
    let [few, many] = [10, 100].map(|directories| {
        let tree = desk.tree(&format!("t{directories}"), "");
        for directory in 0..directories {
            fs::create_dir_all(tree.join(format!("d{directory}"))).unwrap();
            for file in 0..100 {
                fs::write(tree.join(format!("d{directory}/f{file}")), "x").unwrap();
            }
        }
        // The best of some: the machine may do something else now and then.
        let times = (0..5).map(|_| {
            let start = Instant::now();
            fact(&tree, "**/*.tmp", &selection("."));
            start.elapsed()
        });
        times.min().unwrap()
    });
    assert!(many < 40 * few, "{few:?} and {many:?}");
}
