//! Why a step is not cached: its key's parts against those of the last build of the same thing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_graph::ir::{Stage, Step};
use slipway_graph::key::{Key, KeyPart};
use slipway_store::Store;

use super::lookup::file_steps;

/// What the last build knew of a stage, by step number.
type Memory = BTreeMap<usize, Remembered>;

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    key: Key,
    parts: Vec<KeyPart>,
}

fn memo_name(subject: &str, stage: &Stage) -> String {
    format!("last build\n{subject}\n{}", stage.name)
}

/// Returns why a step is not cached, for people.
pub(crate) fn why(store: &Store, subject: &str, stage: &Stage, number: usize, step: &Step) -> String {
    if step.no_cache {
        return "the cache was not to be used".to_owned();
    }
    let Some(memory) = store.memo::<Memory>(&memo_name(subject, stage)) else {
        return "first build of this stage".to_owned();
    };
    let Some(before) = memory.get(&number) else { return "new step".to_owned() };
    if before.key == step.key {
        return if store.record(&step.key.0).is_some() {
            "a step before it ran again".to_owned()
        } else {
            "its result is no longer in the cache".to_owned()
        };
    }
    slipway_graph::explain(&before.parts, &step.parts).to_string()
}

/// Remembers a stage for the next build; called where something in it was not cached.
pub(crate) fn remember(store: &Store, subject: &str, stage: &Stage) -> Result<(), slipway_store::Error> {
    let memory: Memory = file_steps(stage)
        .map(|(number, step)| (number, Remembered { key: step.key, parts: step.parts.clone() }))
        .collect();
    store.put_memo(&memo_name(subject, stage), &memory)
}
