//! Finding and reading the Dockerfile.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A Dockerfile larger than this is a mistake.
const MAX_SIZE: u64 = 16 << 20;

/// A Dockerfile that was read.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name, for people.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads the named file, the standard input for `-`, or the context's own Dockerfile.
///
/// A context that is `-` is no folder: then, too, the Dockerfile comes from the standard input.
pub(super) fn read(file: Option<&Path>, context: &Path) -> anyhow::Result<Source> {
    if is_standard_input(file, context) {
        let bytes = limited(std::io::stdin().lock()).context("failed to read the standard input")?;
        return Ok(Source { name: "Dockerfile".to_owned(), bytes });
    }
    let path = match file {
        Some(path) => path.to_owned(),
        None => default_in(context)?,
    };
    let open = std::fs::File::open(&path).with_context(|| format!("failed to open {}", path.display()))?;
    let bytes = limited(open).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(Source { name: path.strip_prefix("./").unwrap_or(&path).display().to_string(), bytes })
}

fn is_standard_input(file: Option<&Path>, context: &Path) -> bool {
    file.unwrap_or(context) == Path::new("-")
}

fn default_in(context: &Path) -> anyhow::Result<PathBuf> {
    for name in ["Dockerfile", "dockerfile"] {
        let path = context.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    if context.is_file() {
        anyhow::bail!("{} is a file; name a Dockerfile with -f {0}", context.display());
    }
    anyhow::bail!("there is no Dockerfile in {}; name one with -f", context.display())
}

fn limited(from: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![];
    from.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() as u64 <= MAX_SIZE, "it is larger than {} MiB", MAX_SIZE >> 20);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_standard_input;

    #[test]
    fn a_dash_is_the_standard_input_as_file_and_as_context() {
        let (dash, other) = (Path::new("-"), Path::new("dir"));
        assert!(is_standard_input(Some(dash), other));
        assert!(is_standard_input(None, dash));
        assert!(!is_standard_input(Some(other), dash), "the file that is named is meant");
        assert!(!is_standard_input(None, other));
    }
}
