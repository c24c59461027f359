//! The same in the file system of the container that this program is in: its `/` is emptied and filled with the layers, so
//! that the command has the container's own /proc, /dev and /sys.
//!
//! Nothing shuts the command in but the container. What is mounted there (volumes, /etc/hosts) stays in its place and out of
//! the layer. This program has to be linked statically, since the libraries of its image are gone after the first command.

use std::{
    ffi::OsStr,
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use super::{Bench, Changes, Identity, Root, check, entry, layers, outcome};
use crate::{
    Cancel, Error, Finished, Sandbox, Stream,
    error::{During, Failure},
    spec::RunSpec,
    wire::Ground,
};

/// A file that only an image has whose containers may be emptied. Without it nothing is removed, so that a program started
/// by mistake on a machine, or in a container that somebody works in, does no harm.
pub const DISPOSABLE_MARK: &str = "/.slipway-disposable";

/// Where things that stand in for mounts are prepared. On the same mount as the tree, so that they can be moved.
const ASIDE: &str = ".slipway-aside";

/// The pid namespace that a machine starts with; a container that shares it is not one to be emptied.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Runs commands in this container's own file system, one at a time.
#[derive(Debug, Default)]
pub struct Container {
    /// What lies in `/`, lowest first; `None` while that is the program's own image, or unknown after a failure.
    laid: Mutex<Option<Vec<Identity>>>,
}

impl Container {
    /// Begins with the container as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns why this container cannot be used. The mark goes with the image at the first command; what was found at the
    /// first question holds. `kept` is one of the paths that are to outlive the emptying.
    pub(crate) fn check_rights(kept: &Path) -> Result<(), String> {
        Self::is_disposable()?;
        outlives(kept)
    }

    fn is_disposable() -> Result<(), String> {
        static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
        FOUND.get_or_init(look_around).clone()
    }

    fn lay(laid: &mut Option<Vec<Identity>>, wanted: &[(PathBuf, OwnedFd)]) -> Result<OwnedFd, Failure> {
        let identities = super::identities(wanted)?;
        let root = layers::open(Path::new("/")).during(|| "open `/`")?;
        let known = laid.take();
        let fits = |known: &Vec<Identity>| identities.starts_with(known) && known.iter().all(Option::is_some);
        let there = if let Some(known) = known.filter(fits) {
            known.len()
        } else {
            entry::clear(root.as_fd()).during(|| "empty the container's file system")?;
            0
        };
        let aside = Path::new("/").join(ASIDE);
        if entry::look(root.as_fd(), OsStr::new(ASIDE)).during(|| "look into `/`")?.is_none() {
            fs::create_dir(&aside).during(|| format!("make `{}`", aside.display()))?;
        }
        super::lay_missing(&root, wanted, there)?;
        *laid = Some(identities);
        Ok(root)
    }
}

impl Sandbox for Container {
    fn name(&self) -> &'static str {
        "root"
    }

    fn run(
        &self,
        spec: &RunSpec,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, Error> {
        check(spec)?;
        Self::is_disposable().map_err(|why| Error::NoWay(format!("  {why}")))?;
        let sources = spec.mounts.iter().flat_map(|mount| mount.source.paths());
        let paths = spec.lowers.iter().chain([&spec.upper, &spec.work]).chain(sources);
        // What is missing is told where it is used.
        for path in paths.filter(|path| path.exists()) {
            outlives(path).map_err(|what| Error::Unsupported {
                sandbox: "root",
                what,
                help: "keep the store and the output on volumes".to_owned(),
            })?;
        }
        let mut laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner);
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let changes = Changes::open(spec)?;
        let root = Self::lay(&mut laid, &changes.layers)?;
        // Unknown until the command has ended well.
        let known = laid.take();
        let bench = Bench {
            root: &root,
            aside: &Path::new("/").join(ASIDE),
            hidden: Some(OsStr::new(ASIDE)),
            devices: false,
            ground: Ground::Container,
        };
        let finished = bench.run(spec, &changes, output, cancel)?;
        *laid = known.map(|known| outcome(known, &changes)).transpose()?;
        Ok(finished)
    }
}

fn look_around() -> Result<(), String> {
    let namespace =
        fs::read_link("/proc/self/ns/pid").map_err(|error| format!("/proc is missing: {error}"))?;
    if namespace == Path::new(FIRST_PID_NAMESPACE) {
        return Err("the process is not in a container of its own (it has the machine's pids)".to_owned());
    }
    if !Path::new(DISPOSABLE_MARK).exists() {
        return Err(format!(
            "the container's file system is not marked by `{DISPOSABLE_MARK}` as one to be emptied"
        ));
    }
    Root::check_rights()
}

/// Refuses a path that goes when the container's file system is emptied.
fn outlives(path: &Path) -> Result<(), String> {
    let mount = |path: &Path| {
        entry::mount_of(path).map_err(|error| format!("failed to look at `{}`: {error}", path.display()))
    };
    if mount(path)? == mount(Path::new("/"))? {
        return Err(format!(
            "`{}`, which lies in the container's own file system and not on a volume",
            path.display()
        ));
    }
    Ok(())
}
