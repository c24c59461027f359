//! What travels, as JSON: strict and bounded in reading, the same bytes for the same content in writing.
//!
//! Version 1. Steps stand in an order in which each comes after the step below it, so a reader needs no search and a
//! cycle cannot be written down.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slipway_oci::Digest;
use slipway_store::ContentKey;

/// The media type of the configuration of a cache's manifest.
pub const MEDIA_TYPE: &str = "application/vnd.slipway.cache.config.v1+json";

/// The field of an image's configuration that holds its inline cache.
pub const INLINE_FIELD: &str = "dev.slipway.cache.v1";

/// BuildKit's field of the same purpose; an image built on another one must not inherit either of them.
pub const BUILDKIT_INLINE_FIELD: &str = "moby.buildkit.cache.v0";

/// The version of these documents; another one is not understood.
pub const VERSION: u32 = 1;

/// The most bytes of a document.
pub const MAX_BYTES: u64 = 8 << 20;

/// The most steps of a document.
pub const MAX_STEPS: usize = 10_000;

/// The most steps on top of each other, as many layers as engines can mount.
pub const MAX_DEPTH: usize = 500;

/// The most keys of one step.
const MAX_KEYS: usize = 16;

/// The most bytes of a layer, packed or not: sums of them stay numbers.
pub const MAX_LAYER: u64 = 1 << 48;

/// The most seconds of a step.
const MAX_SECONDS: f64 = 1e8;

/// Steps and their layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// The steps, each after the one below it.
    pub steps: Vec<Step>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The number of the step below; none for the first step on a base image or on nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<usize>,
    /// Without a step below: the name of the base image's layers, empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// The layer: one of the manifest's.
    pub blob: Digest,
    /// The digest of the layer's archive before compression.
    pub diff_id: Digest,
    /// The keys that it is known by; the first is the one under which it was made.
    pub keys: Vec<Digest>,
    /// Its key by content, where it reads other stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentKey>,
    /// When it was made.
    pub created: Timestamp,
    /// How long that took.
    #[serde(default)]
    pub seconds: f64,
    /// Bytes of its regular files.
    #[serde(default)]
    pub size: u64,
}

/// The inline form: one entry a layer that a step made, the topmost ones of the image. All else is in the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inline {
    /// [`VERSION`].
    pub version: u32,
    /// The steps, lowest first.
    pub steps: Vec<InlineStep>,
}

/// A step of an inline cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InlineStep {
    /// See [`Step::keys`].
    pub keys: Vec<Digest>,
    /// See [`Step::content`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentKey>,
    /// See [`Step::size`].
    #[serde(default)]
    pub size: u64,
}

/// Why a cache was not understood.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not JSON of this form.
    #[error("the cache's document is not understood")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("the cache was written in version {0} of the format, and only {VERSION} is understood")]
    Version(u32),
    /// More than anybody needs.
    #[error("the cache has {count} {what}, more than the limit of {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A step contradicts the rest.
    #[error("step {step} of the cache {problem}")]
    Step {
        /// Its number.
        step: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Document {
    /// Reads a document. `has` tells whether the manifest has a blob.
    pub fn read(bytes: &[u8], has: impl Fn(&Digest) -> bool) -> Result<Self, FormatError> {
        let document: Self = serde_json::from_slice(bytes)?;
        if document.version != VERSION {
            return Err(FormatError::Version(document.version));
        }
        within("steps", document.steps.len(), MAX_STEPS)?;
        let mut depths: Vec<usize> = Vec::with_capacity(document.steps.len());
        for (at, step) in document.steps.iter().enumerate() {
            let wrong = |problem| Err(FormatError::Step { step: at, problem });
            let depth = match step.below {
                None => 1,
                Some(below) => match depths.get(below) {
                    Some(depth) if step.base.is_empty() => depth + 1,
                    Some(_) => return wrong("has both a step and an image below it"),
                    None => return wrong("lies on a step that does not come before it"),
                },
            };
            within("steps on top of each other", depth, MAX_DEPTH)?;
            depths.push(depth);
            if !step.base.is_empty() && step.base.parse::<Digest>().is_err() {
                return wrong("names no base image");
            }
            keys(at, &step.keys)?;
            if step.size > MAX_LAYER || !(0.0..=MAX_SECONDS).contains(&step.seconds) {
                return wrong("is larger or took longer than can be");
            }
            if !has(&step.blob) {
                return wrong("names a layer that the manifest does not have");
            }
        }
        Ok(document)
    }

    /// Returns the document's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Our own plain types cannot fail to become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Inline {
    /// Reads the field of a configuration; `layers` is how many the image has.
    pub fn read(value: &serde_json::Value, layers: usize) -> Result<Self, FormatError> {
        let inline = Self::deserialize(value)?;
        if inline.version != VERSION {
            return Err(FormatError::Version(inline.version));
        }
        within("steps for the image's layers", inline.steps.len(), layers.min(MAX_DEPTH))?;
        for (at, step) in inline.steps.iter().enumerate() {
            keys(at, &step.keys)?;
            if step.size > MAX_LAYER {
                return Err(FormatError::Step { step: at, problem: "is larger than can be" });
            }
        }
        Ok(inline)
    }
}

fn keys(step: usize, keys: &[Digest]) -> Result<(), FormatError> {
    if keys.is_empty() {
        return Err(FormatError::Step { step, problem: "has no key" });
    }
    within("keys of one step", keys.len(), MAX_KEYS)
}

fn within(what: &'static str, count: usize, limit: usize) -> Result<(), FormatError> {
    if count > limit { Err(FormatError::TooMany { what, count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn step(below: Option<usize>, base: &str) -> Value {
        json!({
            "below": below, "base": base, "blob": Digest::of("blob"), "diffId": Digest::of("layer"),
            "keys": [Digest::of("key")], "created": "2024-01-01T00:00:00Z",
        })
    }

    fn read(steps: &[Value]) -> Result<Document, FormatError> {
        let text = json!({"version": 1, "steps": steps}).to_string();
        Document::read(text.as_bytes(), |blob| *blob == Digest::of("blob"))
    }

    #[test]
    fn what_is_written_is_read() {
        let base = Digest::of("base").to_string();
        let document = read(&[step(None, &base), step(Some(0), ""), step(Some(0), "")]).expect("readable");
        let again = Document::read(&document.to_bytes(), |_| true).expect("readable");
        assert_eq!(document, again);
    }

    #[test]
    fn contradictions_are_refused() {
        let changed = |field: &str, value: Value| {
            let mut step = step(None, "");
            step[field] = value;
            step
        };
        for (words, steps) in [
            ("does not come before it", vec![step(Some(0), "")]),
            ("does not come before it", vec![step(None, ""), step(Some(2), ""), step(None, "")]),
            ("both a step and an image", vec![step(None, ""), step(Some(0), &Digest::of("").to_string())]),
            ("names no base image", vec![step(None, "debian")]),
            ("has no key", vec![changed("keys", json!([]))]),
            ("keys of one step", vec![changed("keys", json!(vec![Digest::of("key"); 17]))]),
            ("the manifest does not have", vec![changed("blob", json!(Digest::of("another")))]),
            ("not understood", vec![changed("diffId", json!("../../etc/passwd"))]),
            ("not understood", vec![changed("size", json!(-1))]),
            ("larger or took longer", vec![changed("size", json!(u64::MAX))]),
            ("larger or took longer", vec![changed("seconds", json!(-1.0))]),
            ("on top of each other", (0..501_usize).map(|n| step(n.checked_sub(1), "")).collect()),
            ("10001 steps", vec![step(None, ""); 10_001]),
        ] {
            let error = read(&steps).expect_err(words);
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
        let future = br#"{"version": 2, "steps": []}"#;
        assert!(matches!(Document::read(future, |_| true), Err(FormatError::Version(2))));
    }

    #[test]
    fn an_inline_cache_has_no_more_steps_than_the_image_has_layers() {
        let step = json!({"keys": [Digest::of("key")]});
        let value = json!({"version": 1, "steps": [step, step]});
        assert!(Inline::read(&value, 2).is_ok());
        assert!(Inline::read(&value, 1).is_err());
        assert!(Inline::read(&json!({"version": 1, "steps": [{"keys": []}]}), 1).is_err());
        assert!(Inline::read(&json!("what"), 1).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::read(&bytes, |_| true);
        }

        #[test]
        fn no_numbers_make_it_panic(below in proptest::collection::vec(any::<Option<usize>>(), 0..20)) {
            let steps: Vec<Value> = below.into_iter().map(|below| step(below, "")).collect();
            let _ = read(&steps);
        }
    }
}
