//! The ways for places where nothing can be mounted: the layers are copied into a tree of real files, the command runs in it,
//! and what it changed is found by comparing.
//!
//! What they do not give: a network namespace (asked for, it is an error), a size for tmpfs mounts, mounts that refuse
//! writing (a write goes to a copy), and, where the tree is entered by `chroot`, a /proc. They are for containers that are
//! thrown away afterwards: a command shares the pids and the network of the container, and is root of it.

mod container;
mod entry;
mod guests;
mod layers;
mod snapshot;

use std::{
    ffi::OsStr,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

pub use container::{Container, DISPOSABLE_MARK};
use rustix::{
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::CapabilitySet,
};

use self::{guests::Guests, snapshot::Snapshot};
use crate::{
    Cancel, Error, Finished, Sandbox, Stream,
    error::{During, Failure},
    overlay, probe,
    spec::{Network, RunSpec},
    supervise,
    wire::{Ground, Order},
};

/// Longer than the coarsest clock of file systems: 100 ticks a second.
const TICK: Duration = Duration::from_millis(12);
/// How many trees are kept for later commands on the same layers.
const KEPT: usize = 2;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Runs commands in trees of real files that `chroot` enters, without mounts and namespaces.
#[derive(Debug)]
pub struct Root {
    base: PathBuf,
    trees: Mutex<Vec<Tree>>,
}

/// A tree of real files.
#[derive(Debug)]
struct Tree {
    /// Holds `tree` and `aside`.
    place: PathBuf,
    /// What was laid into it, lowest first.
    layers: Vec<Identity>,
}

/// A directory, whatever its name is now; `None` where the file system cannot tell it from a later one.
type Identity = Option<(entry::Number, entry::Time)>;

impl Root {
    /// Keeps its trees in a directory that it makes in `scratch`, and removes with itself.
    pub fn new(scratch: &Path) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = scratch.join(format!(".root-{}-{number}", std::process::id()));
        Self { base, trees: Mutex::new(Vec::new()) }
    }

    /// Returns why this process cannot do it.
    pub(crate) fn check_rights() -> Result<(), String> {
        let wanted = CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::FOWNER
            | CapabilitySet::MKNOD
            | CapabilitySet::SETGID
            | CapabilitySet::SETUID
            | CapabilitySet::SYS_CHROOT;
        let names = "one of CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_MKNOD, CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT";
        probe::require(wanted, names)
    }

    /// Returns a tree with exactly these layers, lowest first: one that has the lower of them already, or a new one.
    fn tree(&self, wanted: &[(PathBuf, OwnedFd)]) -> Result<(Tree, OwnedFd), Failure> {
        let identities = identities(wanted)?;
        let mut tree = self.kept(&identities).map_or_else(|| self.fresh(), Ok)?;
        let laid = layers::open(&tree.place.join("tree"))
            .during(|| format!("open `{}`", tree.place.display()))
            .and_then(|root| lay_missing(&root, wanted, tree.layers.len()).map(|()| root));
        match laid {
            Ok(root) => {
                tree.layers = identities;
                Ok((tree, root))
            }
            Err(failure) => {
                let _ = fs::remove_dir_all(&tree.place);
                Err(failure)
            }
        }
    }

    /// Takes the kept tree that has the most of these layers.
    fn kept(&self, wanted: &[Identity]) -> Option<Tree> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |tree: &Tree| wanted.starts_with(&tree.layers) && tree.layers.iter().all(Option::is_some);
        let (index, _) = trees
            .iter()
            .enumerate()
            .filter(|(_, tree)| fits(tree))
            .max_by_key(|(_, tree)| tree.layers.len())?;
        Some(trees.swap_remove(index))
    }

    fn fresh(&self) -> Result<Tree, Failure> {
        let place = self.base.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
        for name in ["tree", "aside"] {
            let path = place.join(name);
            fs::create_dir_all(&path).during(|| format!("make `{}`", path.display()))?;
        }
        Ok(Tree { place, layers: Vec::new() })
    }

    fn keep(&self, tree: Tree) {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.push(tree);
        if trees.len() > KEPT {
            let oldest = trees.remove(0);
            let _ = fs::remove_dir_all(oldest.place);
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

impl Sandbox for Root {
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
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let changes = Changes::open(spec)?;
        let (mut tree, root) = self.tree(&changes.layers)?;
        let bench = Bench {
            root: &root,
            aside: &tree.place.join("aside"),
            hidden: None,
            devices: true,
            ground: Ground::Directory(tree.place.join("tree")),
        };
        let ran = bench.run(spec, &changes, output, cancel);
        match ran.and_then(|finished| Ok((finished, outcome(tree.layers.split_off(0), &changes)?))) {
            Ok((finished, layers)) => {
                tree.layers = layers;
                self.keep(tree);
                Ok(finished)
            }
            Err(error) => {
                let _ = fs::remove_dir_all(tree.place);
                Err(error)
            }
        }
    }
}

/// The layers of a command and where its changes go.
struct Changes {
    /// All that lies in the tree before, lowest first: the layers, and the earlier part of the changes if there is one.
    layers: Vec<(PathBuf, OwnedFd)>,
    /// The layers alone, topmost first.
    lowers: Vec<OwnedFd>,
    upper: OwnedFd,
    continued: bool,
}

impl Changes {
    fn open(spec: &RunSpec) -> Result<Self, Failure> {
        let upper = layers::open(&spec.upper).during(|| format!("open `{}`", spec.upper.display()))?;
        let continued = !entry::names(upper.as_fd()).during(|| "look into the upper directory")?.is_empty();
        let earlier = continued.then_some(&spec.upper);
        let layers = open_all(spec.lowers.iter().rev().chain(earlier))?;
        let lowers = open_all(spec.lowers.iter())?.into_iter().map(|(_, layer)| layer).collect();
        Ok(Self { layers, lowers, upper, continued })
    }
}

/// A tree made ready, for one command.
struct Bench<'a> {
    root: &'a OwnedFd,
    aside: &'a Path,
    /// A name in the root that is not the image's.
    hidden: Option<&'a OsStr>,
    /// Whether /dev has to be made.
    devices: bool,
    ground: Ground,
}

impl Bench<'_> {
    fn run(
        self,
        spec: &RunSpec,
        changes: &Changes,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, Error> {
        // The command is root of the same container: nothing of ours may be read through a /proc that it finds.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).during(|| "shield the program")?;
        // What an earlier command left of what stood in for its mounts.
        layers::open(self.aside)
            .and_then(|aside| entry::clear(aside.as_fd()))
            .during(|| "empty the directory aside")?;
        let before =
            Snapshot::take(self.root.as_fd(), self.hidden).during(|| "look at the files of the layers")?;
        // A change within the same tick of the clock could not be told from none.
        std::thread::sleep(TICK);
        let mut guests = Guests::new(self.root.as_fd(), self.aside);
        if let Err(failure) = guests.place_all(spec, self.devices) {
            // A cache that was moved in already has to go back.
            guests.take_out()?;
            return Err(failure.into());
        }
        // The secrets lie in the tree already.
        let alone = RunSpec { mounts: Vec::new(), ..spec.clone() };
        let order = Order { spec: alone, ground: self.ground, probe: false };
        let finished = supervise::run(&order, output, cancel);
        let moved = guests.take_out()?;
        let finished = finished?;
        snapshot::write_difference(
            &before,
            self.root.as_fd(),
            changes.upper.as_fd(),
            &changes.lowers,
            &moved,
        )
        .during(|| "find the changes of the command")?;
        Ok(finished)
    }
}

/// Refuses what cannot be honoured.
fn check(spec: &RunSpec) -> Result<(), Error> {
    overlay::check(spec, usize::MAX)?;
    if spec.network == Network::None {
        return Err(Error::Unsupported {
            sandbox: "root",
            what: "`--network=none`: it cannot make a network namespace".to_owned(),
            help: "run the build where the overlay isolation works, or leave the flag out".to_owned(),
        });
    }
    Ok(())
}

/// Lays the layers from the `there`th on over those below them.
fn lay_missing(root: &OwnedFd, wanted: &[(PathBuf, OwnedFd)], there: usize) -> Result<(), Failure> {
    wanted.iter().skip(there).try_for_each(|(path, layer)| {
        layers::apply(layer.as_fd(), root.as_fd()).during(|| format!("copy the layer `{}`", path.display()))
    })
}

/// Returns what a tree holds after a command: its changes are the topmost layer.
fn outcome(mut layers: Vec<Identity>, changes: &Changes) -> Result<Vec<Identity>, Failure> {
    if changes.continued {
        layers.pop();
    }
    layers.push(identity(&changes.upper).during(|| "look at the upper directory")?);
    Ok(layers)
}

fn open_all<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<(PathBuf, OwnedFd)>, Failure> {
    paths
        .map(|path| {
            let layer = layers::open(path).during(|| format!("open the layer `{}`", path.display()))?;
            Ok((path.clone(), layer))
        })
        .collect()
}

fn identities(layers: &[(PathBuf, OwnedFd)]) -> Result<Vec<Identity>, Failure> {
    let look = |(path, layer): &(PathBuf, OwnedFd)| {
        identity(layer).during(|| format!("look at the layer `{}`", path.display()))
    };
    layers.iter().map(look).collect()
}

fn identity(directory: &OwnedFd) -> io::Result<Identity> {
    let meta = entry::meta_of(directory.as_fd())?;
    Ok(meta.born.map(|born| (meta.identity(), born)))
}
