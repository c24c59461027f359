//! Finds the Dockerfile and the ignore file that goes with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A Dockerfile's text and where it is from.
#[derive(Clone, Debug, Default)]
pub struct DockerfileText {
    /// Its path, for people.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The ignore file that goes with it.
    pub ignore: Option<String>,
}

/// Why there is no Dockerfile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerfileError {
    /// None at its place.
    #[error("there is no Dockerfile at `{}`; name it with --file", .0.display())]
    Missing(PathBuf),
    /// It leads out of the context.
    #[error("the Dockerfile `{}` is not in the context", .0.display())]
    Outside(PathBuf),
    /// It cannot be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Reads the Dockerfile of a folder: the one that is named, else `Dockerfile`, else `dockerfile`.
///
/// `named` is a path on this machine. With `confined`, it must stay in the folder, links resolved.
pub fn find(
    folder: Option<&Path>,
    named: Option<&Path>,
    confined: bool,
) -> Result<DockerfileText, DockerfileError> {
    let candidates: Vec<PathBuf> = match (named, folder) {
        (Some(path), _) => vec![path.to_owned()],
        (None, Some(folder)) => vec![folder.join("Dockerfile"), folder.join("dockerfile")],
        (None, None) => return Err(DockerfileError::Missing(PathBuf::from("Dockerfile"))),
    };
    let found = candidates.iter().find(|path| path.is_file());
    let path = found.ok_or_else(|| DockerfileError::Missing(candidates[0].clone()))?;
    if confined && let Some(folder) = folder {
        let real = |path: &Path| {
            path.canonicalize().map_err(|source| DockerfileError::Read { path: path.to_owned(), source })
        };
        if !real(path)?.starts_with(real(folder)?) {
            return Err(DockerfileError::Outside(path.clone()));
        }
    }
    let bytes = fs::read(path).map_err(|source| DockerfileError::Read { path: path.clone(), source })?;
    Ok(DockerfileText { path: path.display().to_string(), bytes, ignore: ignore_beside(path, folder) })
}

/// Returns the ignore file: `<Dockerfile>.dockerignore` beside the Dockerfile goes before `.dockerignore` of the context.
fn ignore_beside(dockerfile: &Path, folder: Option<&Path>) -> Option<String> {
    let mut name = dockerfile.file_name()?.to_owned();
    name.push(".dockerignore");
    let own = fs::read_to_string(dockerfile.with_file_name(name)).ok();
    own.or_else(|| ignore_of(folder?))
}

/// Returns `.dockerignore` of a context.
pub fn ignore_of(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(".dockerignore")).ok()
}
