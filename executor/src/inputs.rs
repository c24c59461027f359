//! The file trees that steps read: stages, images, contexts. Images come only when somebody asks for their files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use slipway_graph::ir::{Graph, ImageId, Input, StageId};
use slipway_store::{LayerId, Store};

use crate::engine::{Cause, Chain};
use crate::tree::LayerStack;

/// Brings images into the store.
pub trait Images: Send + Sync {
    /// Returns the unpacked layers of an image, lowest first, fetching what is missing.
    fn layers(&self, image: ImageId) -> Result<Vec<LayerId>, Cause>;

    /// Brings those built layers of a tree that were imported, and are not here yet.
    fn bring(&self, _tree: &Chain) -> Result<(), Cause> {
        Ok(())
    }
}

/// A build context on disk.
#[derive(Clone, Debug, Default)]
pub struct ContextTree {
    /// Where it is.
    pub path: PathBuf,
    /// The patterns of its `.dockerignore`, as written; none where nothing is left out.
    pub ignore: Option<String>,
}

/// Everything that steps may read.
pub struct Inputs<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Where layers lie.
    pub store: &'a Store,
    /// Brings images.
    pub images: &'a dyn Images,
    /// Runs what needs the network.
    pub remotes: tokio::runtime::Handle,
    /// Contexts by name.
    pub contexts: BTreeMap<String, ContextTree>,
}

impl Inputs<'_> {
    /// Returns the layers of a tree, lowest first, and brings those that are not here.
    pub fn layers(&self, chain: &Chain) -> Result<Vec<LayerId>, Cause> {
        let mut layers = match chain.image {
            Some(image) => self.images.layers(image)?,
            None => vec![],
        };
        self.images.bring(chain)?;
        layers.extend(&chain.layers);
        Ok(layers)
    }

    /// Returns the layers of a tree on disk, topmost first.
    pub fn paths(&self, chain: &Chain) -> Result<Vec<PathBuf>, Cause> {
        let layers = self.layers(chain)?;
        Ok(layers.iter().rev().map(|layer| self.store.layer_path(layer)).collect())
    }

    /// Opens a tree.
    pub fn stack(&self, chain: &Chain) -> Result<LayerStack, Cause> {
        LayerStack::open(self.paths(chain)?).map_err(crate::local::tree_cause)
    }

    /// Returns the chain of an input that is made of layers; none for a context and for nothing.
    pub fn chain(&self, input: &Input, stages: &BTreeMap<StageId, Chain>) -> Result<Option<Chain>, Cause> {
        match input {
            Input::Stage(id) => {
                let missing = || Cause::Infrastructure(format!("stage {} is read before it is built", id.0));
                stages.get(id).cloned().map(Some).ok_or_else(missing)
            }
            Input::Image(id) => Ok(Some(Chain { image: Some(*id), layers: vec![] })),
            Input::Context(_) | Input::Empty => Ok(None),
        }
    }

    /// Returns a context by name.
    pub fn context(&self, name: &str) -> Result<&ContextTree, Cause> {
        let missing = || Cause::Infrastructure(format!("the build context `{name}` was not provided"));
        self.contexts.get(name).ok_or_else(missing)
    }

    /// Opens an input.
    pub fn open(&self, input: &Input, stages: &BTreeMap<StageId, Chain>) -> Result<LayerStack, Cause> {
        match (input, self.chain(input, stages)?) {
            (_, Some(chain)) => self.stack(&chain),
            (Input::Context(name), None) => {
                LayerStack::plain(&self.context(name)?.path).map_err(crate::local::tree_cause)
            }
            _ => Ok(LayerStack::empty()),
        }
    }
}
