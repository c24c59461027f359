//! Parsing 10,000 instructions, beside the `parse-dockerfile` crate on the same text.
//!
//! Ours types every flag, mount and pair and keeps diagnostics; theirs stops at the first error and borrows from the text.

#![allow(missing_docs)] // what criterion's macros make

mod input;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn parse(c: &mut Criterion) {
    let file = input::dockerfile(10_000);
    let parsed = slipway_dockerfile::parse(file.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    assert!(parse_dockerfile::parse(&file).is_ok());
    let count: usize = parsed.file.stages.iter().map(|stage| 1 + stage.instructions.len()).sum();
    assert_eq!(count, 10_000);

    let mut group = c.benchmark_group("parse 10000 instructions");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("slipway", |b| b.iter(|| slipway_dockerfile::parse(black_box(file.as_bytes()))));
    group.bench_function("parse-dockerfile", |b| {
        b.iter(|| parse_dockerfile::parse(black_box(&file)));
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
