//! Collection of what is not needed: by age, by size, by free room, least recently used first, never what is held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::usage::{Kind, UsageItem};
use crate::{Error, Store, files, lease, mounts};

/// The file `version` of a store that is being made has no lease yet; what is left of one goes when it is this old.
const VERSION_AGE: Duration = Duration::from_hours(1);

/// What may stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The most bytes that the store may have.
    pub max_bytes: Option<u64>,
    /// What was not used for longer than this goes.
    pub max_age: Option<Duration>,
    /// The bytes that the file system must have left.
    pub keep_free: Option<u64>,
    /// What was used within this time stays, whatever the other limits say.
    pub grace: Duration,
}

impl Policy {
    /// Removes everything that nobody holds.
    pub fn everything() -> Self {
        Self { max_age: Some(Duration::ZERO), ..Self::default() }
    }
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// The things.
    pub items: Vec<UsageItem>,
    /// Their bytes.
    pub bytes: u64,
    /// True where the limits are not met although nothing more could be removed.
    pub short: bool,
}

impl Store {
    /// Removes what the policy does not let stay, and what ended processes left behind.
    ///
    /// Builds go on meanwhile: a thing is chosen and moved out of sight under a lock of a moment, and unlinked afterwards.
    pub fn collect(&self, policy: &Policy, now: SystemTime) -> Result<Collected, Error> {
        self.writable()?;
        self.take_over()?;
        self.sweep(now)?;
        let usage = self.usage()?;
        let choice = choose(&usage.items, policy, usage.free, now);

        let lock = lease::exclusive_lock(&self.root)?;
        let held = self.held()?;
        let mut collected = Collected::default();
        let mut graves = Vec::new();
        let mut kept_bytes = choice.bytes_left;
        let mut free = choice.free_then;
        for item in choice.victims {
            if held.contains(&item.name) || self.used_since(&item) {
                kept_bytes += item.size;
                free = free.saturating_sub(item.size);
                continue;
            }
            if item.kind == Kind::Mount {
                if !mounts::remove(&self.root, &self.join(&item.name))? {
                    kept_bytes += item.size;
                    continue;
                }
            } else {
                graves.extend(files::trash(&self.root, &self.join(&item.name))?);
            }
            collected.bytes += item.size;
            collected.items.push(item);
        }
        drop(lock);
        for grave in graves {
            if let Err(error) = files::remove(&grave) {
                // Out of sight it is, and the next collection removes it.
                tracing::warn!(%error, "cannot remove what was collected");
            }
        }
        self.drop_orphans()?;
        collected.short = policy.max_bytes.is_some_and(|limit| kept_bytes > limit)
            || policy.keep_free.is_some_and(|limit| free < limit);
        Ok(collected)
    }

    /// Removes exactly one thing by its path below the store, as [`Store::usage`] names it, unless it is held.
    pub fn remove_item(&self, item: &UsageItem) -> Result<bool, Error> {
        self.writable()?;
        let lock = lease::exclusive_lock(&self.root)?;
        if self.held()?.contains(&item.name) {
            return Ok(false);
        }
        if item.kind == Kind::Mount {
            return mounts::remove(&self.root, &self.join(&item.name));
        }
        let grave = files::trash(&self.root, &self.join(&item.name))?;
        drop(lock);
        grave.map_or(Ok(false), |grave| files::remove(&grave).map(|()| true))
    }

    /// Tells whether a thing was used after it was chosen.
    fn used_since(&self, item: &UsageItem) -> bool {
        let marker = match item.kind {
            Kind::PulledLayer | Kind::BuiltLayer | Kind::Source => "meta.json",
            Kind::Mount => "id",
            _ => "",
        };
        let path = self.join(&item.name);
        let path = if marker.is_empty() { path } else { path.join(marker) };
        files::last_used(&path).is_some_and(|time| time > item.last_used)
    }

    /// Removes what ended processes left: temporary files, things moved out of sight, lock files.
    fn sweep(&self, now: SystemTime) -> Result<(), Error> {
        // In this order: a lease is there before its directory is.
        let temporary = files::names(&self.join("tmp"))?;
        let living: BTreeSet<String> = files::names(&self.join("leases"))?.into_iter().collect();
        for name in temporary {
            let path = self.join("tmp").join(&name);
            let is_young = || files::last_used(&path).is_none_or(|time| age(now, time) < VERSION_AGE);
            let spared = living.contains(&name) || (name.starts_with("version-") && is_young());
            if !spared {
                files::remove(&path)?;
            }
        }
        for name in files::names(&self.join("trash"))? {
            if let Err(error) = files::remove(&self.join("trash").join(name)) {
                // Another collector is at it, or a command that is being killed still writes there.
                tracing::debug!(%error, "left for the next collection");
            }
        }
        self.sweep_flights()
    }

    /// Removes records and forms whose layer is gone.
    fn drop_orphans(&self) -> Result<(), Error> {
        for name in files::names(&self.join("records"))? {
            let Ok(key) = format!("sha256:{name}").parse() else { continue };
            if self.peek_record(&key).is_none() {
                files::remove(&self.join("records").join(name))?;
            }
        }
        Ok(())
    }
}

/// What would go.
struct Choice {
    victims: Vec<UsageItem>,
    bytes_left: u64,
    free_then: u64,
}

/// Chooses what goes, oldest first.
fn choose(items: &[UsageItem], policy: &Policy, free: u64, now: SystemTime) -> Choice {
    let mut by_age: Vec<&UsageItem> = items.iter().collect();
    by_age.sort_by(|a, b| a.last_used.cmp(&b.last_used).then_with(|| a.name.cmp(&b.name)));
    let mut choice =
        Choice { victims: Vec::new(), bytes_left: items.iter().map(|item| item.size).sum(), free_then: free };
    for item in by_age {
        let idle = age(now, item.last_used);
        if idle < policy.grace {
            continue;
        }
        let aged = policy.max_age.is_some_and(|limit| idle >= limit);
        let too_big = policy.max_bytes.is_some_and(|limit| choice.bytes_left > limit);
        let too_full = policy.keep_free.is_some_and(|limit| choice.free_then < limit);
        // A document frees nothing; those go by age, or with what they name.
        let weighs = !matches!(item.kind, Kind::Record | Kind::Form | Kind::Memo);
        if aged || (weighs && (too_big || too_full)) {
            choice.bytes_left -= item.size;
            choice.free_then += item.size;
            choice.victims.push(item.clone());
        }
    }
    choice
}

/// A time in the future, of another machine's clock, has no age.
fn age(now: SystemTime, time: SystemTime) -> Duration {
    now.duration_since(time).unwrap_or_default()
}

impl Collected {
    /// Returns bytes and number of what was removed, by kind.
    pub fn by_kind(&self) -> BTreeMap<Kind, (u64, usize)> {
        let mut kinds = BTreeMap::new();
        for item in &self.items {
            let (bytes, count) = kinds.entry(item.kind).or_insert((0, 0));
            *bytes += item.size;
            *count += 1;
        }
        kinds
    }
}
