//! Tests of `WORKDIR`.

use slipway_graph::ir::WorkdirOp;

use super::*;
use crate::tree::testing::{Desk, NOW, lines, show_layer};

#[test]
fn only_what_is_missing_is_made() {
    let base = "srv/ 0700 5:5\nsrv/app/ 0750\nlink -> srv\nabs -> /srv\nfile = x";
    // The path, the user, what the layer holds, whether something was made.
    let cases = [
        ("/", "", "", false),
        ("/srv/app", "1000", "", false),
        ("/new/a/b", "", "new/ now\nnew/a/ now\nnew/a/b/ now", true),
        ("/srv/new", "1000", "srv/ 0700 5:5\nsrv/new/ 1000:1000 now", true),
        (
            "/srv/app/x/y",
            "3:4",
            "srv/ 0700 5:5\nsrv/app/ 0750\nsrv/app/x/ 3:4 now\nsrv/app/x/y/ 3:4 now",
            true,
        ),
        ("/link/new", "", "srv/ 0700 5:5\nsrv/new/ now", true),
        ("/abs/app", "", "", false),
        ("/../../new", "", "new/ now", true),
    ];
    for (path, user, expected, made) in cases {
        let desk = Desk::new();
        let (base, upper) = (desk.stack(&[base]), desk.tree("upper", ""));
        let op = WorkdirOp { path: path.to_owned(), user: user.to_owned() };
        assert_eq!(workdir(&upper, &base, &op, NOW).unwrap(), made, "{path}");
        assert_eq!(show_layer(&upper), lines(expected), "{path} of {user}");
    }
}

#[test]
fn a_file_in_the_way_is_an_error() {
    let desk = Desk::new();
    let (base, upper) = (desk.stack(&["file = x"]), desk.tree("upper", ""));
    for path in ["/file", "/file/below"] {
        let op = WorkdirOp { path: path.to_owned(), user: String::new() };
        let error = workdir(&upper, &base, &op, NOW).unwrap_err();
        assert!(matches!(error, TreeError::NotADirectory { .. }), "{path}: {error}");
    }
}
