//! What is to be said of a Dockerfile that can be built all the same: a line each, before anything is fetched.

use std::fmt::Write as _;

use slipway_dockerfile::Parsed;
use slipway_dockerfile::check::{CheckInput, Ignore, check};
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::pattern::IgnoreFile;
use slipway_dockerfile::span::LineIndex;
use slipway_executor::plan::dockerfile::DockerfileText;
use slipway_graph::request::Request;

/// How many are told one by one.
const MOST: usize = 8;

/// Returns the warnings of the checks and of the plan, and who tells more; nothing where there are none.
pub(super) fn told(parsed: &Parsed, file: &DockerfileText, text: &str, request: &Request) -> String {
    let args: Vec<(String, String)> = request.build_args.clone().into_iter().collect();
    let ignore = file.ignore.as_deref().and_then(|text| IgnoreFile::parse(text).ok());
    let input = CheckInput {
        build_args: &args,
        target: request.targets.last().map(String::as_str),
        ignore: ignore.as_ref().map_or(Ignore::Unknown, Ignore::Present),
        ..CheckInput::default()
    };
    let mut found = check(parsed, &input);
    // What keeps it from being planned is told by who plans it.
    found.extend(slipway_graph::outline(&parsed.file, text, request).map_or(vec![], |plan| plan.warnings));
    found.retain(|finding| finding.severity == Severity::Warning);
    found.sort_by_key(|finding| finding.span.start);
    lines(&found, &file.path, text)
}

fn lines(found: &[Diagnostic], path: &str, text: &str) -> String {
    let index = LineIndex::new(text);
    let mut out = String::new();
    for finding in found.iter().take(MOST) {
        let line = index.line(finding.span.start);
        let _ = writeln!(out, "warning[{}]: line {line}: {}", finding.code, finding.message);
    }
    if !found.is_empty() {
        let count = found.len();
        let all = if count == 1 { "it".to_owned() } else { format!("all {count}") };
        let _ = writeln!(out, "`slipway check` shows {all} with what to do about {path}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, args: &[(&str, &str)]) -> String {
        let parsed = slipway_dockerfile::parse(text.as_bytes());
        let mut request = Request::new("linux/amd64".parse().expect("a platform"));
        request.build_args = args.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let file = DockerfileText { path: "Dockerfile".into(), ..DockerfileText::default() };
        told(&parsed, &file, text, &request)
    }

    #[test]
    fn an_argument_that_is_used_without_being_declared_is_told() {
        let text = "FROM busybox:1 AS a-dev\nUSER 1\nFROM a-${ENV:-dev}\nUSER 1\n";
        let said = said(text, &[("ENV", "dev")]);
        assert!(said.contains("line 3: `ENV` is not declared"), "{said}");
        assert!(said.ends_with("with what to do about Dockerfile\n"), "{said}");
    }

    #[test]
    fn many_warnings_are_counted_and_none_is_silence() {
        assert_eq!(said("FROM busybox:1\nUSER 1\n", &[]), "");
        let many = "FROM busybox:1\nUSER 1\n".to_owned() + &"MAINTAINER me\n".repeat(20);
        let said = said(&many, &[]);
        assert_eq!(said.lines().count(), MOST + 1);
        assert!(said.contains("all 20"), "{said}");
    }
}
