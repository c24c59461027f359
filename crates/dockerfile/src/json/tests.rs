use super::{Failure, strings};

fn texts(text: &str) -> Result<Vec<String>, Failure> {
    Ok(strings(text)?.into_iter().map(|element| element.text).collect())
}

#[test]
fn arrays_of_strings() {
    assert_eq!(texts("[]"), Ok(vec![]));
    assert_eq!(texts(" [ ] "), Ok(vec![]));
    assert_eq!(texts("[\t\"a\" ,\n\"b\"]\r\n"), Ok(vec!["a".into(), "b".into()]));
    assert_eq!(texts(r#"["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude80"]"#), Ok(vec!["\"\\/\x08\x0c\n\r\té🚀".into()]));
    // Half of a pair becomes U+FFFD, and what follows it stays.
    assert_eq!(
        texts(r#"["\ud83dx", "\ude80", "\ud83d\u0041"]"#),
        Ok(vec!["\u{fffd}x".into(), "\u{fffd}".into(), "\u{fffd}A".into()])
    );
    assert_eq!(texts("[\"\x7f\"]"), Ok(vec!["\x7f".into()]));
}

#[test]
fn elements_keep_their_place() {
    let text = r#"[ "a", "\u0041" ]"#;
    let places: Vec<_> =
        strings(text).unwrap().iter().map(|element| &text[element.start..element.end]).collect();
    assert_eq!(places, ["\"a\"", "\"\\u0041\""]);
}

#[test]
fn valid_json_of_another_kind_is_told_apart() {
    for (text, stranger) in [
        ("[1]", "1"),
        ("[\"a\", -1.5e-3, \"b\"]", "-1.5e-3"),
        ("[null]", "null"),
        ("[true, false]", "true"),
        ("[[\"a\"]]", "[\"a\"]"),
        ("[{\"a\": [1, {}], \"b\": null}]", "{\"a\": [1, {}], \"b\": null}"),
        ("[[], {}]", "[]"),
    ] {
        match strings(text) {
            Err(Failure::NotAString(start, end)) => assert_eq!(&text[start..end], stranger, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn broken_json_is_no_json() {
    for text in [
        "[",
        "[\"a\"",
        "[\"a\",]",
        "[\"a\" \"b\"]",
        "[\"a]",
        "['a']",
        "[\"a\"] x",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[nul]",
        "[\"\n\"]",
        "[{\"a\" 1}]",
        "[{1: 2}]",
        "[{\"a\": 1,}]",
        "[1e999]",
        "[,]",
        "[\"a\",,\"b\"]",
        "[]]",
    ] {
        assert!(matches!(strings(text), Err(Failure::Malformed(_))), "{text}: {:?}", strings(text));
    }
    assert_eq!(strings("a [\"b\"]"), Err(Failure::NotAnArray));
    assert_eq!(strings(""), Err(Failure::NotAnArray));
}

#[test]
fn nesting_ends_where_go_ends_it() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(matches!(strings(&nested(10_000)), Err(Failure::NotAString(..))));
    assert!(matches!(strings(&nested(10_001)), Err(Failure::Malformed(_))));
}
