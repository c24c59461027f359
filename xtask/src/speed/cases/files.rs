//! Cases of many files: made by RUN, copied between stages, in the context.

use anyhow::Result;

use super::{COLD, Case, Ground, PLAIN, Phase, SAME, Start};
use crate::{host::folders, speed::corpus::Corpus};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "c-node-modules",
        title: "RUN makes 100,000 small files, COPY --from them, RUN",
        target: 0.5,
        make: |corpus, _| {
            corpus.file("make.sh", make_tree(100_000))?;
            corpus.file(
                "Dockerfile",
                "FROM busybox AS build\nCOPY stamp make.sh /\nRUN sh /make.sh\n\
                 FROM busybox\nCOPY --from=build /app /app\nRUN rm -r /app/node_modules/p0 && echo done > /app/done\n",
            )
        },
        ..PLAIN
    },
    Case {
        name: "d-half-million",
        title: "RUN makes 500,000 small files",
        target: 0.5,
        make: |corpus, _| {
            corpus.file("make.sh", make_tree(500_000))?;
            corpus.file("Dockerfile", "FROM busybox\nCOPY stamp make.sh /\nRUN sh /make.sh\n")
        },
        ..PLAIN
    },
    Case {
        name: "h-nothing-changed",
        title: "a project of two stages, nothing changed",
        make: |corpus, _| project(corpus, 1000),
        ..PLAIN
    },
    Case {
        name: "i-one-line",
        title: "context of 20,000 files (200 MB), one line of source changed",
        target: 0.5,
        phases: &[COLD, Phase { name: "one line", start: Start::Kept, change: one_line, ..COLD }, SAME],
        make: |corpus, _| {
            corpus.sources("assets", 20_000, 10_000)?;
            project(corpus, 500)
        },
        ..PLAIN
    },
    Case {
        name: "l-context",
        title: "context of 50,000 files, COPY, RUN; one file changed",
        phases: &[COLD, Phase { name: "one file", start: Start::Kept, change: one_line, ..COLD }, SAME],
        make: |corpus, _| {
            corpus.sources("src", 50_000, 300)?;
            corpus.file("src/main.js", "start()\n")?;
            corpus.file("Dockerfile", "FROM busybox\nCOPY . /src\nRUN find /src -type f | wc -l > /count\n")
        },
        ..PLAIN
    },
];

/// A script that makes so many files in packages of a hundred, with nothing but a shell.
pub(in crate::speed) fn make_tree(count: usize) -> String {
    format!(
        "set -e\nmkdir -p /app/node_modules\ncd /app/node_modules\np=0\nwhile [ $p -lt {} ]; do\n  mkdir -p p$p/lib\n  f=0\n  \
         while [ $f -lt 100 ]; do\n    echo \"module.exports = function f$f() {{ return require('../p$p/lib/f$f') + $p * $f; }}\" \
         > p$p/lib/f$f.js\n    f=$((f+1))\n  done\n  p=$((p+1))\ndone\n",
        count.div_ceil(100)
    )
}

/// Dependencies are made by one step, sources copied by another, and the last stage takes what came of both.
pub(in crate::speed) fn project(corpus: &Corpus, sources: usize) -> Result<()> {
    corpus.sources("src", sources, 2000)?;
    corpus.file("src/main.js", "start()\n")?;
    corpus.file("package.json", "{\"name\": \"shop\"}\n")?;
    corpus.file("install.sh", make_tree(5000))?;
    corpus.file(
        "Dockerfile",
        "FROM busybox AS build\nWORKDIR /work\nCOPY package.json install.sh ./\nRUN sh install.sh\n\
         COPY . .\nRUN mkdir dist && cat src/*/*.js src/main.js stamp > dist/app.js\n\
         FROM busybox\nCOPY --from=build /work/dist /srv\nCMD [\"cat\", \"/srv/app.js\"]\n",
    )
}

fn one_line(ground: &Ground<'_>) -> Result<()> {
    folders::write(&ground.context.join("src/main.js"), format!("start('{}')\n", ground.token))
}
