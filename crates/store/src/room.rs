//! Room on a volume: how much there is, and making some before a build needs it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::{Collected, Error, Policy, Store};

/// The most that is kept free before a build: more does not make a step more likely to fit.
const MOST: u64 = 2 << 30;
/// Less than this is nothing.
const NOTHING: u64 = 1 << 20;
/// What was used within this time is spared while other things can go.
const GRACE: Duration = Duration::from_mins(10);

/// How full a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its bytes.
    pub size: u64,
    /// Those that are left for us.
    pub free: u64,
}

impl Room {
    /// Looks at the volume that a path is on.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let stat = rustix::fs::statvfs(path).map_err(|errno| Error::io("look at", path, errno))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self { size: bytes(stat.f_blocks), free: bytes(stat.f_bavail) })
    }

    /// Returns what is to be free before a build: a tenth of the volume, 2 GiB at most.
    pub fn reserve(&self) -> u64 {
        (self.size / 10).min(MOST)
    }

    /// Tells whether less is free than should be.
    pub fn is_short(&self) -> bool {
        self.free < self.reserve()
    }

    /// Tells whether nothing is free.
    pub fn is_exhausted(&self) -> bool {
        self.free < NOTHING.min(self.size / 64)
    }
}

/// How much is to be removed from a store whose volume is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// As much as is kept free before a build, sparing what was used in the last minutes.
    Reserve,
    /// A quarter of the volume, oldest things first.
    Quarter,
    /// Everything that nobody uses at this moment.
    Everything,
}

impl Store {
    /// Tells how full the store's volume is.
    pub fn room(&self) -> Result<Room, Error> {
        Room::at(&self.root)
    }

    /// Removes the oldest things until there is as much room as is needed; none where there is enough.
    pub fn make_room(&self, need: Need) -> Result<Option<Collected>, Error> {
        let room = self.room()?;
        let wanted = match need {
            Need::Reserve => room.reserve(),
            Need::Quarter => (room.size / 4).max(room.reserve()),
            Need::Everything => u64::MAX,
        };
        if room.free >= wanted {
            return Ok(None);
        }
        let grace = if need == Need::Reserve { GRACE } else { Duration::ZERO };
        let policy = Policy { keep_free: Some(wanted), grace, ..Policy::default() };
        self.collect(&policy, SystemTime::now()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_kept_free_and_a_little_is_nothing() {
        let small = Room { size: 64 << 20, free: 5 << 20 };
        assert!(small.is_short() && !small.is_exhausted());
        assert!(Room { free: 60 << 10, ..small }.is_exhausted());
        assert!(!Room { size: 1 << 40, free: 3 << 30 }.is_short());
    }
}
