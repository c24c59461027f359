//! What was imported: steps by key, on the layers that they were made on, under names that are the same in every store.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slipway_oci::{Descriptor, Digest, Reference};
use slipway_store::{ContentKey, LayerId, Record};

use super::format::{Document, Step};
use crate::engine::lookup::BELOW;

/// Where the blobs of a cache lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// In a repository.
    Registry(Reference),
    /// In an OCI layout.
    Folder(PathBuf),
}

impl Place {
    /// Returns the repository.
    pub fn repository(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            Self::Folder(_) => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A cache as it was read: checked, and not looked into yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    /// Where its blobs lie.
    pub place: Place,
    /// Its steps.
    pub document: Document,
    /// The layers that they name.
    pub blobs: Vec<Descriptor>,
}

impl Source {
    /// Leaves out what a build with these keys cannot ask for: neither by key, nor by content and what lies on that.
    pub fn narrow(&mut self, wanted: &HashSet<Digest>) {
        let steps = &self.document.steps;
        let mut needed: Vec<bool> = Vec::with_capacity(steps.len());
        let mut by_content: Vec<bool> = Vec::with_capacity(steps.len());
        for step in steps {
            let below = step.below.and_then(|below| by_content.get(below).copied()).unwrap_or(false);
            by_content.push(below || step.content.is_some());
            needed.push(below || step.content.is_some() || step.keys.iter().any(|key| wanted.contains(key)));
        }
        for (at, step) in steps.iter().enumerate().rev() {
            if let Some(below) = step.below.filter(|below| needed[at] && *below < at) {
                needed[below] = true;
            }
        }
        let mut numbers = vec![0; steps.len()];
        let mut kept: Vec<Step> = Vec::new();
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| needed[*at]) {
            numbers[at] = kept.len();
            kept.push(Step { below: step.below.map(|below| numbers[below]), ..step.clone() });
        }
        let named: HashSet<Digest> = kept.iter().map(|step| step.blob).collect();
        self.blobs.retain(|blob| named.contains(&blob.digest));
        self.document.steps = kept;
    }
}

/// A layer that was imported: by name only, until somebody needs it.
#[derive(Clone, Debug)]
pub struct ImportedLayer {
    /// Its name.
    pub id: LayerId,
    /// The name of the tree below it, as records hold it.
    pub below: String,
    /// Its blob.
    pub blob: Descriptor,
    /// The digest of its archive before compression.
    pub diff_id: Digest,
    /// Where its blob lies.
    pub place: Place,
    /// The keys that it is known by, the one under which it was made first.
    pub keys: Vec<Digest>,
    content: Option<ContentKey>,
    created: Timestamp,
    seconds: f64,
    size: u64,
    /// The step below, and the base image of the lowest one.
    parent: Option<usize>,
    base: String,
}

impl ImportedLayer {
    /// Returns its record, as the store would have it.
    pub fn record(&self) -> Record {
        Record {
            layer: Some(self.id),
            created: self.created,
            seconds: self.seconds,
            size: self.size,
            parts: vec![(BELOW.to_owned(), self.below.clone())],
            made: self.keys.first().copied(),
            content: self.content,
        }
    }
}

/// Everything that was imported for a build.
#[derive(Debug, Default)]
pub struct Imported {
    layers: Vec<ImportedLayer>,
    by_key: HashMap<Digest, Vec<usize>>,
    by_id: HashMap<LayerId, usize>,
    by_blob: HashMap<Digest, usize>,
    markers: HashSet<Digest>,
    /// Layers that turned out not to be there, or not to be what was said.
    lost: Mutex<HashSet<LayerId>>,
}

impl Imported {
    /// Returns what caches offer; of two that know the same step, the first one counts.
    pub fn new(sources: &[Source]) -> Self {
        let mut all = Self::default();
        for source in sources {
            all.add(source);
        }
        all
    }

    fn add(&mut self, source: &Source) {
        let blobs: HashMap<&Digest, &Descriptor> =
            source.blobs.iter().map(|blob| (&blob.digest, blob)).collect();
        // The number here of each step of the document; none where something below it is missing.
        let mut numbers: Vec<Option<usize>> = Vec::with_capacity(source.document.steps.len());
        for step in &source.document.steps {
            let below = step.below.map(|below| numbers.get(below).copied().flatten());
            let number = match (blobs.get(&step.blob), below) {
                (None, _) | (_, Some(None)) => None,
                (Some(blob), parent) => Some(self.insert(step, blob, parent.flatten(), &source.place)),
            };
            numbers.push(number);
        }
    }

    fn insert(&mut self, step: &Step, blob: &Descriptor, parent: Option<usize>, place: &Place) -> usize {
        let parent_layer = parent.and_then(|parent| self.layers.get(parent));
        let below = parent_layer.map_or_else(|| step.base.clone(), |layer| layer.id.to_string());
        let base = parent_layer.map_or_else(|| step.base.clone(), |layer| layer.base.clone());
        // The name says all that the tree is made of, so whoever imports it gives it the same name. The time is in it since
        // a RUN and the COPY of what it made may be the same layer on the same image, made at two times.
        let id =
            LayerId::step(Digest::of(format!("imported layer\n{below}\n{}\n{}", step.diff_id, step.created)));
        let number = self.layers.len();
        for key in step.keys.iter().chain(step.content.as_ref().map(|content| &content.key)) {
            self.by_key.entry(*key).or_default().push(number);
        }
        self.markers.extend(step.content.map(|content| content.marker));
        self.by_id.entry(id).or_insert(number);
        self.by_blob.entry(blob.digest).or_insert(number);
        self.layers.push(ImportedLayer {
            id,
            below,
            blob: blob.clone(),
            diff_id: step.diff_id,
            place: place.clone(),
            keys: step.keys.clone(),
            content: step.content,
            created: step.created,
            seconds: step.seconds,
            size: step.size,
            parent,
            base,
        });
        number
    }

    /// Tells whether nothing was imported.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Tells whether a key is known at all, on whatever tree.
    pub fn knows(&self, key: &Digest) -> bool {
        self.by_key.get(key).is_some_and(|all| all.iter().any(|at| self.usable(*at)))
    }

    /// Returns the bytes of the files that a key gave, on whatever tree.
    pub fn size(&self, key: &Digest) -> Option<u64> {
        let first = self.by_key.get(key)?.first()?;
        self.layers.get(*first).map(|layer| layer.size)
    }

    /// Tells whether a content key with this marker is known.
    pub fn has_marker(&self, marker: &Digest) -> bool {
        self.markers.contains(marker)
    }

    /// Returns the layer that a key gave on this tree.
    pub fn find(&self, key: &Digest, below: &str) -> Option<(LayerId, Record)> {
        let all = self.by_key.get(key)?.iter();
        let fits = |at: &&usize| self.layers[**at].below == below && self.usable(**at);
        all.filter(|at| self.usable(**at))
            .find(fits)
            .map(|at| (self.layers[*at].id, self.layers[*at].record()))
    }

    /// Returns all layers down to the base image that a key gave, lowest first: `count` of them.
    pub fn chain(&self, key: &Digest, base: &str, count: usize) -> Option<Vec<(LayerId, Record)>> {
        self.by_key.get(key)?.iter().find_map(|at| {
            if self.layers[*at].base != base || !self.usable(*at) {
                return None;
            }
            let down = std::iter::successors(Some(*at), |at| self.layers[*at].parent);
            let mut chain: Vec<_> =
                down.map(|at| (self.layers[at].id, self.layers[at].record())).take(count + 1).collect();
            chain.reverse();
            (chain.len() == count).then_some(chain)
        })
    }

    /// Returns a layer by name.
    pub fn layer(&self, id: &LayerId) -> Option<&ImportedLayer> {
        self.by_id.get(id).map(|at| &self.layers[*at])
    }

    /// Returns a layer with this blob.
    pub fn layer_with(&self, blob: &Digest) -> Option<&ImportedLayer> {
        self.by_blob.get(blob).map(|at| &self.layers[*at])
    }

    /// Returns the record of a layer by its name.
    pub fn record(&self, id: &LayerId) -> Option<Record> {
        self.layer(id).map(ImportedLayer::record)
    }

    /// Forgets a layer, and with it all that lies on it.
    pub fn lose(&self, id: LayerId) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Tells whether a layer and all below it can be had, for all that is known.
    fn usable(&self, at: usize) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.is_empty()
            || std::iter::successors(Some(at), |at| self.layers[*at].parent)
                .all(|at| !lost.contains(&self.layers[at].id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, below: Option<usize>) -> Step {
        Step {
            below,
            base: String::new(),
            blob: Digest::of(format!("blob {name}")),
            diff_id: Digest::of(format!("layer {name}")),
            keys: vec![Digest::of(name)],
            content: None,
            created: Timestamp::UNIX_EPOCH,
            seconds: 1.0,
            size: 1,
        }
    }

    fn source(steps: Vec<Step>) -> Source {
        let blobs = steps.iter().map(|step| Descriptor::new("", step.blob, 1)).collect();
        let place = Place::Registry("registry.example/cache".parse().expect("a name"));
        Source { place, document: Document { version: 1, steps }, blobs }
    }

    #[test]
    fn a_layer_is_found_on_its_own_tree_only() {
        let all = Imported::new(&[source(vec![step("a", None), step("b", Some(0)), step("c", Some(1))])]);
        let (a, _) = all.find(&Digest::of("a"), "").expect("the first step");
        assert!(all.find(&Digest::of("b"), "").is_none());
        let (b, record) = all.find(&Digest::of("b"), &a.to_string()).expect("the second step");
        assert_eq!(record.layer, Some(b));
        let chain = all.chain(&Digest::of("c"), "", 3).expect("the whole chain");
        assert_eq!(chain.iter().map(|(layer, _)| *layer).take(2).collect::<Vec<_>>(), [a, b]);
        assert!(all.chain(&Digest::of("c"), "", 2).is_none(), "of another length");
        assert!(all.chain(&Digest::of("c"), "sha256:other", 3).is_none(), "on another image");
    }

    #[test]
    fn names_are_the_same_for_whoever_imports() {
        let one = Imported::new(&[source(vec![step("x", None), step("a", None), step("b", Some(1))])]);
        let two = Imported::new(&[source(vec![step("a", None), step("b", Some(0))])]);
        let id = |all: &Imported| all.chain(&Digest::of("b"), "", 2).expect("a chain")[1].0;
        assert_eq!(id(&one), id(&two));
    }

    #[test]
    fn the_same_layer_made_at_two_times_keeps_both() {
        let late = Timestamp::from_second(9).expect("a time");
        let copied = Step { keys: vec![Digest::of("copy")], created: late, ..step("a", None) };
        let all = Imported::new(&[source(vec![step("a", None), copied])]);
        let of = |key: &str| all.find(&Digest::of(key), "").expect("there");
        let (run, copy) = (of("a"), of("copy"));
        assert_ne!(run.0, copy.0);
        assert_eq!(all.record(&run.0).map(|record| record.created), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(all.record(&copy.0).map(|record| record.created), Some(late));
    }

    #[test]
    fn what_lies_on_a_lost_layer_is_lost() {
        let all = Imported::new(&[source(vec![step("a", None), step("b", Some(0)), step("c", None)])]);
        let (a, _) = all.find(&Digest::of("a"), "").expect("there");
        all.lose(a);
        assert!(!all.knows(&Digest::of("a")) && !all.knows(&Digest::of("b")) && all.knows(&Digest::of("c")));
        assert!(all.find(&Digest::of("b"), &a.to_string()).is_none());
        assert!(all.chain(&Digest::of("b"), "", 2).is_none());
    }

    #[test]
    fn narrowing_keeps_what_is_wanted_and_all_below_it() {
        let mut source =
            source(vec![step("x", None), step("a", None), step("y", Some(0)), step("b", Some(1))]);
        source.narrow(&HashSet::from([Digest::of("b")]));
        assert_eq!(source.document.steps.len(), 2);
        assert_eq!(source.document.steps[1].below, Some(0));
        assert_eq!(source.blobs.len(), 2);
        assert!(Imported::new(&[source]).chain(&Digest::of("b"), "", 2).is_some());
    }

    #[test]
    fn a_step_whose_blob_is_missing_is_left_out_with_all_on_it() {
        let mut source = source(vec![step("a", None), step("b", Some(0)), step("c", None)]);
        source.blobs.remove(0);
        let all = Imported::new(&[source]);
        assert!(!all.knows(&Digest::of("a")) && !all.knows(&Digest::of("b")) && all.knows(&Digest::of("c")));
    }
}
