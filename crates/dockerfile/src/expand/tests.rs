//! Tests of expansion; the tables of the upstream project are run by `tests/expand_corpus.rs`.

use super::*;

const ENV: [(&str, &str); 10] = [
    ("name", "value"),
    ("empty", ""),
    ("path", "/usr/local/bin/tool.tar.gz"),
    ("stars", "a*b*c"),
    ("slash", "a/b/c"),
    ("lines", "one\ntwo"),
    ("ver", "1.2.3"),
    ("spaced", " a  b "),
    ("glob", "*.gz"),
    ("ünï", "wide"),
];

#[track_caller]
fn holds(table: &[(&str, &str)]) {
    for (word, wanted) in table {
        match process_word(word, '\\', &ENV) {
            Ok(got) => assert_eq!(got, *wanted, "for {word}"),
            Err(error) => panic!("for {word}: {error}"),
        }
    }
}

#[track_caller]
fn fails(word: &str) -> Error {
    match process_word(word, '\\', &ENV) {
        Ok(got) => panic!("{word} became {got:?}"),
        Err(error) => error,
    }
}

#[test]
fn defaults() {
    holds(&[
        ("$name-$nope.", "value-."),
        ("${name}x", "valuex"),
        ("${nope:-d}", "d"),
        ("${nope-d}", "d"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${name:+d}", "d"),
        ("${empty:+d}", ""),
        ("${empty+d}", "d"),
        ("${nope+d}", ""),
        ("${name:?no}", "value"),
        ("${empty?no}", ""),
        ("deps-${BUILD_ENV:-prod}", "deps-prod"),
        ("${nope:-${nope:-${name}}}", "value"),
        ("${nope:-'a b'}", "a b"),
        ("${nope:-\"$name\"}", "value"),
        ("$ünï", "wide"),
    ]);
}

#[test]
fn prefixes_and_suffixes() {
    holds(&[
        ("${path#*/}", "usr/local/bin/tool.tar.gz"),
        ("${path##*/}", "tool.tar.gz"),
        ("${path%.*}", "/usr/local/bin/tool.tar"),
        ("${path%%.*}", "/usr/local/bin/tool"),
        ("${path%/*}", "/usr/local/bin"),
        ("${path%%/*}", ""),
        ("${path#nope}", "/usr/local/bin/tool.tar.gz"),
        ("${path%$glob}", "/usr/local/bin/tool.tar"),
        ("${ver#?.}", "2.3"),
        ("${ver%.?}", "1.2"),
        ("${ver%%.*}", "1"),
        ("${ver#*}", "1.2.3"),
        ("${ver##*}", ""),
        ("${ver%}", "1.2.3"),
        ("${stars#a\\*}", "b*c"),
        ("${stars%%\\**}", "a"),
        ("${nope#x}", ""),
        // Neither wildcard crosses a line.
        ("${lines##*o}", "ne\ntwo"),
        ("${lines%%t*}", "one\n"),
        ("${lines#*t}", "one\ntwo"),
    ]);
}

#[test]
fn replacements() {
    holds(&[
        ("${ver/./-}", "1-2.3"),
        ("${ver//./-}", "1-2-3"),
        ("${ver//[0-9]/x}", "1.2.3"),
        ("${ver/?/x}", "x.2.3"),
        ("${ver//?/x}", "xxxxx"),
        ("${path/l*l/L}", "/usr/L.tar.gz"),
        ("${slash//\\//-}", "a-b-c"),
        ("${slash/\\//}", "ab/c"),
        ("${stars//\\*/$name}", "avaluebvaluec"),
        ("${name/e/$1}", "valu"),
        ("${name//e/\\$1}", "valu\\$1"),
        ("${name/zzz/y}", "value"),
        ("${name//zzz/y}", "value"),
        ("${empty//*/x}", "x"),
        ("${name//*/x}", "x"),
        ("${lines//*/x}", "x\nx"),
        ("${nope/a/b}", ""),
        ("${name//l/${nope:-L}}", "vaLue"),
    ]);
}

#[test]
fn quotes_and_escapes() {
    holds(&[
        ("a\\ b", "a b"),
        ("'a b'c", "a bc"),
        ("\"a\\\"b\\$c\\\\d\\e\"", "a\"b$c\\d\\e"),
        ("\\$name", "$name"),
        ("'$name'", "$name"),
        ("\"${nope:-\"$name\"}\"", "value"),
        ("end\\", "end"),
        ("a<<b", "a<<b"),
    ]);
}

#[test]
fn backtick_as_escape() {
    let run = |word| process_word(word, '`', &ENV);
    assert_eq!(run("C:\\dir\\$name"), Ok("C:\\dir\\value".to_owned()));
    assert_eq!(run("`$name"), Ok("$name".to_owned()));
    assert_eq!(run("\"`\"\\\""), Ok("\"\\".to_owned()));
}

#[test]
fn heredocs_keep_quotes() {
    let expanded = Expander::for_heredoc().word("it's \"$name\" \\$name `$name", &ENV).unwrap();
    assert_eq!(expanded.text, "it's \"value\" $name `value");
}

#[test]
fn errors_say_where() {
    let table = [
        ("ab'cd", 2, ErrorKind::SingleQuote),
        ("ab\"cd", 2, ErrorKind::DoubleQuote),
        ("a${name", 1, ErrorKind::Brace),
        ("a${name:-b", 1, ErrorKind::Brace),
        ("a${nope:-${name}", 1, ErrorKind::Brace),
        ("${}", 0, ErrorKind::Name),
        ("xx${{name}}", 2, ErrorKind::Name),
        ("${name:=x}", 6, ErrorKind::Modifier(":=".into())),
        ("${name:#x}", 6, ErrorKind::Modifier(":#".into())),
        ("${name!x}", 6, ErrorKind::Modifier("!".into())),
        ("${name/x}", 0, ErrorKind::Slash),
        ("${name/x/y", 0, ErrorKind::Brace),
        ("${name#\\q}", 0, ErrorKind::PatternEscape("q".into())),
        ("${nope:?}", 0, ErrorKind::Required { name: "nope".into(), message: "must be set".into() }),
        ("${empty:?}", 0, ErrorKind::Required { name: "empty".into(), message: "must not be empty".into() }),
        ("${nope?give $name}", 0, ErrorKind::Required { name: "nope".into(), message: "give value".into() }),
    ];
    for (word, offset, kind) in table {
        assert_eq!(fails(word), Error { offset, kind }, "for {word}");
    }
}

#[test]
fn uses_are_recorded() {
    let expanded = Expander::new('\\').word("a$name${nope:-$other}$nope", &ENV).unwrap();
    let uses: Vec<_> =
        expanded.uses.iter().map(|u| (u.name.as_str(), u.at.clone(), u.set, u.handled)).collect();
    let wanted = vec![
        ("name", 1..6, true, false),
        ("other", 14..20, false, false),
        ("nope", 6..21, false, true),
        ("nope", 21..26, false, false),
    ];
    assert_eq!(uses, wanted);
    assert_eq!(expanded.unset(), ["other", "nope"]);
}

#[test]
fn words_split_where_nothing_is_quoted() {
    let table: [(&str, &[&str]); 10] = [
        ("80 443", &["80", "443"]),
        ("$spaced", &["a", "b"]),
        ("x${spaced}y", &["x", "a", "b", "y"]),
        ("\"$spaced\"", &[" a  b "]),
        ("a\\ b c", &["a b", "c"]),
        ("'' \"\"", &[]),
        ("80${nope:-80} 1", &["8080", "1"]),
        ("<<  EOF x", &["<<  EOF", "x"]),
        ("  ", &[]),
        ("${nope:-a b}", &["a", "b"]),
    ];
    for (text, wanted) in table {
        assert_eq!(process_words(text, '\\', &ENV).unwrap(), wanted, "for {text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = |n: usize| "${x:-".repeat(n) + &"}".repeat(n);
    assert_eq!(process_word(&deep(MAX_DEPTH), '\\', &()), Ok(String::new()));
    assert_eq!(process_word(&deep(20_000), '\\', &()).map_err(|e| e.kind), Err(ErrorKind::Depth));
    assert_eq!(process_word(&"${".repeat(30_000), '\\', &()).map_err(|e| e.kind), Err(ErrorKind::Name));
    assert_eq!(process_word(&"\"${x:-".repeat(30_000), '\\', &()).map_err(|e| e.kind), Err(ErrorKind::Depth));
}

#[test]
fn growth_is_bounded() {
    let long = "x".repeat(60_000);
    let env = [("long", long.as_str())];
    let length = |word: &str| process_word(word, '\\', &env).map(|text| text.len()).map_err(|e| e.kind);
    assert_eq!(length(&"$long".repeat(10)), Ok(600_000));
    assert_eq!(length(&"$long".repeat(10_000)), Err(ErrorKind::Length(MAX_LENGTH)));
    assert_eq!(length(&format!("\"{}\"", "$long".repeat(10_000))), Err(ErrorKind::Length(MAX_LENGTH)));
    assert_eq!(length("${long//x/$long}"), Err(ErrorKind::Length(MAX_LENGTH)));
    assert_eq!(
        process_words(&"$long ".repeat(1_000), '\\', &env).map_err(|e| e.kind),
        Err(ErrorKind::Length(MAX_LENGTH))
    );
}

#[test]
fn patterns_take_no_exponential_time() {
    let long = "a".repeat(20_000);
    let env = [("long", long.as_str())];
    let pattern = "*a".repeat(30);
    let run = |word: &str| process_word(word, '\\', &env);
    assert_eq!(run(&format!("${{long##{pattern}}}")), Ok(String::new()));
    assert_eq!(run(&format!("${{long#{pattern}b}}")), Ok(long.clone()));
    assert_eq!(run(&format!("${{long//{pattern}b/x}}")), Ok(long.clone()));
    let costly = run(&"${long#*b*b*b*b}".repeat(4_000)).map_err(|e| e.kind);
    assert_eq!(costly, Err(ErrorKind::Length(MAX_LENGTH)));
    let costly = run(&format!("${{long#{}b}}", "?*".repeat(20_000))).map_err(|e| e.kind);
    assert_eq!(costly, Err(ErrorKind::Effort(20_000)));
}
