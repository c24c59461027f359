//! Tests of trees from outside.

use std::fs;

use rustix::fs::{XattrFlags, fsetxattr};

use super::*;
use crate::tree::testing::{Desk, lines, show_layer};

#[test]
fn notes_to_overlayfs_go_and_marks_stay() {
    let desk = Desk::new();
    let spec = "d/ opaque\nd/f = four\nd/g => d/f\ngone !\nl -> d";
    let tree = desk.tree("t", spec);
    let set = |path: &str, name: &str, value: &[u8]| {
        fsetxattr(fs::File::open(tree.join(path)).unwrap(), name, value, XattrFlags::empty()).unwrap();
    };
    set(".", "user.overlay.redirect", b"/etc");
    set("d", "user.overlay.redirect", b"../..");
    set("d/f", "user.overlay.metacopy", b"");
    set("d/f", "user.mine", b"kept");
    let before = show_layer(&tree);
    assert_eq!(inspect(&tree).unwrap(), Inspected { entries: 5, bytes: 4, scrubbed: 3 });
    assert_eq!(show_layer(&tree), before);
    assert_eq!(before[0], "d/ opaque");
    assert_eq!(inspect(&tree).unwrap().scrubbed, 0);
    let names = xattr::read(fs::File::open(tree.join("d/f")).unwrap()).unwrap();
    assert_eq!(names.keys().collect::<Vec<_>>(), [b"user.mine"]);
    // An opaque mark with another value is none.
    set("d", "user.overlay.opaque", b"x");
    assert_eq!(inspect(&tree).unwrap().scrubbed, 1);
    assert_eq!(show_layer(&tree)[0], lines("d/")[0]);
}

#[test]
fn what_could_change_later_or_means_something_else_is_refused() {
    let desk = Desk::new();
    let tree = desk.tree("t", "d/f = 1\nd/g => d/f");
    assert!(inspect(&tree).is_ok());
    fs::hard_link(tree.join("d/f"), desk.dir.path().join("outside")).unwrap();
    let error = inspect(&tree).unwrap_err().to_string();
    assert!(error.contains("/d/f` has a name outside"), "{error}");
    let error = inspect(&desk.tree("w", "d/.wh.x = 1")).unwrap_err().to_string();
    assert!(error.contains("/d/.wh.x"), "{error}");
}
