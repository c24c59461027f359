//! The cases: what is built, and in which states of cache and context.

mod bases;
mod files;
mod languages;
mod layers;
mod stages;

use std::path::Path;

use anyhow::Result;

use super::corpus::Corpus;
use crate::cluster::Access;

/// One thing to build.
pub(super) struct Case {
    /// The letter of the list in the documentation, and a word: `c-node-modules`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Bases that are in the stores before a cold build, except where a phase says otherwise.
    pub(super) bases: &'static [&'static str],
    /// What of the machine's base images those are, beyond busybox and debian.
    pub(super) needs: &'static [&'static str],
    /// The largest ratio, Slipway ÷ the fastest peer, that is aimed at.
    pub(super) target: f64,
    pub(super) phases: &'static [Phase],
    /// Makes the context with its Dockerfile.
    pub(super) make: fn(&Corpus, &Sizes) -> Result<()>,
    /// What of the title does not hold for these sizes.
    pub(super) note: fn(&Sizes) -> String,
}

/// A build of a case, after what came before.
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) start: Start,
    /// What is done to the context before; the token differs each time.
    pub(super) change: fn(&Ground<'_>) -> Result<()>,
    /// How many builds go on at once, each with its own argument `NUMBER`.
    pub(super) at_once: usize,
    /// Whether to ask for the bases again.
    pub(super) pull: bool,
}

/// The state of the builder's store before a phase.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Empty: the bases are pulled.
    Empty,
    /// Nothing but the bases.
    Bases,
    /// As the phase before left it.
    Kept,
}

/// What a phase may change.
pub(super) struct Ground<'a> {
    pub(super) context: &'a Path,
    /// Different for each build that is measured, so that no registry and no cache knows its content.
    pub(super) token: &'a str,
    /// The registry that is pushed to.
    pub(super) registry: &'a str,
    /// The registry that has the bases.
    pub(super) mirror: &'a str,
}

/// How large the large cases are.
pub(super) struct Sizes {
    /// Bytes of the tree that is copied between stages.
    pub(super) copied: u64,
}

const COLD: Phase = Phase { name: "cold", start: Start::Bases, change: stamp, at_once: 1, pull: false };
const EMPTY: Phase = Phase { name: "cold, bases pulled", start: Start::Empty, ..COLD };
const SAME: Phase = Phase { name: "again", start: Start::Kept, change: |_| Ok(()), ..COLD };

/// What is the same for most.
const PLAIN: Case = Case {
    name: "",
    title: "",
    bases: &["busybox"],
    needs: &[],
    target: 1.0,
    phases: &[COLD, SAME],
    make: |_, _| Ok(()),
    note: |_| String::new(),
};

pub(super) use files::{make_tree, project};
pub(super) use stages::{tall, wide};

/// A case without a context of its own, for measurements that make one.
pub(super) const BARE: Case = Case { name: "scale", phases: &[COLD], ..PLAIN };

/// All cases, in the order of their letters.
pub(super) fn all() -> Vec<&'static Case> {
    let groups = [bases::CASES, files::CASES, languages::CASES, layers::CASES, stages::CASES];
    let mut all: Vec<&Case> = groups.into_iter().flatten().collect();
    all.sort_by_key(|case| case.name);
    all
}

/// Has the cluster's registry hold the base images of the cases, and those of every measurement.
pub(super) fn bring_bases(access: &Access, cases: &[&Case]) -> Result<()> {
    let needs = cases.iter().flat_map(|case| case.needs).copied();
    crate::bases::ensure(access, &["busybox", "debian"].into_iter().chain(needs).collect::<Vec<_>>())
}

/// A file that every context has, and that differs each time.
fn stamp(ground: &Ground<'_>) -> Result<()> {
    crate::host::folders::write(&ground.context.join("stamp"), ground.token)
}
