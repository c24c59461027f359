//! The way for places where nothing can be mounted: the layers are copied into a tree of real files, the command runs in it,
//! and what it changed is found by comparing.
//!
//! What it does not give: a network namespace (asked for, it is an error), a size for tmpfs mounts, mounts that refuse
//! writing (a write goes to a copy), and, where the tree is entered by `chroot`, a /proc. It is for containers that are
//! thrown away afterwards: a command shares the pids and the network of the container, and is root of it.

mod entry;
mod guests;
mod layers;
mod snapshot;

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

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

/// Runs commands in trees of real files, without mounts and namespaces.
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
type Identity = Option<((u32, u32), u64, entry::Time)>;

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
    fn tree(&self, wanted: &[(PathBuf, OwnedFd)]) -> Result<Tree, Failure> {
        let identities = wanted
            .iter()
            .map(|(path, layer)| identity(layer).during(|| format!("look at the layer `{}`", path.display())))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tree = self.kept(&identities).map_or_else(|| self.fresh(), Ok)?;
        let step = || format!("open `{}`", tree.place.display());
        let root = layers::open(&tree.place.join("tree")).during(step)?;
        for (index, (path, layer)) in wanted.iter().enumerate().skip(tree.layers.len()) {
            let laid = layers::apply(layer.as_fd(), root.as_fd());
            if let Err(error) = laid {
                let _ = fs::remove_dir_all(&tree.place);
                return Err(error).during(|| format!("copy the layer `{}`", path.display()));
            }
            tree.layers.push(identities[index]);
        }
        Ok(tree)
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

    fn run_in(
        &self,
        tree: &mut Tree,
        spec: &RunSpec,
        upper: &OwnedFd,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, Error> {
        let (path, aside) = (tree.place.join("tree"), tree.place.join("aside"));
        let root = layers::open(&path).during(|| format!("open `{}`", path.display()))?;
        let before = Snapshot::take(root.as_fd()).during(|| "look at the files of the layers")?;
        // A change within the same tick of the clock could not be told from none.
        std::thread::sleep(TICK);
        let mut guests = Guests::new(root.as_fd(), &aside);
        if let Err(failure) = guests.place_all(spec, true) {
            // A cache that was moved in already has to go back.
            guests.take_out()?;
            return Err(failure.into());
        }
        let order = Order { spec: bare(spec), ground: Ground::Directory(path.clone()), probe: false };
        let finished = supervise::run(&order, output, cancel);
        let moved = guests.take_out()?;
        let finished = finished?;
        let lowers = open_all(spec.lowers.iter())?;
        let lowers: Vec<OwnedFd> = lowers.into_iter().map(|(_, fd)| fd).collect();
        snapshot::write_difference(&before, root.as_fd(), upper.as_fd(), &lowers, &moved)
            .during(|| "find the changes of the command")?;
        Ok(finished)
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
        overlay::check(spec, usize::MAX)?;
        if spec.network == Network::None {
            return Err(Error::Unsupported {
                sandbox: "root",
                what: "`--network=none`: it cannot make a network namespace".to_owned(),
                help: "run the build where the overlay isolation works, or leave the flag out".to_owned(),
            });
        }
        // The command is root of the same container: nothing of ours may be read through a /proc that it finds.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).during(|| "shield the program")?;
        let upper = layers::open(&spec.upper).during(|| format!("open `{}`", spec.upper.display()))?;
        let continued = !entry::names(upper.as_fd()).during(|| "look into the upper directory")?.is_empty();
        let changes = continued.then_some(&spec.upper);
        let mut tree = self.tree(&open_all(spec.lowers.iter().rev().chain(changes))?)?;
        if cancel.is_cancelled() {
            self.keep(tree);
            return Err(Error::Cancelled);
        }
        match self.run_in(&mut tree, spec, &upper, output, cancel) {
            Ok(finished) => {
                if continued {
                    tree.layers.pop();
                }
                tree.layers.push(identity(&upper).during(|| "look at the upper directory")?);
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

/// What the process that runs the command needs to know: not the secrets, which lie in the tree already.
fn bare(spec: &RunSpec) -> RunSpec {
    RunSpec { mounts: Vec::new(), ..spec.clone() }
}

fn open_all<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<(PathBuf, OwnedFd)>, Failure> {
    paths
        .map(|path| {
            let layer = layers::open(path).during(|| format!("open the layer `{}`", path.display()))?;
            Ok((path.clone(), layer))
        })
        .collect()
}

fn identity(directory: &OwnedFd) -> io::Result<Identity> {
    let meta = entry::meta_of(directory.as_fd())?;
    Ok(meta.born.map(|born| (meta.device, meta.inode, born)))
}
