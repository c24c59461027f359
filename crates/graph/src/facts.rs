//! What a build needs to know that does not stand in its Dockerfile: base images and contents.
//!
//! [`crate::lower()`] asks by value and is called again when the answers are known; nothing here fetches anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_oci::{Digest, ImageConfig, Platform};

/// An image whose digest and configuration are needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageNeed {
    /// Its full reference.
    pub reference: String,
    /// For which platform.
    pub platform: Platform,
}

/// What is known of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageFact {
    /// The digest of its manifest for the platform.
    pub digest: Digest,
    /// Its configuration.
    pub config: ImageConfig,
}

/// Something whose content decides a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentNeed {
    /// A part of a build context.
    Tree(Selection),
    /// A download. Its digest is the sha256 of the bytes.
    Url {
        /// Where from.
        url: String,
    },
    /// A git repository. Its digest stands for the commit and everything else that decides the files.
    Git {
        /// The reference as written, fragment and query included.
        url: String,
        /// The commit that it must be.
        checksum: Option<String>,
        /// Keep `.git`.
        keep_git_dir: bool,
    },
}

/// A part of a build context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// The context's name; the main one is `context`.
    pub context: String,
    /// The path or pattern, as in [`crate::ir::CopyItem::Path`].
    pub pattern: String,
    /// True where wildcards in `pattern` have no meaning (mounts).
    pub literal: bool,
    /// `--parents`.
    pub parents: bool,
    /// Patterns to leave out.
    pub exclude: Vec<String>,
}

/// What is known of a content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentFact {
    /// Equal digests, equal results of copying it: names below the selection, types, modes, owners, link targets and
    /// bytes, but no times.
    pub digest: Digest,
    /// The files in it, to explain later what changed; may be left out or cut short.
    pub files: Vec<(String, Digest)>,
}

/// Answers what is known so far.
pub trait Facts {
    /// Returns what is known of an image.
    fn image(&self, need: &ImageNeed) -> Option<&ImageFact>;
    /// Returns what is known of a content.
    fn content(&self, need: &ContentNeed) -> Option<&ContentFact>;
}

/// Facts in two maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownFacts {
    /// Images.
    pub images: BTreeMap<ImageNeed, ImageFact>,
    /// Contents.
    pub contents: BTreeMap<ContentNeed, ContentFact>,
}

impl Facts for KnownFacts {
    fn image(&self, need: &ImageNeed) -> Option<&ImageFact> {
        self.images.get(need)
    }

    fn content(&self, need: &ContentNeed) -> Option<&ContentFact> {
        self.contents.get(need)
    }
}

/// What is missing before a graph can be made: fetch these and lower again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Images, each once, in the order of the file.
    pub images: Vec<ImageNeed>,
    /// Contents, each once, in the order of the file.
    pub contents: Vec<ContentNeed>,
}

impl Needs {
    /// Takes what else is missing.
    pub(crate) fn add(&mut self, more: Self) {
        for image in more.images {
            if !self.images.contains(&image) {
                self.images.push(image);
            }
        }
        let known: std::collections::HashSet<ContentNeed> = self.contents.iter().cloned().collect();
        self.contents.extend(more.contents.into_iter().filter(|need| !known.contains(need)));
    }

    /// Returns true where nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.contents.is_empty()
    }
}
