//! `WORKDIR`: a directory, made with its parents where it is missing.

use std::path::Path;

use slipway_graph::ir::WorkdirOp;

use super::meta::Time;
use super::stack::LayerStack;
use super::upper::{Fresh, Upper};
use super::{Owner, TreeError, users};

/// Makes the directory in `upper` over `base`. What is there is not touched; what is made is 0755 and the user's.
///
/// Tells whether something was made.
pub fn workdir(upper: &Path, base: &LayerStack, op: &WorkdirOp, now: Time) -> Result<bool, TreeError> {
    let mut upper = Upper::open(upper, base)?;
    let view = upper.view()?;
    let path = view.canonical(Path::new(&op.path))?;
    let made = match view.find(&path, true)? {
        Some(place) if place.meta().is_dir() => false,
        Some(_) => return Err(TreeError::NotADirectory { path }),
        None => {
            // As `--chown` reads it, not as RUN does: a lone number is the group's too.
            let owner = if op.user.is_empty() { Owner::default() } else { users::owner(&view, &op.user)? };
            upper.make_path(&path, Fresh { owner, mode: 0o755, time: now })?;
            true
        }
    };
    upper.finish()?;
    Ok(made)
}

#[cfg(test)]
mod tests;
