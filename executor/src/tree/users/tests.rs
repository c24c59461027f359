//! Tests of names of users and groups.

use super::*;
use crate::tree::testing::Desk;

/// uid, gid, groups, home.
type Expected<'a> = (u32, u32, &'a [u32], &'a str);

fn stack(desk: &Desk) -> LayerStack {
    let root = desk.tree("root", "etc/");
    let passwd = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken\n  app:x:1000:1001:App:/home/app:/bin/sh\nnohome:x:7:8::\n";
    std::fs::write(root.join("etc/passwd"), passwd).unwrap();
    std::fs::write(
        root.join("etc/group"),
        "root:x:0:\nstaff:x:50:app,other\nwheel:x:10:app\napp:x:1001:app\n",
    )
    .unwrap();
    LayerStack::open([root]).unwrap()
}

#[test]
fn user_of_a_command() {
    let desk = Desk::new();
    let stack = stack(&desk);
    let cases: &[(&str, Expected<'_>)] = &[
        ("", (0, 0, &[], "/root")),
        ("root", (0, 0, &[], "/root")),
        ("app", (1000, 1001, &[10, 50], "/home/app")),
        ("1000", (1000, 1001, &[10, 50], "/home/app")),
        ("app:staff", (1000, 50, &[], "/home/app")),
        ("app:77", (1000, 77, &[], "/home/app")),
        ("1000:1000", (1000, 1000, &[], "/home/app")),
        ("4242", (4242, 0, &[], "/")),
        ("4242:4243", (4242, 4243, &[], "/")),
        ("nohome", (7, 8, &[], "/")),
    ];
    for (spec, (uid, gid, groups, home)) in cases {
        let user = run_user(&stack, spec).unwrap();
        assert_eq!(
            (user.uid, user.gid, &user.groups[..], user.home.as_str()),
            (*uid, *gid, *groups, *home),
            "{spec}"
        );
    }
    for spec in ["nobody", "app:nogroup", "-1", "99999999999"] {
        let error = run_user(&stack, spec).unwrap_err().to_string();
        assert!(error.contains("/etc/"), "{spec}: {error}");
    }
}

#[test]
fn owner_of_a_copy() {
    let desk = Desk::new();
    let stack = stack(&desk);
    let cases = [
        ("app", (1000, 1001)),
        ("1000", (1000, 1000)),
        ("1000:5", (1000, 5)),
        ("app:staff", (1000, 50)),
        ("app:5", (1000, 5)),
        ("nobody", (0, 0)),
        ("5:nogroup", (5, 5)),
        (":staff", (0, 50)),
    ];
    for (spec, (uid, gid)) in cases {
        assert_eq!(owner(&stack, spec).unwrap(), Owner { uid, gid }, "{spec}");
    }
    assert!(owner(&stack, "").is_err() && owner(&stack, ":").is_err());
    assert!(is_numeric("5") && is_numeric("5:6") && !is_numeric("app") && !is_numeric("5:staff"));
    assert_eq!(owner(&LayerStack::empty(), "app:staff").unwrap(), Owner::default(), "no files at all");
}
