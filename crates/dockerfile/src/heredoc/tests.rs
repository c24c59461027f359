use super::{Redirect, find, parse};

fn names(line: &str) -> Vec<String> {
    find(line).into_iter().map(|(_, redirect)| redirect.name).collect()
}

#[test]
fn words_that_open_one() {
    for word in [
        "<<EOF",
        "<<'EOF'",
        "<<\"EOF\"",
        "<<-EOF",
        "<<-'EOF'",
        "<<EO\"F\"",
        "<< EOF",
        "<<- EOF",
        "<<E\\OF",
        "7<<EOF",
    ] {
        let redirect = parse(word).unwrap().unwrap_or_else(|| panic!("{word} opens none"));
        assert_eq!(redirect.name, "EOF", "{word}");
        assert_eq!(redirect.expand, !word.contains(['\'', '"']), "{word}");
        assert_eq!(redirect.strip_tabs, word.contains('-'), "{word}");
        assert_eq!(redirect.fd, if word.starts_with('7') { 7 } else { 0 }, "{word}");
    }
}

#[test]
fn words_that_open_none() {
    for word in ["", "EOF", "<<", "<<-", "<EOF", "<<<EOF", "<<EOF sh", "x<<EOF", "<<''", "<<\"\"", "-<<EOF"] {
        assert_eq!(parse(word), Ok(None), "{word}");
    }
    for word in ["<<'EOF", "<<\"EOF", "<<EOF'", "<<EOF\"", "<<${EOF", "<<${}"] {
        assert!(parse(word).is_err(), "{word}");
    }
}

#[test]
fn lines_are_cut_like_a_shell_cuts_them() {
    for (line, expected) in [
        ("RUN <<EOF", vec!["EOF"]),
        ("RUN <<A <<'B C' x <<\"D\"", vec!["A", "B C", "D"]),
        ("RUN << -EOF", vec!["-EOF"]),
        ("RUN <<- EOF", vec![]),
        ("RUN '<<A' \"<<B\" \\<<C x<<D", vec![]),
        ("RUN echo \"a $B ${C:-\"d\"} \\\" e\" <<F", vec!["F"]),
        ("RUN echo $$ $? $# <<A", vec!["A"]),
        ("RUN echo ${A:-${B:-c}} ${D%%x} ${E//a/b} <<F", vec!["F"]),
        ("RUN <<$A <<${B}", vec!["$A", "${B}"]),
        ("RUN cat <<A|sh", vec!["A|sh"]),
        // What no shell could read opens nothing.
        ("RUN it's <<A", vec![]),
        ("RUN \" <<A", vec![]),
        ("RUN ${ <<A", vec![]),
        ("RUN ${} <<A", vec![]),
        ("RUN ${A:} <<A", vec![]),
        ("RUN ${{A}} <<A", vec![]),
    ] {
        assert_eq!(names(line), expected, "{line}");
    }
}

#[test]
fn long_numbers_and_deep_nesting_are_harmless() {
    let redirect = parse("99999999999999999999<<A").unwrap();
    assert_eq!(redirect, Some(Redirect { name: "A".into(), fd: u32::MAX, strip_tabs: false, expand: true }));
    assert!(names(&format!("RUN {}x{} <<A", "${a:-".repeat(50_000), "}".repeat(50_000))).len() == 1);
}
