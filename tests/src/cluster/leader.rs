//! The operator's pod that leads: what it has counted goes with it, so tests that need it and tests that end it take turns.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Cluster;

/// Held by those that need the leader to stay, and alone by those that end it.
static LEADERS: RwLock<()> = RwLock::new(());

/// The pod that leads, and goes on leading.
#[derive(Debug)]
pub struct Leader {
    /// The pod's name.
    pub name: String,
    _stays: RwLockReadGuard<'static, ()>,
}

/// The pod that leads, for a test that ends it.
#[derive(Debug)]
pub struct DoomedLeader<'a> {
    cluster: &'a Cluster,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl DoomedLeader<'_> {
    /// Deletes the pod without grace; returns its name.
    pub fn end(self) -> Result<String> {
        let name = self.cluster.leads()?;
        let namespace = format!("--namespace={}", Cluster::OPERATOR_NAMESPACE);
        self.cluster.kubectl(&["delete", "pod", &name, &namespace, "--grace-period=0", "--force"])?;
        Ok(name)
    }
}

impl Cluster {
    /// Returns the operator's pod that leads, which no other test of this program ends while the value lives.
    pub fn leader(&self) -> Result<Leader> {
        let stays = LEADERS.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Leader { name: self.leads()?, _stays: stays })
    }

    /// Waits until no other test needs the leader, and keeps them from it until it is ended.
    pub fn doomed_leader(&self) -> DoomedLeader<'_> {
        DoomedLeader { cluster: self, _alone: LEADERS.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Returns the name of the pod that leads; between two leaders there is none for a moment.
    fn leads(&self) -> Result<String> {
        let namespace = format!("--namespace={}", Self::OPERATOR_NAMESPACE);
        let holder = "--output=jsonpath={.spec.holderIdentity}";
        let start = Instant::now();
        loop {
            let name = self.kubectl(&["get", "lease", "slipway-operator", &namespace, holder])?;
            let runs = !name.is_empty() && self.kubectl(&["get", "pod", &name, &namespace]).is_ok();
            if runs {
                return Ok(name);
            }
            ensure!(start.elapsed() < Duration::from_mins(1), "nobody leads; the lease names `{name}`");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}
