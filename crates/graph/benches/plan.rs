//! Parsing, checking and planning a file of 10,000 instructions; lowering it with all facts known is measured apart.

#![allow(missing_docs)] // what criterion's macros make

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use slipway_dockerfile::check::{CheckInput, check};
use slipway_graph::facts::{ContentFact, ImageFact, KnownFacts};
use slipway_graph::{Lowered, Request, lower, outline};
use slipway_oci::{Digest, ImageConfig};

/// Makes a file of 500 stages of 20 instructions, each stage on and with files of the one before.
fn dockerfile() -> String {
    let mut text = "ARG BASE=bookworm\n".to_owned();
    for n in 0..500 {
        if n % 10 == 0 {
            let _ = writeln!(text, "FROM debian:${{BASE}} AS s{n}");
        } else {
            let _ = writeln!(text, "FROM s{} AS s{n}", n - 1);
        }
        let _ = write!(
            text,
            "ARG VERSION={n}\nENV E{n}=${{VERSION}} PATH=/opt/{n}/bin:$PATH\nWORKDIR /src/{n}\n"
        );
        for m in 0..5 {
            let _ = writeln!(text, "COPY --chown=1000:1000 package{m}*.json ./p{m}/");
            let _ =
                writeln!(text, "RUN --mount=type=cache,target=/root/.cache make -C p{m} VERSION=$VERSION");
        }
        text.push_str("LABEL a=\"b c\" d=$VERSION\nEXPOSE 80 443/udp\nUSER 1000\n");
        let from = if n == 0 { String::new() } else { format!("--from=s{} ", n - 1) };
        let _ = write!(text, "COPY {from}/src /copied/{n}\nHEALTHCHECK CMD true\nCMD [\"run\", \"{n}\"]\n");
    }
    text
}

fn plan(c: &mut Criterion) {
    let text = dockerfile();
    let request = Request::new("linux/amd64".parse().expect("a platform"));
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    let count: usize = parsed.file.stages.iter().map(|stage| 1 + stage.instructions.len()).sum();
    assert!(parsed.is_ok() && count == 10_000, "{count}");
    let facts = facts(&parsed, &request);

    let mut group = c.benchmark_group("10000 instructions");
    group.bench_function("parse, check and plan", |b| {
        b.iter(|| {
            let parsed = slipway_dockerfile::parse(black_box(text.as_bytes()));
            (check(&parsed, &CheckInput::default()), outline(&parsed.file, &parsed.source, &request))
        });
    });
    group.bench_function("plan alone", |b| {
        b.iter(|| outline(black_box(&parsed.file), &parsed.source, &request));
    });
    group.bench_function("lower", |b| {
        b.iter(|| lower(&parsed.file, &parsed.source, &request, black_box(&facts)));
    });
    group.finish();
}

/// Answers every question with a digest of the question.
fn facts(parsed: &slipway_dockerfile::Parsed, request: &Request) -> KnownFacts {
    let mut facts = KnownFacts::default();
    while let Ok(Lowered::Needs(needs)) = lower(&parsed.file, &parsed.source, request, &facts) {
        for need in needs.images {
            let digest = Digest::of(format!("{need:?}"));
            let mut config = ImageConfig::default();
            config.rootfs.diff_ids.push(digest);
            facts.images.insert(need, ImageFact { digest, config });
        }
        for need in needs.contents {
            let digest = Digest::of(format!("{need:?}"));
            facts.contents.insert(need, ContentFact { digest, files: vec![] });
        }
    }
    facts
}

criterion_group!(benches, plan);
criterion_main!(benches);
