//! Makes the contexts: the same bytes on every machine, from a seed.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::host::{command::Run, folders, mounts};

/// xorshift64*, enough for bytes that do not compress.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % limit
    }
}

/// A folder that is being filled.
pub(super) struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    /// An empty one; what an earlier measurement left there is gone.
    pub(super) fn new(folder: PathBuf) -> Result<Self> {
        mounts::delete(&folder)?;
        folders::make(&folder)?;
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes a file, and the folders above.
    pub(super) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let file = self.folder.join(name);
        folders::make(file.parent().context("a file without a folder")?)?;
        folders::write(&file, text)
    }

    /// Takes all that lies in a folder.
    pub(super) fn copy(&self, from: &Path) -> Result<()> {
        Command::new("cp").arg("-r").arg(from.join(".")).arg(&self.folder).text().map(drop)
    }

    /// Writes small sources, a hundred to a folder: `name/d7/f742.js`.
    pub(super) fn sources(&self, name: &str, count: usize, bytes: usize) -> Result<()> {
        let mut random = Random::new(count as u64);
        for index in 0..count {
            let folder = self.folder.join(format!("{name}/d{}", index / 100));
            if index % 100 == 0 {
                folders::make(&folder)?;
            }
            folders::write(&folder.join(format!("f{index}.js")), text(&mut random, bytes))?;
        }
        Ok(())
    }

    /// Writes a file of words as in a log, which gzip packs to about a third.
    pub(super) fn words(&self, name: &str, bytes: u64) -> Result<()> {
        let mut random = Random::new(7);
        self.large(name, bytes, |chunk| chunk.extend_from_slice(text(&mut random, CHUNK).as_bytes()))
    }

    /// Writes a file that does not compress.
    pub(super) fn noise(&self, name: &str, bytes: u64) -> Result<()> {
        let mut random = Random::new(8);
        self.large(name, bytes, |chunk| {
            for _ in 0..CHUNK / 8 {
                chunk.extend_from_slice(&random.next().to_le_bytes());
            }
        })
    }

    fn large(&self, name: &str, bytes: u64, mut fill: impl FnMut(&mut Vec<u8>)) -> Result<()> {
        let path = self.folder.join(name);
        let mut write = || -> std::io::Result<()> {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
            let (mut left, mut chunk) = (bytes, Vec::new());
            while left > 0 {
                chunk.clear();
                fill(&mut chunk);
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                file.write_all(&chunk)?;
                left -= chunk.len() as u64;
            }
            file.flush()
        };
        write().with_context(|| format!("failed to write {}", path.display()))
    }
}

const CHUNK: usize = 1 << 16;

const WORDS: [&str; 32] = [
    "const", "let", "return", "function", "import", "export", "require", "module", "await", "async", "value",
    "index", "length", "push", "request", "response", "error", "handler", "config", "string", "number", "=",
    "=>", "{", "}", "(", ")", ";", "if", "else", "for", "null",
];

/// Words and numbers in lines.
fn text(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(WORDS[random.below(WORDS.len())]);
        if random.below(4) == 0 {
            text.push_str(&random.below(100_000).to_string());
        }
        text.push(if random.below(9) == 0 { '\n' } else { ' ' });
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let some = |seed| text(&mut Random::new(seed), 500);
        assert_eq!(some(3), some(3));
        assert_ne!(some(3), some(4));
        assert_eq!(some(3).len(), 500);
    }
}
