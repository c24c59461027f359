//! Never a panic, never unbounded time or memory, whatever the file says.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use slipway_graph::facts::{ContentFact, ImageFact, KnownFacts};
use slipway_graph::picture::{Format, render};
use slipway_graph::{Lowered, Request, lower, outline};
use slipway_oci::{Digest, ImageConfig};

fn request() -> Request {
    Request::new("linux/amd64".parse().unwrap())
}

/// Plans, draws and lowers a file as far as it goes; returns the codes of what stopped it.
fn all_the_way(text: &str, request: &Request, triggers: &[String]) -> Vec<&'static str> {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    let codes =
        |problems: Vec<slipway_dockerfile::diagnostic::Diagnostic>| problems.iter().map(|p| p.code).collect();
    match outline(&parsed.file, &parsed.source, request) {
        Ok(outline) => {
            for format in [Format::Text, Format::Json, Format::Dot, Format::Mermaid, Format::Svg] {
                let _ = render(&outline, format, "Dockerfile");
            }
        }
        Err(problems) => return codes(problems),
    }
    let mut facts = KnownFacts::default();
    for _ in 0..50 {
        match lower(&parsed.file, &parsed.source, request, &facts) {
            Ok(Lowered::Ready(_)) => return vec![],
            Err(problems) => return codes(problems),
            Ok(Lowered::Needs(needs)) => {
                assert!(!needs.is_empty(), "nothing is missing and yet there is no graph");
                for need in needs.images {
                    let digest = Digest::of(format!("{need:?}"));
                    let mut config = ImageConfig::default();
                    config.rootfs.diff_ids.push(digest);
                    config.config.on_build = triggers.to_vec();
                    assert!(facts.images.insert(need, ImageFact { digest, config }).is_none(), "asked twice");
                }
                for need in needs.contents {
                    let digest = Digest::of(format!("{need:?}"));
                    let fact = ContentFact { digest, files: vec![] };
                    assert!(facts.contents.insert(need, fact).is_none(), "asked twice");
                }
            }
        }
    }
    unreachable!("fifty rounds and no end");
}

fn within(limit: u64, what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    // Debug builds on a busy machine; what must not happen is an hour.
    assert!(start.elapsed() < Duration::from_secs(limit), "{what}: {:?}", start.elapsed());
}

#[test]
fn ten_thousand_stages_in_a_chain() {
    let mut text = "FROM a AS s0\nENV A=1\n".to_owned();
    for n in 1..10_000 {
        let before = n - 1;
        let _ = write!(text, "FROM s{before} AS s{n}\nCOPY --from=s{before} /x /y\nRUN x\n");
    }
    within(240, "chain", || assert!(all_the_way(&text, &request(), &[]).is_empty()));
}

#[test]
fn ten_thousand_stages_into_one() {
    let mut text = String::new();
    for n in 0..10_000 {
        let _ = write!(text, "FROM i{n} AS s{n}\nRUN {n}\n");
    }
    text.push_str("FROM scratch\n");
    for n in 0..10_000 {
        let _ = writeln!(text, "COPY --from=s{n} / /");
    }
    within(240, "fan", || assert!(all_the_way(&text, &request(), &[]).is_empty()));
}

#[test]
fn small_files_that_grow_are_stopped() {
    let doubling = |rest: &str| {
        let mut text = "FROM a\nENV A=xxxxxxxxxxxxxxxx\n".to_owned();
        for _ in 0..15 {
            text.push_str("ENV A=$A$A\n");
        }
        text + rest
    };
    let cases = [
        doubling(&"RUN x\n".repeat(5_000)),
        doubling(
            &format!("ENV {}\n", (0..2_000).map(|n| format!("B{n}=$A")).collect::<Vec<_>>().join(" "))
                .repeat(3),
        ),
        doubling(&"COPY <<E /x\n$A$A$A$A$A$A$A$A\nE\n".repeat(500)),
        doubling("") + &(0..3_000).map(|n| format!("LABEL l{n}=$A")).collect::<Vec<_>>().join("\n"),
        "FROM a\n".to_owned() + &"EXPOSE 0-65535\n".repeat(5_000),
    ];
    for text in cases {
        within(240, &text[..40], || {
            assert_eq!(all_the_way(&text, &request(), &[]), ["too-large"], "{}", &text[text.len() - 60..]);
        });
    }
    let ports = format!("FROM a\nEXPOSE {}\n", "0-65535 ".repeat(5_000));
    within(240, "ports", || assert_eq!(all_the_way(&ports, &request(), &[]), ["bad-port"]));
}

#[test]
fn triggers_without_end_have_one() {
    let mut text = "FROM x AS s0\n".to_owned();
    for n in 1..60 {
        let _ = writeln!(text, "FROM x{n} AS s{n}");
    }
    // Each image drags another stage in, the images of which drag the next.
    let triggers = ["COPY --from=s0 / /".to_owned(), "RUN y".to_owned()];
    let codes = all_the_way(&text, &request(), &triggers);
    assert_eq!(codes, ["circular-stages"], "s0 has the trigger too");
}

/// Lines that fit together often enough to get far.
fn lines() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("$A"),
        Just("${B:-x}"),
        Just("/"),
        Just("."),
        Just("a b"),
        Just("\"q\""),
        Just("'"),
        Just("s0"),
        Just("s1"),
        Just("${A"),
        Just("scratch"),
        Just("0"),
        Just("1"),
        Just("https://x.example/y"),
        Just("git@h:p"),
        Just("\\"),
        Just("é"),
        Just("%"),
        Just("[\"a\",\"b\"]"),
        Just("<<E"),
        Just("80-81/udp"),
        Just("=v"),
        Just("A=1"),
        Just("a:b@c"),
        Just("--"),
    ];
    let keyword = prop_oneof![
        Just("FROM"),
        Just("FROM --platform=$BUILDPLATFORM"),
        Just("RUN"),
        Just("RUN --mount=type=cache,target="),
        Just("RUN --mount=from="),
        Just("COPY"),
        Just("COPY --from="),
        Just("COPY --link --chmod=755"),
        Just("ADD"),
        Just("ADD --checksum="),
        Just("ENV"),
        Just("ARG"),
        Just("LABEL"),
        Just("WORKDIR"),
        Just("USER"),
        Just("EXPOSE"),
        Just("VOLUME"),
        Just("SHELL"),
        Just("CMD"),
        Just("ENTRYPOINT"),
        Just("ONBUILD"),
        Just("ONBUILD COPY --from="),
        Just("HEALTHCHECK CMD"),
        Just("STOPSIGNAL"),
        Just("MAINTAINER"),
        Just("E"),
        Just("#"),
    ];
    let glue = prop_oneof![4 => Just(" "), 1 => Just("")];
    (keyword, glue, prop::collection::vec(word, 0..4), prop::option::of(0..3_u8)).prop_map(
        |(keyword, glue, words, alias)| {
            let alias = match alias {
                Some(n) if keyword.starts_with("FROM") => format!(" AS s{n}"),
                _ => String::new(),
            };
            format!("{keyword}{glue}{}{alias}\n", words.join(" "))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_file_makes_it_panic(lines in prop::collection::vec(lines(), 0..14), trigger in lines(), target in 0..4_u8) {
        let text = format!("FROM base AS s0\n{}", lines.concat());
        let mut request = request();
        if target > 0 {
            request.targets = vec![format!("s{}", target - 1)];
        }
        all_the_way(&text, &request, &[trigger.trim_end().to_owned()]);
    }
}
