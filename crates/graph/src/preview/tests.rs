use slipway_dockerfile::parse;

use super::preview;
use crate::request::Request;

fn codes(text: &str) -> Vec<&'static str> {
    let parsed = parse(text.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    preview(&parsed.file, &parsed.source, &Request::new(slipway_oci::Platform::host()))
        .iter()
        .map(|problem| problem.code)
        .collect()
}

#[test]
fn what_only_a_build_would_find() {
    for (line, code) in [
        ("EXPOSE abc", "bad-port"),
        ("EXPOSE 99999", "bad-port"),
        ("RUN --security=insecure true", "unsupported-run"),
        ("ADD --checksum=foo a /b", "bad-checksum"),
        ("ARG M=99\nCOPY --chmod=$M a /b", "bad-mode"),
        ("WORKDIR ${", "bad-expansion"),
    ] {
        assert_eq!(codes(&format!("FROM alpine:3.20\n{line}\n")), [code], "{line}");
    }
    assert!(!codes("FROM a AS a\nCOPY --from=b /x /\nFROM b AS b\nCOPY --from=a /x /\n").is_empty());
}

#[test]
fn what_a_base_image_may_set_is_no_problem_yet() {
    assert!(codes("FROM alpine:3.20\nENV A=${FROM_THE_BASE:?needed}\n").is_empty());
    assert!(
        codes("FROM alpine:3.20 AS a\nCOPY . /\nRUN make\nFROM scratch\nCOPY --from=a /out /\n").is_empty()
    );
}
