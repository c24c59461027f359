//! The programs that the cluster is made of.

use std::path::PathBuf;

use anyhow::Result;

use crate::host::parts;

/// Folders of the built programs.
pub(crate) struct Parts {
    pub(crate) cni: PathBuf,
    pub(crate) containerd: PathBuf,
    pub(crate) coredns: PathBuf,
    pub(crate) crane: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) kubernetes: PathBuf,
    pub(crate) registry: PathBuf,
    pub(crate) runc: PathBuf,
}

impl Parts {
    /// Builds what is missing, the quick ones first, so that a wrong set-up shows early.
    pub(crate) fn ensure() -> Result<Self> {
        Ok(Self {
            crane: parts::CRANE.ensure()?,
            cni: parts::CNI.ensure()?,
            runc: parts::RUNC.ensure()?,
            etcd: parts::ETCD.ensure()?,
            registry: parts::REGISTRY.ensure()?,
            coredns: parts::COREDNS.ensure()?,
            containerd: parts::CONTAINERD.ensure()?,
            kubernetes: parts::KUBERNETES.ensure()?,
        })
    }

    /// One of the Kubernetes programs.
    pub(crate) fn kubernetes(&self, program: &str) -> PathBuf {
        self.kubernetes.join(program)
    }

    /// The image tool.
    pub(crate) fn crane(&self) -> PathBuf {
        self.crane.join("crane")
    }

    /// A search path with the container runtime's programs before the system's.
    pub(crate) fn path(&self) -> String {
        let system = std::env::var("PATH").unwrap_or_default();
        format!("{}:{}:{system}:/usr/sbin:/sbin", self.containerd.display(), self.runc.display())
    }
}
