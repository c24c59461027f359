//! The full sandbox: overlayfs on the layers, namespaces of its own, real mounts.

use std::{fs, io, path::Path};

use crate::{
    Cancel, Error, Finished, Sandbox, Stream,
    relay::{Access, Relay},
    spec::{MountSource, RunSpec},
    supervise,
    wire::{Ground, Order},
};

/// How many lower layers one overlay mount takes (the kernel's `OVL_MAX_STACK`).
pub(crate) const MAX_LAYERS: usize = 500;

/// Runs commands on overlayfs in namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Overlay {
    user_namespace: bool,
}

impl Overlay {
    /// Uses the right to mount that this process has: it is root with `CAP_SYS_ADMIN`, or was made so by
    /// [`crate::enter_user_namespace`].
    pub const fn granted() -> Self {
        Self { user_namespace: false }
    }

    /// Gets the right to mount by a user namespace of its own for each command, with the same ids inside as outside. Needs
    /// `CAP_SETUID`, `CAP_SETGID` and `CAP_SETFCAP`.
    pub const fn nested() -> Self {
        Self { user_namespace: true }
    }

    /// Tries everything that a build needs on the layers of `spec`, without a command.
    pub(crate) fn probe(self, spec: &RunSpec) -> Result<(), Error> {
        self.order(spec, true, &mut |_, _| {}, &Cancel::new()).map(drop)
    }

    fn order(
        self,
        spec: &RunSpec,
        probe: bool,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, Error> {
        check(spec, MAX_LAYERS)?;
        empty(&spec.work)?;
        let mut order =
            Order { spec: spec.clone(), ground: Ground::Namespaces { nested: self.user_namespace }, probe };
        let relays = relay_sockets(&mut order.spec)?;
        let result = supervise::run(&order, output, cancel);
        drop(relays);
        let emptied = empty(&spec.work);
        let finished = result?;
        emptied?;
        Ok(finished)
    }
}

impl Sandbox for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn run(
        &self,
        spec: &RunSpec,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, Error> {
        if spec.args.is_empty() {
            return Err(Error::Invalid(
                "there is no command to run: the list of arguments is empty".to_owned(),
            ));
        }
        self.order(spec, false, output, cancel)
    }
}

/// Puts sockets of our own in the place of the host's.
pub(crate) fn relay_sockets(spec: &mut RunSpec) -> Result<Vec<Relay>, Error> {
    let mut relays = Vec::new();
    for (index, mount) in spec.mounts.iter_mut().enumerate() {
        if let MountSource::Socket { path, uid, gid, mode } = &mut mount.source {
            let ours = spec.work.join(format!("socket-{index}"));
            let access = Access { uid: *uid, gid: *gid, mode: *mode };
            relays.push(Relay::start(path, &ours, access).map_err(|error| Error::Setup {
                step: format!("hand the socket `{}` on", path.display()),
                detail: error.to_string(),
            })?);
            *path = ours;
        }
    }
    Ok(relays)
}

/// Refuses what the kernel would refuse with less clear words.
pub(crate) fn check(spec: &RunSpec, max: usize) -> Result<(), Error> {
    for count in
        std::iter::once(spec.lowers.len()).chain(spec.mounts.iter().map(|mount| mount.source.layers().len()))
    {
        if count > max {
            return Err(Error::TooManyLayers { count, max });
        }
    }
    for path in spec.lowers.iter().chain([&spec.upper, &spec.work, &spec.root]) {
        if !path.is_absolute() {
            return Err(Error::Invalid(format!("`{}` is not an absolute path", path.display())));
        }
    }
    for mount in &spec.mounts {
        if !mount.target.starts_with('/') {
            return Err(Error::Invalid(format!(
                "the mount target `{}` is not an absolute path",
                mount.target
            )));
        }
    }
    Ok(())
}

/// Empties the scratch directory: what overlayfs and thrown-away layers left there, and the mark of a volatile mount, which
/// would keep the next one from starting.
fn empty(work: &Path) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Setup {
        step: format!("empty the work directory `{}`", work.display()),
        detail: source.to_string(),
    };
    for entry in fs::read_dir(work).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            fs::remove_dir_all(entry.path()).map_err(failed)?;
        } else {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
