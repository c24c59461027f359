//! From finished stages to images: archives of layers, configurations, manifests, and where they go.

pub mod bundle;
pub mod config;
pub mod export;
pub mod forms;
pub mod image;
pub mod publish;
mod stream;

use slipway_oci::Digest;

use crate::engine::Cause;

/// Why an image could not be made or brought where it belongs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] slipway_store::Error),
    /// A layer could not be written as an archive.
    #[error("a layer of `{stage}` cannot be written as an archive")]
    Archive {
        /// The stage.
        stage: String,
        /// Why.
        source: crate::tree::TreeError,
    },
    /// The base image could not be had.
    #[error("{0}")]
    Base(Cause),
    /// The registry.
    #[error("pushing failed")]
    Push(#[source] Box<slipway_registry::Error>),
    /// A name cannot be pushed to.
    #[error("{0}")]
    Name(#[from] slipway_oci::reference::InvalidReference),
    /// Writing an output.
    #[error("failed to write the output `{path}`")]
    Output {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Docker archives know no index.
    #[error(
        "`{path}`: a docker archive holds an image for one platform; write type=oci, or build for one --platform"
    )]
    OnePlatform {
        /// Where.
        path: String,
    },
    /// A step's layer is not there any more.
    #[error("the layer of line {line} of `{stage}` is no longer in the store")]
    Lost {
        /// The stage.
        stage: String,
        /// The step's line.
        line: usize,
    },
    /// The base's layers and diff_ids do not pair up.
    #[error("the base image is damaged")]
    Manifest(#[from] slipway_oci::manifest::ManifestError),
    /// A packed layer was not what its name says.
    #[error(
        "the packed layer {digest} was damaged in the cache, and is removed; build again to make it anew"
    )]
    Damaged {
        /// The digest that it should have.
        digest: Digest,
    },
    /// A layer had to be packed again, and the bytes are others now.
    #[error(
        "the packed layer {digest} is nowhere any more, and this version of Slipway packs it to other bytes; build again to make the image anew"
    )]
    Repacked {
        /// The digest that the image was to have.
        digest: Digest,
    },
    /// The store's volume is full.
    #[error("{0}")]
    Full(Cause),
    /// More than anybody would read.
    #[error("the cache is too large to be imported again: {steps} steps (export less: `mode=min`)")]
    CacheTooLarge {
        /// How many steps.
        steps: usize,
    },
    /// A thread died.
    #[error("a background task ended without a result")]
    Died,
    /// A background task failed; the same words as its own error.
    #[error("{0}")]
    Shared(String),
}

impl From<slipway_registry::Error> for AssembleError {
    fn from(error: slipway_registry::Error) -> Self {
        Self::Push(Box::new(error))
    }
}

impl AssembleError {
    /// Tells whether another try may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Push(error) => error.is_transient(),
            Self::Base(cause) => cause.is_retryable(),
            Self::Store(_)
            | Self::Lost { .. }
            | Self::Died
            | Self::Damaged { .. }
            | Self::Repacked { .. } => true,
            _ => false,
        }
    }
}

/// An image that is ready: its documents are in the store.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The configuration.
    pub config: slipway_oci::Descriptor,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// The layers, lowest first.
    pub layers: Vec<slipway_oci::Descriptor>,
    /// How many of them are the base's.
    pub base_layers: usize,
    /// Unpacked bytes of the layers, as far as they are known.
    pub unpacked: u64,
}

impl Ready {
    /// Returns the compressed size of the image.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum::<u64>() + self.config.size
    }
}
