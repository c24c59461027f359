//! Cases of many stages, and of many builds at once.

use std::fmt::Write;

use super::{COLD, Case, PLAIN, Phase, SAME, Start};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "f1-diamond",
        title: "four stages that sleep 2 s each, and COPY from all of them",
        make: |corpus, _| corpus.file("Dockerfile", diamond(4)),
        ..PLAIN
    },
    Case {
        name: "f2-chain",
        title: "chain of 8 stages, a RUN each",
        make: |corpus, _| corpus.file("Dockerfile", chain(8)),
        ..PLAIN
    },
    Case {
        name: "f3-twenty",
        title: "20 stages, each with what two earlier ones made",
        make: |corpus, _| corpus.file("Dockerfile", web(20)),
        ..PLAIN
    },
    Case {
        name: "k-twenty-builds",
        title: "20 builds at once over one cache, 3,000 files in common and 20 MB each of their own",
        phases: &[Phase { at_once: 20, ..COLD }, Phase { at_once: 20, start: Start::Kept, ..SAME }],
        make: |corpus, _| {
            corpus.file("make.sh", super::files::make_tree(3000))?;
            corpus.noise("noise.bin", 20_000_000)?;
            corpus.file(
                "Dockerfile",
                "FROM busybox AS common\nCOPY stamp make.sh /\nRUN sh /make.sh\n\
                 FROM common\nARG NUMBER\nCOPY noise.bin /tmp/\nRUN (echo $NUMBER; cat /tmp/noise.bin) > /own\n",
            )
        },
        ..PLAIN
    },
    Case {
        name: "n-hundred-stages",
        title: "100 stages, each a RUN; COPY from all of them",
        make: |corpus, _| corpus.file("Dockerfile", wide(100)),
        ..PLAIN
    },
];

/// So many stages beside each other, and one that takes a file of each.
pub(in crate::speed) fn wide(stages: usize) -> String {
    beside(stages, |stage| format!("echo {stage} > /f{stage}"))
}

fn diamond(stages: usize) -> String {
    beside(stages, |stage| format!("sleep 2 && echo {stage} > /f{stage}"))
}

fn beside(stages: usize, command: impl Fn(usize) -> String) -> String {
    let mut text = "FROM busybox AS base\nCOPY stamp /\n".to_owned();
    // Writing to a text cannot fail, here and below.
    for stage in 0..stages {
        let _ = writeln!(text, "FROM base AS s{stage}\nRUN {}", command(stage));
    }
    text.push_str("FROM scratch\n");
    for stage in 0..stages {
        let _ = writeln!(text, "COPY --from=s{stage} /f{stage} /");
    }
    text
}

/// Each stage on top of the one before.
fn chain(stages: usize) -> String {
    let mut text = "FROM busybox AS s0\nCOPY stamp /\n".to_owned();
    for stage in 1..=stages {
        let _ = writeln!(text, "FROM s{} AS s{stage}\nRUN echo {stage} > /f{stage}", stage - 1);
    }
    text
}

/// Each stage takes files of the one before and of the one in the middle.
fn web(stages: usize) -> String {
    let mut text = "FROM busybox AS s0\nCOPY stamp /f0\n".to_owned();
    for stage in 1..stages {
        let (before, middle) = (stage - 1, stage / 2);
        let _ = writeln!(text, "FROM busybox AS s{stage}\nCOPY --from=s{before} /f{before} /");
        if middle != before {
            let _ = writeln!(text, "COPY --from=s{middle} /f{middle} /");
        }
        let _ = writeln!(text, "RUN cat /f{before} /f{middle} | head -c 1000000 > /f{stage}");
    }
    text
}

/// One stage with so many layers.
pub(in crate::speed) fn tall(layers: usize) -> String {
    let mut text = "FROM busybox\nCOPY stamp /\n".to_owned();
    for layer in 0..layers {
        let _ = writeln!(text, "RUN echo {layer} > /f{layer}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_stages_as_were_asked_for() {
        let stages = |text: String| text.lines().filter(|line| line.starts_with("FROM")).count();
        assert_eq!(stages(wide(100)), 102);
        assert_eq!(stages(chain(8)), 9);
        assert_eq!(stages(web(20)), 20);
        assert_eq!(stages(tall(100)), 1);
    }
}
