//! Files of all kinds, torn apart by a seeded generator.

#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// What is put into files on top of their own pieces.
const TOKENS: [&[u8]; 58] = [
    b"FROM ",
    b"RUN ",
    b"COPY ",
    b"ADD ",
    b"ENV ",
    b"ARG ",
    b"LABEL ",
    b"CMD ",
    b"ENTRYPOINT ",
    b"SHELL ",
    b"ONBUILD ",
    b"HEALTHCHECK ",
    b"VOLUME ",
    b"EXPOSE ",
    b"USER ",
    b"WORKDIR ",
    b"STOPSIGNAL ",
    b"MAINTAINER ",
    b"scratch",
    b" AS x\n",
    b"--mount=",
    b"--mount=type=cache,target=/x ",
    b"--from=",
    b"--chmod=",
    b"--exclude=",
    b"--link ",
    b"--interval=1s ",
    b"-- ",
    b"--",
    b"<<EOF",
    b"<<-EOF",
    b"<<'EOF'",
    b"<<\"E F\"",
    b"3<<EOF",
    b"\nEOF\n",
    b"\n\tEOF\n",
    b"\\\n",
    b"`\n",
    b"\\",
    b"`",
    b"\"",
    b"'",
    b"$",
    b"${",
    b"${a:-${b}}",
    b"}",
    b"[\"a\", \"b\"]",
    b"[",
    b"]",
    b"# escape=`\n",
    b"# syntax=x\n",
    b"#",
    b"=",
    b",",
    b"\r\n",
    b"\0",
    b"\xEF\xBB\xBF",
    b"\xFF\xFE",
];

/// xorshift64*: the same inputs on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below((length - start).min(40) + 1)
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        match random.below(8) {
            0 if !data.is_empty() => {
                let at = random.below(data.len());
                data[at] ^= 1 << random.below(8);
            }
            1 => drop(data.drain(random.range(data.len()))),
            2 => {
                let part = data[random.range(data.len())].to_vec();
                let at = random.below(data.len() + 1);
                data.splice(at..at, part);
            }
            3 => data.truncate(random.below(data.len() + 1)),
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let part = other[random.range(other.len())].to_vec();
                let at = random.range(data.len());
                data.splice(at, part);
            }
            _ => {
                let token = TOKENS[random.below(TOKENS.len())];
                let at = random.below(data.len() + 1);
                data.splice(at..at, token.iter().copied());
            }
        }
    }
    data
}

/// The files of this crate's tests, and BuildKit's where they are.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus =
        env::var_os("SLIPWAY_CORPUS").map_or_else(|| here.join("../../../shared/corpus"), PathBuf::from);
    let mut files = vec![];
    for folder in [here.join("tests/parse_errors"), here.join("tests/parse_valid")] {
        files.extend(fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()));
    }
    for folder in fs::read_dir(corpus.join("buildkit/parser/testfiles")).into_iter().flatten() {
        files.push(folder.unwrap().path().join("Dockerfile"));
    }
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// How long to go on.
pub(crate) fn seconds() -> Duration {
    Duration::from_secs(env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5))
}

/// Makes one torn file after another.
pub(crate) struct Mutator {
    random: Random,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// Starts from the seed of the environment, or always from the same one.
    pub(crate) fn new() -> Self {
        let seed = env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed);
        let seeds = seeds();
        assert!(seeds.len() >= 10, "there is nothing to mutate");
        Self { random: Random(seed), seeds }
    }

    /// Makes the next file.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        mutate(&mut self.random, &self.seeds)
    }
}
