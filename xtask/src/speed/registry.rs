//! The registry that everybody pushes to: started for the measurement, on an address of this machine that nobody else
//! reaches, and emptied between cases.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::host::{
    command::wait_until,
    daemon::{Daemon, Process},
    folders, mounts, parts,
};

/// Where nothing but this machine's own programs is.
pub(super) const LOOPBACK: &str = "127.0.0.1";

/// A running registry.
pub(super) struct Registry {
    folder: PathBuf,
    /// Where the images are.
    data: PathBuf,
    address: String,
}

impl Registry {
    /// Starts an empty one on a free port of an address.
    pub(super) fn start(host: &str, folder: PathBuf) -> Result<Self> {
        let registry = Self::on_a_free_port(host, folder.join("data"), folder)?;
        registry.empty()?;
        Ok(registry)
    }

    /// Starts one over images that are there, which it only reads.
    pub(super) fn over(images: &Path, folder: PathBuf) -> Result<Self> {
        let registry = Self::on_a_free_port(LOOPBACK, images.to_owned(), folder)?;
        registry.serve("maintenance: {readonly: {enabled: true}}")?;
        Ok(registry)
    }

    fn on_a_free_port(host: &str, data: PathBuf, folder: PathBuf) -> Result<Self> {
        folders::make(&folder)?;
        let free = TcpListener::bind((host, 0)).and_then(|listener| listener.local_addr());
        let address = free.with_context(|| format!("no free port on {host}"))?.to_string();
        let registry = Self { folder, data, address };
        // One of a measurement that was stopped listens elsewhere.
        registry.daemon().stop(PATIENCE)?;
        Ok(registry)
    }

    /// Host and port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The process, for its counters.
    pub(super) fn process(&self) -> Result<Process> {
        self.daemon().process().with_context(|| format!("the registry on {} has ended", self.address))
    }

    /// Deletes all images; the address stays.
    pub(super) fn empty(&self) -> Result<()> {
        self.daemon().stop(PATIENCE)?;
        mounts::delete(&self.data)?;
        self.serve("delete: {enabled: true}")
    }

    fn serve(&self, storage: &str) -> Result<()> {
        let settings = self.folder.join("registry.yaml");
        let text = format!(
            "version: '0.1'\nlog: {{level: warn, accesslog: {{disabled: true}}}}\nstorage:\n  \
             filesystem: {{rootdirectory: {}}}\n  {storage}\nhttp: {{addr: '{}'}}\n",
            self.data.display(),
            self.address
        );
        folders::write(&settings, text)?;
        self.daemon().ensure(&parts::REGISTRY.ensure()?.join("registry"), |command| {
            command.arg("serve").arg(&settings).env("OTEL_TRACES_EXPORTER", "none");
        })?;
        wait_until("answer of the registry", Duration::from_secs(20), || {
            self.daemon().must_run()?;
            Ok(std::net::TcpStream::connect(&self.address).is_ok())
        })
        .map(drop)
    }

    /// Stops it, and deletes what it was sent.
    pub(super) fn end(&self) -> Result<()> {
        self.daemon().stop(PATIENCE)?;
        mounts::delete(&self.folder)
    }

    fn daemon(&self) -> Daemon {
        Daemon::new(&self.folder, "registry")
    }
}

const PATIENCE: Duration = Duration::from_secs(15);
