//! Projects as people have them: Go, Rust and Node in several stages, and Debian packages.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::{COLD, Case, EMPTY, Ground, PLAIN, Phase, SAME, Start};
use crate::{
    host::folders,
    speed::{corpus::Corpus, debs},
};

const CHANGED: Phase = Phase { name: "one line", start: Start::Kept, change: |_| Ok(()), ..COLD };

pub(super) const CASES: &[Case] = &[
    Case {
        name: "b-apt",
        title: "installation of 30 Debian packages",
        bases: &["debian:bookworm-slim"],
        phases: &[EMPTY, COLD, SAME],
        make: |corpus, _| {
            debs::put(corpus)?;
            corpus.file(
                "Dockerfile",
                "FROM debian:bookworm-slim AS packages\nCOPY debs /debs\nFROM debian:bookworm-slim\nCOPY stamp /\n\
                 RUN --mount=type=bind,from=packages,source=/debs,target=/debs \
                 DEBIAN_FRONTEND=noninteractive dpkg --install --force-depends /debs/*.deb\n",
            )
        },
        ..PLAIN
    },
    Case {
        name: "g1-go",
        title: "Go project of three stages, from the examples",
        bases: &["golang:1.25-alpine"],
        needs: &["golang"],
        phases: &[COLD, Phase { change: |ground| comment(ground, "main.go"), ..CHANGED }, SAME],
        make: |corpus, _| example(corpus, "go"),
        ..PLAIN
    },
    Case {
        name: "g2-rust",
        title: "Rust project of three stages, from the examples",
        bases: &["rust:1.85-slim", "debian:bookworm-slim"],
        needs: &["rust"],
        phases: &[COLD, Phase { change: |ground| comment(ground, "src/main.rs"), ..CHANGED }, SAME],
        make: |corpus, _| example(corpus, "rust"),
        ..PLAIN
    },
    Case {
        name: "g3-node",
        title: "Node project: packages installed, bundle built, served from another base",
        bases: &["node:20-alpine"],
        needs: &["node"],
        phases: &[COLD, Phase { change: |ground| comment(ground, "src/main.js"), ..CHANGED }, SAME],
        make: |corpus, _| node(corpus),
        ..PLAIN
    },
];

/// Adds a comment that nobody has seen yet.
fn comment(ground: &Ground<'_>, file: &str) -> Result<()> {
    let path = ground.context.join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {file}"))?;
    let kept: String =
        text.lines().filter(|line| !line.starts_with("// token")).fold(String::new(), |mut kept, line| {
            kept.push_str(line);
            kept.push('\n');
            kept
        });
    folders::write(&path, format!("{kept}// token {}\n", ground.token))
}

/// A project of the examples. The line that names a frontend goes: an image of it cannot be had everywhere.
fn example(corpus: &Corpus, name: &str) -> Result<()> {
    corpus.copy(&folders::checkout().join("examples").join(name))?;
    let dockerfile = corpus.path().join("Dockerfile");
    let text = std::fs::read_to_string(&dockerfile).context("an example without a Dockerfile")?;
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("# syntax")).collect();
    folders::write(&dockerfile, kept.join("\n") + "\n")
}

/// Packages that lie in the context, so that no network is measured.
fn node(corpus: &Corpus) -> Result<()> {
    let mut dependencies = String::new();
    for index in 0..30 {
        let name = format!("part{index}");
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a text cannot fail.
        let _ = write!(dependencies, "{comma}\"{name}\": \"file:packages/{name}\"");
        let manifest = format!("{{\"name\": \"{name}\", \"version\": \"1.0.0\", \"main\": \"d0/f0.js\"}}\n");
        corpus.file(&format!("packages/{name}/package.json"), manifest)?;
        corpus.sources(&format!("packages/{name}"), 100, 400)?;
    }
    corpus.sources("src/app", 300, 1500)?;
    corpus.file("src/main.js", "start()\n")?;
    corpus.file(
        "package.json",
        format!("{{\"name\": \"shop\", \"version\": \"1.0.0\", \"dependencies\": {{{dependencies}}}}}\n"),
    )?;
    corpus.file(
        "build.js",
        "const fs = require('fs'), path = require('path');\nfs.mkdirSync('dist', {recursive: true});\n\
         const read = folder => fs.readdirSync(folder, {recursive: true}).map(name => path.join(folder, name))\n  \
         .filter(name => name.endsWith('.js')).map(name => fs.readFileSync(name, 'utf8'));\n\
         fs.writeFileSync('dist/app.js', [...read('src'), ...read('packages')].join('\\n'));\n",
    )?;
    corpus.file(
        "Dockerfile",
        "FROM node:20-alpine AS deps\nWORKDIR /app\nCOPY package.json ./\nCOPY packages packages\n\
         RUN npm install --offline --no-audit --no-fund --install-links\n\
         FROM deps AS build\nCOPY . .\nRUN node build.js\n\
         FROM node:20-alpine\nWORKDIR /app\nCOPY --from=deps /app/node_modules node_modules\nCOPY --from=build /app/dist dist\n\
         COPY stamp /\nUSER node\nCMD [\"node\", \"dist/app.js\"]\n",
    )
}
