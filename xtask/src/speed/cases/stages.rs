//! Cases of many stages.

use std::fmt::Write;

use super::{Case, PLAIN};

pub(super) const CASES: &[Case] = &[Case {
    name: "n-hundred-stages",
    title: "100 stages, each a RUN; COPY from all of them",
    make: |corpus, _| corpus.file("Dockerfile", wide(100)),
    ..PLAIN
}];

/// So many stages beside each other, and one that takes a file of each.
pub(in crate::speed) fn wide(stages: usize) -> String {
    let mut text = "FROM busybox AS base\nCOPY stamp /\n".to_owned();
    for stage in 0..stages {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "FROM base AS s{stage}\nRUN echo {stage} > /f{stage}");
    }
    text.push_str("FROM scratch\n");
    for stage in 0..stages {
        let _ = writeln!(text, "COPY --from=s{stage} /f{stage} /");
    }
    text
}
