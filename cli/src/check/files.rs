//! Finds and reads the files that belong to a check.

use std::{
    convert::Infallible,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail};
use slipway_dockerfile::pattern::IgnoreFile;

/// More than this is no Dockerfile.
const MAX_BYTES: u64 = 64 << 20;

/// A path, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Stdin,
    Path(PathBuf),
}

impl FromStr for Location {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::Stdin } else { Self::Path(text.into()) })
    }
}

/// What was read.
pub(super) struct Files {
    /// The Dockerfile's name for people and for tools: as it was given, with slashes.
    pub(super) name: String,
    /// Its bytes.
    pub(super) dockerfile: Vec<u8>,
    /// The ignore file that belongs to it.
    pub(super) ignore: Option<IgnoreFile>,
    /// True if there is a context in which an ignore file could be.
    pub(super) has_context: bool,
}

impl Files {
    /// Reads the Dockerfile and `<Dockerfile>.dockerignore` beside it, or else the context's `.dockerignore`.
    pub(super) fn read(context: &Location, file: Option<&Location>) -> anyhow::Result<Self> {
        let folder = match context {
            Location::Stdin => {
                if let Some(Location::Path(file)) = file {
                    bail!(
                        "the context is `-`, which reads the Dockerfile from standard input; leave out `--file {}`",
                        file.display()
                    );
                }
                return Ok(Self {
                    name: "Dockerfile".into(),
                    dockerfile: stdin()?,
                    ignore: None,
                    has_context: false,
                });
            }
            Location::Path(folder) => folder,
        };
        if !folder.is_dir() {
            let hint = if folder.is_file() {
                format!("; for a Dockerfile write `--file {}`", folder.display())
            } else {
                String::new()
            };
            bail!("the context {} is no directory{hint}", folder.display());
        }
        let path = match file {
            Some(Location::Stdin) => {
                let ignore = ignore_file(&[folder.join(".dockerignore")])?;
                return Ok(Self {
                    name: "Dockerfile".into(),
                    dockerfile: stdin()?,
                    ignore,
                    has_context: true,
                });
            }
            Some(Location::Path(path)) => path.clone(),
            None => default_file(folder)?,
        };
        let dockerfile = read(&path)?;
        let mut own = path.clone().into_os_string();
        own.push(".dockerignore");
        let ignore = ignore_file(&[own.into(), folder.join(".dockerignore")])?;
        Ok(Self { name: shown(&path), dockerfile, ignore, has_context: true })
    }
}

/// `Dockerfile`, or `dockerfile` where only that exists.
fn default_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let found =
        ["Dockerfile", "dockerfile"].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    found.with_context(|| format!("there is no Dockerfile in {}; name one with `--file`", folder.display()))
}

fn ignore_file(candidates: &[PathBuf]) -> anyhow::Result<Option<IgnoreFile>> {
    let Some(path) = candidates.iter().find(|path| path.exists()) else { return Ok(None) };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let file =
        IgnoreFile::parse(&text).with_context(|| format!("failed to understand {}", path.display()))?;
    Ok(Some(file))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("failed to read {}", path.display());
    limited(fs::File::open(path).with_context(failed)?).with_context(failed)
}

fn stdin() -> anyhow::Result<Vec<u8>> {
    limited(io::stdin().lock()).context("failed to read standard input")
}

fn limited(reader: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![];
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("it has more than {} MiB", MAX_BYTES >> 20);
    }
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    text.strip_prefix("./").map_or_else(|| text.clone(), str::to_owned)
}
