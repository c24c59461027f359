//! Tests of `--chmod`. The expected modes are those that GNU chmod gives.

use super::ModeChange;

#[test]
fn modes() {
    // What is asked, the mode before, of a file, of a directory.
    let cases = [
        ("755", 0o640, 0o755, 0o755),
        ("0644", 0o777, 0o644, 0o644),
        ("4755", 0o644, 0o4755, 0o4755),
        ("0", 0o644, 0, 0),
        ("u=rwX,go=rX", 0o600, 0o644, 0o755),
        ("u=rwX,go=rX", 0o700, 0o755, 0o755),
        ("a+x", 0o644, 0o755, 0o755),
        ("+x", 0o644, 0o755, 0o755),
        ("go-w", 0o666, 0o644, 0o644),
        ("o=", 0o777, 0o770, 0o770),
        ("g=u", 0o640, 0o660, 0o660),
        ("u+s", 0o755, 0o4755, 0o4755),
        ("g+s", 0o755, 0o2755, 0o2755),
        ("+t", 0o755, 0o1755, 0o1755),
        ("a-s", 0o6755, 0o755, 0o755),
        ("u=rw", 0o4755, 0o655, 0o4655),
        ("ug+rw-x", 0o711, 0o661, 0o661),
        ("u+r+w", 0o000, 0o600, 0o600),
    ];
    for (text, before, file, directory) in cases {
        let change = ModeChange::parse(text).unwrap();
        assert_eq!(change.apply(before, false), file, "{text} of a file {before:o}");
        assert_eq!(change.apply(before, true), directory, "{text} of a directory {before:o}");
    }
}

#[test]
fn what_is_no_mode() {
    for text in ["", "888", "77777", "rwx", "u", "u=z", "x+r", "u+r,", "-1", "0o755", "u=gr"] {
        assert!(ModeChange::parse(text).is_err(), "{text}");
    }
}
