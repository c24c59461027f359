//! `.dockerignore`: what Moby's matcher says, as data.

#![allow(clippy::panic, clippy::unwrap_used)] // helpers of tests are not seen as tests

use slipway_dockerfile::pattern::{IgnoreErrorKind, IgnoreFile, PatternError, Visit, clean};

fn file(text: &str) -> IgnoreFile {
    IgnoreFile::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// A file, then paths that it leaves out, then paths that it does not.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const CASES: &[Case] = &[
    // The examples of the documentation.
    (
        "# comment\n*/temp*\n*/*/temp*\ntemp?",
        &["some/temporary.txt", "some/temp", "a/b/temporary.txt", "tempa", "temp1"],
        &["temp", "tempab", "a/b/c/temp", "x/y"],
    ),
    ("**/*.go", &["a.go", "a/b.go", "a/b/c.go"], &["a.gox", "go", "a/go"]),
    ("*.md\n!README.md", &["x.md", "CHANGES.md"], &["README.md", "docs/x.md"]),
    ("*.md\n!README*.md\nREADME-secret.md", &["x.md", "README-secret.md"], &["README.md", "README-x.md"]),
    ("*.md\nREADME-secret.md\n!README*.md", &["x.md"], &["README.md", "README-secret.md"]),
    ("/foo/bar", &["foo/bar", "foo/bar/x"], &["foo", "x/foo/bar"]),
    ("foo/bar", &["foo/bar", "foo/bar/x"], &["foo", "x/foo/bar"]),
    ("*\n!src\n!go.*", &["x", "README", "lib/x"], &["src", "src/a/b", "go.mod", "go.sum"]),
    // Comments, spaces, marks, slashes.
    ("\u{feff}a\n", &["a"], &["\u{feff}a"]),
    ("\u{feff}# note\nb", &["b"], &["# note"]),
    (" # no comment\n", &["# no comment"], &[]),
    ("  a  \n\t!b\n", &["a"], &["b"]),
    ("*\n!  b \n", &["a"], &["b"]),
    ("a\r\nb\r\n", &["a", "b"], &["a\r"]),
    ("./a/../b//c/", &["b/c", "b/c/d"], &["a", "b"]),
    ("/", &[], &["a", "."]),
    (".", &[], &["a", "."]),
    ("..", &[], &["a"]),
    ("", &[], &["a"]),
    // Two stars.
    ("**", &["a", "a/b", ".a"], &["."]),
    ("**/", &["a", "a/b"], &[]),
    ("**/**", &["a", "a/b/c"], &[]),
    ("**/dir", &["dir", "dir/x", "a/dir", "a/b/dir/x"], &["xdir", "dirx"]),
    ("**file", &["file", "a/file", "afile", "a/bfile"], &["filex"]),
    ("**file*", &["file", "a/file", "a/filex"], &["afile"]),
    ("dir/**", &["dir/x", "dir/x/y"], &["dir", "dirx/y"]),
    ("dir**", &["dir", "dirx", "dir/x", "dirx/y"], &["xdir"]),
    ("**/dir/**", &["dir/x", "a/dir/x/y"], &["dir", "a/dir"]),
    ("a/**/b", &["a/b", "a/x/b", "a/x/y/b/c"], &["a", "ab", "a/xb", "x/a/b"]),
    ("a**/b", &["a/b", "ax/b", "a/x/b", "ab"], &["b"]),
    ("**/x/**/*.c", &["x/a.c", "p/x/q/r/a.c"], &["a.c", "x/a.h"]),
    ("***", &["a", "a/b"], &[]),
    // Single wildcards stay in one name; parents take their children along.
    ("*", &["a", ".a", "a/b/c"], &["."]),
    ("*/x", &["a/x", "a/x/y"], &["x", "a/b/x"]),
    ("a?c", &["abc", "abc/d"], &["a/c", "ac"]),
    ("[ab]c", &["ac", "bc/d"], &["cc"]),
    ("[^ab]c", &["cc"], &["ac"]),
    ("a\\*b", &["a*b"], &["axb", "ab"]),
    ("\\!x", &["!x"], &["x"]),
    ("\\#x", &["#x"], &["x"]),
    (".git", &[".git", ".git/config"], &["xgit", "a/.git"]),
    ("a(b)c+|{}$", &["a(b)c+|{}$"], &["abc"]),
    ("a^b*", &["a^bc"], &["ab"]),
    ("x/\\d", &["x/d"], &["x/1"]),
    ("ü?", &["üß"], &["ü"]),
    // Negation in order, below what is left out, and undone again.
    ("!a\n*", &["a", "b"], &[]),
    ("docs\n!docs/README.md", &["docs", "docs/x"], &["docs/README.md"]),
    ("docs/\n!docs/README.md", &["docs/x"], &["docs/README.md"]),
    ("docs/*\n!docs/README.md", &["docs/x"], &["docs", "docs/README.md"]),
    ("**\n!util/web", &["x", "util", "util/x"], &["util/web", "util/web/foo"]),
    ("**\n!util/web\nutil/web/foo", &["util/web/foo"], &["util/web/bar"]),
    ("*\n!a/*\na/b\n!a/b/c", &["a", "a/b", "a/b/d"], &["a/x", "a/b/c"]),
];

#[test]
fn table() {
    for (text, ignored, kept) in CASES {
        let file = file(text);
        for path in *ignored {
            assert!(file.matches(path), "{text:?} should leave out {path}");
            assert!(file.matches_or_parent(path), "{text:?} should leave out {path}");
            assert!(file.deciding_line(path).is_some(), "{text:?}, {path}");
        }
        for path in *kept {
            assert!(!file.matches(path), "{text:?} should keep {path}");
            assert!(!file.matches_or_parent(path), "{text:?} should keep {path}");
        }
    }
}

#[test]
fn a_walk_and_a_look_differ_as_in_moby() {
    let file = file("a/b\n!a");
    assert!(file.matches("a/b"));
    assert!(!file.matches_or_parent("a/b"));
}

#[test]
fn malformed_lines_are_errors_with_their_number() {
    let table = [
        ("a\n!\n", 2, IgnoreErrorKind::LoneNegation),
        ("# c\n\n  !  ", 3, IgnoreErrorKind::LoneNegation),
        ("!/", 1, IgnoreErrorKind::LoneNegation),
        ("a\n[", 2, IgnoreErrorKind::Pattern(PatternError::OpenBracket)),
        ("x[]", 1, IgnoreErrorKind::Pattern(PatternError::EmptyBracket)),
        ("x\\", 1, IgnoreErrorKind::Pattern(PatternError::TrailingEscape)),
    ];
    for (text, line, kind) in table {
        let error = IgnoreFile::parse(text).unwrap_err();
        assert_eq!((error.line, error.kind), (line, kind), "for {text:?}");
    }
    let error = IgnoreFile::parse(&format!("a\n{}", "x".repeat(70_000))).unwrap_err();
    assert_eq!((error.line, error.kind), (2, IgnoreErrorKind::TooLong));
}

#[test]
fn directories_are_skipped_only_if_nothing_below_can_come_back() {
    let table = [
        ("a", "a", true),
        ("a\n!b", "a", true),
        ("a\n!a/b", "a", false),
        ("a\n!a/b/c", "a/b", false),
        ("a\n!a/b/c", "a/x", true),
        ("a\n!a/b", "a/bb", true),
        ("a\n!**/x", "a", false),
        ("a\n!**x", "a/b", false),
        ("a\n!*/x", "a", false),
        ("a\n!*/x", "a/b", true),
        ("a\n!?/x", "a", false),
        ("a\n![b-c]/x", "a", true),
        ("*\n!src/**", "src", false),
        ("*\n!src/**", "lib", true),
        ("*\n!lib/*.c", "lib/sub", true),
        ("!a\n*", "x", true),
        ("b", "a", false),
    ];
    for (text, dir, wanted) in table {
        let file = file(text);
        let mut visit = Visit::default();
        for (end, _) in dir.match_indices('/') {
            visit = file.visit(&dir[..end], &visit);
        }
        visit = file.visit(dir, &visit);
        assert_eq!(file.can_skip(dir, &visit), wanted, "{text:?} in {dir}");
    }
}

#[test]
fn the_deciding_line_is_told() {
    let file = file("# c\n*.md\n!README.md\ntmp\n");
    assert_eq!(file.deciding_line("x.md"), Some(2));
    assert_eq!(file.deciding_line("README.md"), None);
    assert_eq!(file.deciding_line("tmp/a/b"), Some(4));
    assert_eq!(file.deciding_line("src"), None);
}

#[test]
fn patterns_of_exclude_flags_have_no_comments() {
    let file = IgnoreFile::from_patterns(["#x", "*.log", "!keep.log"]).unwrap();
    assert!(file.matches("#x") && file.matches("a.log"));
    assert!(!file.matches("keep.log") && !file.matches("x"));
}

#[test]
fn paths_are_cleaned() {
    let table = [
        ("", "."),
        (".", "."),
        ("/", "/"),
        ("a/", "a"),
        ("a//b/./c", "a/b/c"),
        ("a/../b", "b"),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("/../a", "/a"),
        ("./", "."),
        ("a/..", "."),
        ("/a/..", "/"),
        ("..", ".."),
        ("../..", "../.."),
    ];
    for (path, wanted) in table {
        assert_eq!(clean(path), wanted, "for {path}");
    }
}

/// The plainest matcher that can be: tries everything. Exponential, so only for short texts.
fn naive(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [b'*', b'*'] | [b'*', b'*', b'/'] => true,
        [b'*', b'*', rest @ ..] => {
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            naive(rest, path) || (0..path.len()).any(|i| path[i] == b'/' && naive(rest, &path[i + 1..]))
        }
        [b'*', rest @ ..] => (0..=path.len()).any(|i| !path[..i].contains(&b'/') && naive(rest, &path[i..])),
        [b'?', rest @ ..] => path.first().is_some_and(|c| *c != b'/') && naive(rest, &path[1..]),
        [c, rest @ ..] => path.first() == Some(c) && naive(rest, &path[1..]),
    }
}

#[test]
fn all_short_patterns_agree_with_trying_everything() {
    let all = |alphabet: &'static str, longest: u32| {
        (1..=longest).flat_map(move |length| {
            (0..alphabet.len().pow(length)).map(move |mut number| {
                let mut text = String::new();
                for _ in 0..length {
                    text.push(char::from(alphabet.as_bytes()[number % alphabet.len()]));
                    number /= alphabet.len();
                }
                text
            })
        })
    };
    let paths: Vec<String> =
        all("ab/", 5).filter(|path| clean(path) == *path && !path.starts_with('/')).collect();
    let mut compared = 0;
    for pattern in all("a*?/", 6).filter(|pattern| clean(pattern) == *pattern && !pattern.starts_with('/')) {
        // `**a` means "ends in a" where nothing else is special, which the naive matcher does not know.
        let ends_in =
            pattern.strip_prefix("**").filter(|rest| !rest.starts_with('/') && !rest.contains(['*', '?']));
        let file = file(&pattern);
        for path in &paths {
            let own = |path: &str| match ends_in {
                Some(end) => path.ends_with(end),
                None => naive(pattern.as_bytes(), path.as_bytes()),
            };
            let wanted = own(path) || path.match_indices('/').any(|(end, _)| own(&path[..end]));
            assert_eq!(file.matches(path), wanted, "{pattern} on {path}");
            compared += 1;
        }
    }
    assert!(compared > 100_000, "only {compared}");
}

#[test]
fn time_stays_bounded() {
    let began = std::time::Instant::now();
    let path = "a/".repeat(2_000) + "a";
    for pattern in
        ["**/".repeat(300) + "b", "*a".repeat(300) + "*/b", "**/*a*a*a*a*a*a*a*a*/**/*b".to_owned()]
    {
        let file = file(&pattern);
        assert!(!file.matches_or_parent(&path[path.len() - 801..]) && !file.matches(&path));
    }
    assert!(began.elapsed().as_secs() < 10, "took {:?}", began.elapsed());
}
