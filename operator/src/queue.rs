//! Who may build: a limit for the cluster and one for each namespace, first come first served, namespaces in turn. Pure.

use std::collections::BTreeMap;

/// One build that is waiting or running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The resource's uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// True once it has started.
    pub running: bool,
    /// When it was asked for, in any unit that sorts.
    pub queued_at: i128,
}

/// Whether a build may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Now.
    Go,
    /// Later: its place from 1, and why.
    Wait(i32, String),
}

/// The limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Builds at once in the cluster.
    pub total: usize,
    /// Builds at once in a namespace.
    pub per_namespace: usize,
}

/// Says whether the build `uid` may start.
pub fn slot(uid: &str, entries: &[Entry], limits: Limits) -> Slot {
    let mut running: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries.iter().filter(|e| e.running) {
        *running.entry(&entry.namespace).or_default() += 1;
    }
    let mut total: usize = running.values().sum();
    let mut waiting: Vec<&Entry> = entries.iter().filter(|e| !e.running).collect();
    waiting.sort_by(|a, b| (a.queued_at, &a.uid).cmp(&(b.queued_at, &b.uid)));
    let mut place = 0;
    // Hand out slots one by one to the namespace that has the fewest, as if each went at once; whoever is reached
    // while there is room may go, and the others learn their place.
    while !waiting.is_empty() {
        let next = waiting
            .iter()
            .enumerate()
            .min_by_key(|(at, e)| {
                let used = running.get(e.namespace.as_str()).copied().unwrap_or(0);
                (used >= limits.per_namespace, used, *at)
            })
            .map_or(0, |(at, _)| at);
        let entry = waiting.remove(next);
        let used = running.entry(&entry.namespace).or_default();
        let why = if total >= limits.total {
            Some(format!("{total} builds are running in the cluster, as many as may"))
        } else if *used >= limits.per_namespace {
            Some(format!("{used} builds are running in this namespace, as many as may"))
        } else {
            None
        };
        match why {
            None => {
                *used += 1;
                total += 1;
                if entry.uid == uid {
                    return Slot::Go;
                }
            }
            Some(why) => {
                place += 1;
                if entry.uid == uid {
                    return Slot::Wait(place, why);
                }
            }
        }
    }
    // Not in the list yet: the watch is behind. It asks again.
    Slot::Wait(place + 1, "the queue is being read".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: &str, namespace: &str, running: bool, queued_at: i128) -> Entry {
        Entry { uid: uid.into(), namespace: namespace.into(), running, queued_at }
    }

    const LIMITS: Limits = Limits { total: 3, per_namespace: 2 };

    #[test]
    fn room_for_all() {
        assert_eq!(slot("b", &[entry("a", "x", true, 0), entry("b", "x", false, 1)], LIMITS), Slot::Go);
    }

    #[test]
    fn a_full_namespace_does_not_hold_up_others() {
        let entries = [
            entry("a", "x", true, 0),
            entry("b", "x", true, 0),
            entry("c", "x", false, 1),
            entry("d", "x", false, 2),
            entry("e", "y", false, 9),
        ];
        assert_eq!(slot("e", &entries, LIMITS), Slot::Go);
        assert!(matches!(slot("c", &entries, LIMITS), Slot::Wait(1, _)));
        assert!(matches!(slot("d", &entries, LIMITS), Slot::Wait(2, _)));
    }

    #[test]
    fn no_more_than_the_limit_ever_goes() {
        let entries: Vec<Entry> =
            (0..50).map(|n| entry(&format!("u{n}"), &format!("n{}", n % 7), false, n)).collect();
        let go = entries.iter().filter(|e| slot(&e.uid, &entries, LIMITS) == Slot::Go).count();
        assert_eq!(go, LIMITS.total);
        let mut places: Vec<i32> = entries
            .iter()
            .filter_map(|e| match slot(&e.uid, &entries, LIMITS) {
                Slot::Wait(place, _) => Some(place),
                Slot::Go => None,
            })
            .collect();
        places.sort_unstable();
        assert_eq!(places, (1..=47).collect::<Vec<_>>());
    }
}
