//! Where the commands keep what they make: always outside the checkout.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The cache folder: built programs, base images, state of a running cluster.
pub(crate) fn cache() -> Result<PathBuf> {
    let folder = match env::var_os("SLIPWAY_CACHE") {
        Some(named) => PathBuf::from(named),
        None => match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
            (Some(caches), _) => PathBuf::from(caches).join("slipway"),
            (None, Some(home)) => PathBuf::from(home).join(".cache/slipway"),
            (None, None) => {
                anyhow::bail!("neither SLIPWAY_CACHE nor HOME is set: name a cache folder in SLIPWAY_CACHE")
            }
        },
    };
    make(&folder)?;
    fs::canonicalize(&folder).with_context(|| format!("failed to resolve {}", folder.display()))
}

/// The folder of this crate in the checkout, where the recipes of the cluster's parts lie.
pub(crate) fn xtask() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// The root of the checkout.
pub(crate) fn checkout() -> PathBuf {
    xtask().parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it compiles.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from)
}

/// Creates a folder and its parents.
pub(crate) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))
}

/// Writes a file, naming it when that fails.
pub(crate) fn write(file: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}

/// Waits for an exclusive lock that is held until the returned file is dropped.
pub(crate) fn lock(name: &str) -> Result<File> {
    let path = cache()?.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
    file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}
