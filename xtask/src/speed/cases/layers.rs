//! Cases of large and of tiny layers.

use std::{fs::File, io::Write};

use anyhow::{Context, Result};

use super::{COLD, Case, EMPTY, Ground, PLAIN, Phase, SAME};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a-hello",
        title: "hello, COPY only",
        bases: &["debian:bookworm-slim"],
        phases: &[EMPTY, COLD, SAME],
        make: |corpus, _| {
            corpus.file("hello", "#!/bin/sh\necho hello\n")?;
            corpus.file("Dockerfile", "FROM debian:bookworm-slim\nCOPY hello stamp /\nCMD [\"/hello\"]\n")
        },
        ..PLAIN
    },
    Case {
        name: "e-two-large",
        title: "a layer of 600 MB that does not compress, and one of 600 MB of text",
        target: 0.5,
        phases: &[Phase { change: stamp_large, ..COLD }, SAME],
        make: |corpus, _| {
            corpus.noise("noise.bin", 600_000_000)?;
            corpus.words("words.txt", 600_000_000)?;
            corpus.file("Dockerfile", "FROM busybox\nCOPY noise.bin /noise.bin\nCOPY words.txt /words.txt\n")
        },
        ..PLAIN
    },
    Case {
        name: "m-copy",
        title: "a stage makes files of 64 MB, and COPY --from takes them: 5 GB",
        target: 0.5,
        make: |corpus, sizes| {
            corpus.noise("noise.bin", 32_000_000)?;
            corpus.words("words.txt", 32_000_000)?;
            // A window of gzip does not see that the files are alike.
            corpus.file(
                "Dockerfile",
                format!(
                    "FROM busybox AS build\nCOPY stamp noise.bin words.txt /\n\
                     RUN mkdir /out && for i in $(seq {}); do cat /stamp /noise.bin /words.txt > /out/$i; done\n\
                     FROM scratch\nCOPY --from=build /out /out\n",
                    sizes.copied.div_ceil(64_000_000)
                ),
            )
        },
        note: |sizes| match sizes.copied / 100_000_000 {
            50.. => String::new(),
            smaller => format!("of {}.{} GB here, not of 5", smaller / 10, smaller % 10),
        },
        ..PLAIN
    },
];

/// Overwrites the first bytes, so that both layers are new to everybody.
fn stamp_large(ground: &Ground<'_>) -> Result<()> {
    for name in ["noise.bin", "words.txt"] {
        let path = ground.context.join(name);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(ground.token.as_bytes()))
            .with_context(|| format!("failed to change {}", path.display()))?;
    }
    Ok(())
}
