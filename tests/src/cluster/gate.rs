//! Holds a RUN until a test has seen what it wanted to see: no test hopes that a command is slow enough.

use anyhow::Result;

use super::Cluster;
use crate::web::{Options, WebServer};

/// A place in a build that is closed at first.
pub struct Gate {
    server: WebServer,
}

impl Gate {
    /// A closed gate; the name is for its folder.
    pub fn closed(cluster: &Cluster, name: &str) -> Result<Self> {
        Ok(Self { server: WebServer::start(cluster.host()?, &format!("gate-{name}"), Options::default())? })
    }

    /// The part of a RUN of busybox that ends when the gate is open, without quotes and backslashes.
    pub fn wait(&self) -> String {
        format!("until wget -q -O /dev/null {}/open 2>/dev/null; do sleep 1; done", self.server.url)
    }

    /// Opens it for good.
    pub fn open(&self) -> Result<()> {
        Ok(std::fs::write(self.server.folder().join("open"), "")?)
    }
}
