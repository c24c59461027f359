//! What must hold for the checks, for expansion and for patterns, whatever they are given. See `properties.rs` for the parser's.

#![allow(missing_docs, dead_code, unreachable_pub)] // included as a module by whoever drives it

use slipway_dockerfile::{
    check::{CheckInput, Config, Id, Ignore, check},
    diagnostic::Severity,
    expand::{Expander, MAX_LENGTH},
    parse,
    pattern::{IgnoreFile, PathPattern, Visit, clean},
    span::Span,
};

/// What the checks find lies in the file, comes in its order and says what to do.
pub fn checks(data: &[u8]) {
    let parsed = parse(data);
    let config = Config { experimental_all: true, ..Config::default() };
    let input = CheckInput { ignore: Ignore::Missing, config, ..CheckInput::default() };
    let mut before = 0;
    for finding in check(&parsed, &input) {
        let rule = Id::find(finding.code);
        assert!(rule.is_some() || finding.severity == Severity::Error, "{} is no rule", finding.code);
        assert!(rule.is_none() || finding.help.is_some(), "{} does not say what to do", finding.code);
        assert!(!finding.message.ends_with('.') && !finding.message.is_empty(), "{}", finding.message);
        sound(&parsed.source, finding.span);
        finding.labels.iter().for_each(|label| sound(&parsed.source, label.span));
        assert!(finding.span.start >= before, "findings come in order");
        before = finding.span.start;
    }
}

/// Expansion ends, stays within its bounds, and tells the truth about places.
pub fn expands(word: &str) {
    let env = [("a", "value"), ("b", ""), ("path", "/x/y.tar.gz"), ("_", "*")];
    for escape in ['\\', '`'] {
        let expander = Expander::new(escape);
        match expander.word(word, &env) {
            Ok(expanded) => {
                assert!(expanded.text.len() <= MAX_LENGTH);
                for used in &expanded.uses {
                    assert!(word[used.at.clone()].starts_with('$'), "{used:?}");
                    assert_eq!(used.set, env.iter().any(|(name, _)| *name == used.name));
                }
                let words = expander.words(word, &env).map(|words| words.words);
                assert!(words.is_ok_and(|words| words.iter().all(|word| !word.is_empty())), "{word:?}");
            }
            Err(error) => assert!(word.is_char_boundary(error.offset), "{error:?}"),
        }
    }
    let _ = Expander::for_heredoc().word(word, &env);
}

/// Matching ends; a walk that skips what it may skip misses nothing.
pub fn matches(patterns: &str, path: &str) {
    for pattern in patterns.lines() {
        if let Ok(pattern) = PathPattern::new(pattern) {
            pattern.matches(path);
        }
    }
    let Ok(file) = IgnoreFile::parse(patterns) else { return };
    let path = clean(path.trim_start_matches('/'));
    file.matches_or_parent(&path);
    let mut visit = Visit::default();
    let mut skipped = false;
    for end in path.match_indices('/').map(|(end, _)| end).chain([path.len()]) {
        visit = file.visit(&path[..end], &visit);
        assert!(
            !skipped || visit.ignored(),
            "{path} is wanted, and a directory above it was skipped by {patterns:?}"
        );
        skipped |= file.can_skip(&path[..end], &visit);
    }
    assert_eq!(path != "." && visit.ignored(), file.matches(&path), "{patterns:?} on {path}");
}

fn sound(source: &str, span: Span) {
    assert!(span.start <= span.end && span.end <= source.len(), "{span:?} of {}", source.len());
    assert!(
        source.is_char_boundary(span.start) && source.is_char_boundary(span.end),
        "{span:?} cuts a character"
    );
}
