//! Patterns of COPY and ADD sources: what Go's `filepath.Match` says, as data.

#![allow(clippy::panic, clippy::unwrap_used)] // helpers of tests are not seen as tests

use slipway_dockerfile::pattern::{PathPattern, PatternError};

fn matches(pattern: &str, path: &str) -> bool {
    PathPattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(path)
}

#[test]
fn table() {
    let yes = [
        // The examples of the documentation of COPY and ADD.
        ("*.png", "photo.png"),
        ("index.?s", "index.js"),
        ("index.?s", "index.ts"),
        ("hom*", "home"),
        ("hom*", "hom"),
        ("hom?.txt", "home.txt"),
        ("arr[[]0].txt", "arr[0].txt"),
        ("package*.json", "package-lock.json"),
        ("package*.json", "package.json"),
        // Each kind of token, alone and together.
        ("", ""),
        ("abc", "abc"),
        ("*", "anything"),
        ("*", ""),
        ("*", ".hidden"),
        ("**", "ab"),
        ("*c", "abc"),
        ("a*", "a"),
        ("a*/b", "abc/b"),
        ("*/*", "a/b"),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f"),
        ("a*b?c*x", "abxbbxdbxebxczzx"),
        ("?", "ü"),
        ("a?b", "a☺b"),
        ("[a-c]x", "bx"),
        ("[^a-c]x", "dx"),
        ("[abx-z]", "y"),
        ("[\\]a]", "]"),
        ("[\\-]", "-"),
        ("[x\\-]", "-"),
        ("[!a]", "!"),
        ("a[^x]b", "a/b"),
        ("a\\*b", "a*b"),
        ("\\[", "["),
        ("\\a", "a"),
        ("]", "]"),
        ("[a-ζ]*", "αβ"),
        ("a^b", "a^b"),
        ("*[0-9]/x", "v1/x"),
    ];
    for (pattern, path) in yes {
        assert!(matches(pattern, path), "{pattern} should match {path}");
    }
    let no = [
        ("", "a"),
        ("abc", "abcd"),
        ("*", "a/b"),
        ("**", "a/b"),
        ("*/*", "a"),
        ("a*b", "a/b"),
        ("a?b", "a/b"),
        ("a*/b", "a/c/b"),
        ("?", ""),
        ("???", "☺"),
        ("a*b?c*x", "abxbbxdbxebxczzy"),
        ("[a-c]x", "dx"),
        ("[^a-c]x", "bx"),
        ("[!a]", "b"),
        ("a\\*b", "ab"),
        ("hom?.txt", "hom.txt"),
        ("arr[[]0].txt", "arr0.txt"),
        ("*.go", "src/a.go"),
        ("*x", "xxxy"),
        // No second try for the first star, as in Go: a class may take a slash, a star may not.
        ("*[^x]*b", "aa/b"),
    ];
    for (pattern, path) in no {
        assert!(!matches(pattern, path), "{pattern} should not match {path}");
    }
}

#[test]
fn malformed_patterns_are_errors_whatever_the_path() {
    use PatternError::{EmptyBracket, OpenBracket, Range, TrailingEscape};
    let table = [
        ("[", OpenBracket),
        ("[^", OpenBracket),
        ("[^bc", OpenBracket),
        ("a[", OpenBracket),
        ("x*[a", OpenBracket),
        ("[]", EmptyBracket),
        ("[]a]", EmptyBracket),
        ("[^]", EmptyBracket),
        ("[-]", Range),
        ("[-x]", Range),
        ("[x-]", Range),
        ("[a-b-c]", Range),
        ("a\\", TrailingEscape),
        ("[\\", TrailingEscape),
    ];
    for (pattern, error) in table {
        assert_eq!(PathPattern::new(pattern), Err(error), "for {pattern}");
    }
}

#[test]
fn wildcards_are_told_from_names() {
    for source in ["*.go", "a?c", "x[1]", "\\\\*"] {
        assert!(PathPattern::has_wildcards(source), "{source}");
    }
    for source in ["main.go", "a\\*b", "dir/", "\\?", "]"] {
        assert!(!PathPattern::has_wildcards(source), "{source}");
    }
}

#[test]
fn time_stays_bounded() {
    let path = "a".repeat(4_000);
    let pattern = PathPattern::new(&("*a".repeat(200) + "b")).unwrap();
    let began = std::time::Instant::now();
    for _ in 0..20 {
        assert!(!pattern.matches(&path));
    }
    assert!(began.elapsed().as_secs() < 5, "took {:?}", began.elapsed());
}
