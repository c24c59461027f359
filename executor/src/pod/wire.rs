//! What `conduct` and stage pods write for each other: small files, each complete by rename.
//!
//! `conduct` alone decides what happens. It writes an order into `builds/<id>/orders/<pod>/`; the stage pod, which has the
//! store read-only, carries it out and answers in its outbox. So a stage pod knows nothing of keys and waits for nothing
//! but orders.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use slipway_graph::ir::Graph;
use slipway_oci::Digest;
use slipway_protocol::report::StageReport;
use slipway_store::LayerId;

use crate::engine::{Cause, Exit};

/// The version of these files; pods of one build run the same program, so another version is an error.
pub const VERSION: u32 = 1;

/// The plan of a build, in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanFile {
    /// [`VERSION`].
    pub version: u32,
    /// What to do.
    pub graph: Graph,
    /// The pod of each stage; none where `conduct` does it.
    pub pods: Vec<Option<u32>>,
    /// Contexts by name.
    pub contexts: BTreeMap<String, PlannedContext>,
    /// `Auto`, `Overlay` or `Root`.
    pub isolation: String,
    /// The Dockerfile's path, for people.
    pub dockerfile_path: String,
    /// Its text.
    pub dockerfile: String,
    /// What was built from.
    pub revision: String,
    /// `SOURCE_DATE_EPOCH`, where it is given.
    pub epoch: Option<i64>,
    /// What was imported of caches.
    #[serde(default)]
    pub imported: Vec<crate::cache::Source>,
}

/// A context of a plan.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedContext {
    /// Its tree in the store; none for one that is mounted into the pod.
    pub layer: Option<LayerId>,
    /// A folder below that tree, or the mounted folder.
    pub folder: PathBuf,
    /// The patterns of `.dockerignore`.
    pub ignore: Option<String>,
}

/// A step that a stage pod is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The stage's number in the graph.
    pub stage: usize,
    /// The step's number in the stage.
    pub step: usize,
    /// The tree below: layers in the store, lowest first.
    pub below: Vec<LayerId>,
    /// The trees of stages that it reads.
    pub stages: BTreeMap<usize, Vec<LayerId>>,
    /// The layers of images that it reads.
    pub images: BTreeMap<usize, Vec<LayerId>>,
}

/// What a stage pod answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Bytes of the files that the step added.
    pub size: u64,
    /// How many files, folders and whiteouts it has.
    pub entries: u64,
    /// How its pod keeps commands in.
    #[serde(default)]
    pub isolation: Kept,
    /// Why it failed.
    pub failure: Option<WireCause>,
}

/// How a stage pod keeps commands in, in the words of its report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The way.
    pub way: String,
    /// Why it was taken.
    pub reason: String,
}

/// A [`Cause`] as it crosses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum WireCause {
    Code { code: i32, tail: Vec<String> },
    Signal { signal: i32, tail: Vec<String> },
    OutOfMemory { tail: Vec<String> },
    Instruction(String),
    Image(String),
    NoImage(String),
    Fetch(String),
    Sandbox(String),
    Infrastructure(String),
    Full { why: String, room: String, tail: Vec<String> },
    Cancelled,
}

/// The end of a stage pod's work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// What to report of its stages.
    pub stages: Vec<StageReport>,
}

/// The file that ends a stage pod's work, beside its orders.
pub const END_FILE: &str = "end.json";

impl From<Cause> for WireCause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Command { exit: Exit::Code(code), tail } => Self::Code { code, tail },
            Cause::Command { exit: Exit::Signal(signal), tail } => Self::Signal { signal, tail },
            Cause::Command { exit: Exit::OutOfMemory, tail } => Self::OutOfMemory { tail },
            Cause::Instruction(text) => Self::Instruction(text),
            Cause::Image(text) => Self::Image(text),
            Cause::NoImage(text) => Self::NoImage(text),
            Cause::Fetch(text) => Self::Fetch(text),
            Cause::Sandbox(text) => Self::Sandbox(text),
            Cause::Infrastructure(text) | Cause::Lost(text) => Self::Infrastructure(text),
            Cause::Full { why, room, tail } => Self::Full { why, room, tail },
            Cause::Cancelled => Self::Cancelled,
        }
    }
}

impl From<WireCause> for Cause {
    fn from(cause: WireCause) -> Self {
        match cause {
            WireCause::Code { code, tail } => Self::Command { exit: Exit::Code(code), tail },
            WireCause::Signal { signal, tail } => Self::Command { exit: Exit::Signal(signal), tail },
            WireCause::OutOfMemory { tail } => Self::Command { exit: Exit::OutOfMemory, tail },
            WireCause::Instruction(text) => Self::Instruction(text),
            WireCause::Image(text) => Self::Image(text),
            WireCause::NoImage(text) => Self::NoImage(text),
            WireCause::Fetch(text) => Self::Fetch(text),
            WireCause::Sandbox(text) => Self::Sandbox(text),
            WireCause::Infrastructure(text) => Self::Infrastructure(text),
            WireCause::Full { why, room, tail } => Self::Full { why, room, tail },
            WireCause::Cancelled => Self::Cancelled,
        }
    }
}

/// Returns the folder of a stage pod's orders, below the build's folder.
pub fn orders_dir(pod: u32) -> String {
    format!("orders/{pod}")
}

/// Returns the name of an order.
pub fn order_file(stage: usize, step: usize) -> String {
    format!("{stage}-{step}.json")
}

/// Returns the digest of an order: an answer to another order of the same step does not count.
pub fn digest(order: &Order) -> Digest {
    Digest::of(serde_json::to_vec(order).unwrap_or_default())
}

/// Writes a file under a temporary name beside it and renames it.
pub fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, serde_json::to_vec(value)?)?;
    fs::rename(temporary, path)
}

/// Reads a file; none where it is not there.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
