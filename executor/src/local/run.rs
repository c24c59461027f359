//! `RUN`: from the operation to what the sandbox understands, and from its end to a layer.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use slipway_graph::ir::{Input, MountSource as Wanted, Network, RunOp, Sharing};
use slipway_oci::Platform;
use slipway_sandbox::spec::{self, Mount, MountSource, RunSpec, User};
use slipway_sandbox::{Cancel, Error as SandboxError, Exit, Finished};
use slipway_store::{LayerMeta, MountLease, Sharing as StoreSharing};

use super::output::Lines;
use super::{LocalHands, files, tree_cause};
use crate::engine::{Cause, Task};
use crate::event::Stream;
use crate::room;
use crate::tree::users;

/// Where a command's changes go.
#[derive(Debug)]
pub struct RunPlaces<'a> {
    /// Becomes the layer.
    pub upper: &'a Path,
    /// Empty, beside it.
    pub work: &'a Path,
}

/// Removes a directory with all that is in it, when dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a step's command and leaves its changes, pruned, in `upper`.
pub fn run_command(
    hands: &LocalHands<'_>,
    task: &Task<'_>,
    op: &RunOp,
    places: &RunPlaces<'_>,
    cancel: &Cancel,
) -> Result<LayerMeta, Cause> {
    let base = hands.below(task)?;
    let user = users::run_user(&base, &op.user).map_err(tree_cause)?;
    // Overlayfs shows the upper directory's own metadata as that of the root.
    crate::tree::upper::prepare_root(places.upper, &base).map_err(tree_cause)?;
    let side = |name: &str| places.work.with_file_name(name);
    let root = Temporary(side("root"));
    let scratch = Temporary(side("mounts"));
    for path in [&root.0, &scratch.0] {
        fs::create_dir_all(path).map_err(|error| io_cause("create", path, &error))?;
    }
    let mut env: Vec<String> =
        op.env.iter().chain(&op.hidden_env).map(|(name, value)| format!("{name}={value}")).collect();
    let mut leases = Vec::new();
    let mut mounts = Vec::new();
    if let Some((name, content)) = &op.script {
        let content = content.clone().into_bytes();
        let source = MountSource::File { content, uid: 0, gid: 0, mode: 0o755, executable: true };
        mounts.push(Mount { target: format!("/dev/pipes/{name}"), source });
    }
    for (number, wanted) in op.mounts.iter().enumerate() {
        let place = scratch.0.join(number.to_string());
        let mut maker = MountMaker { hands, task, place: &place, env: &mut env, leases: &mut leases, cancel };
        if let Some(source) = maker.make(&wanted.target, &wanted.source)? {
            mounts.push(Mount { target: wanted.target.clone(), source });
        }
    }
    let spec = RunSpec {
        lowers: hands.inputs.paths(task.below)?,
        upper: places.upper.to_owned(),
        work: places.work.to_owned(),
        root: root.0.clone(),
        args: op.args.clone(),
        env,
        cwd: op.cwd.clone(),
        user: User { uid: user.uid, gid: user.gid, groups: user.groups, home: user.home },
        mounts,
        network: match op.network {
            Network::None => spec::Network::None,
            Network::Default | Network::Host => spec::Network::Host,
        },
        hostname: op.hostname.clone(),
        hosts: files::hosts(&op.hostname, &op.add_hosts),
        resolv_conf: files::resolv_conf(),
        ulimits: op.ulimits.clone(),
        shm_size: op.shm_size,
    };
    let mut lines = Lines::new(task.at, hands.events.clone());
    let mut hear = |stream: slipway_sandbox::Stream, bytes: &[u8]| {
        let stream = match stream {
            slipway_sandbox::Stream::Stdout => Stream::Stdout,
            slipway_sandbox::Stream::Stderr => Stream::Stderr,
        };
        lines.take(stream, bytes);
    };
    let ended = hands.sandbox.run(&spec, &mut hear, cancel);
    let tail = lines.finish();
    drop(leases);
    let ended = ended.map_err(sandbox_cause)?;
    if !ended.exit.success() {
        if cancel.is_cancelled() {
            return Err(Cause::Cancelled);
        }
        // Asked while what the command wrote is still there.
        let cause = foreign(&task.stage.platform, &ended, &tail)
            .unwrap_or_else(|| Cause::Command { exit: ended.exit.into(), tail });
        return Err(room::judge(cause, places.upper, hands.store.root()));
    }
    let pruned = crate::tree::diff::prune(places.upper, &base).map_err(tree_cause)?;
    Ok(LayerMeta { size: pruned.bytes, entries: pruned.entries, diff_id: None })
}

/// The exit code of a program that is there and cannot be started.
const NOT_STARTED: Exit = Exit::Code(126);

/// Says what to do where a command was not started because it is for another kind of machine.
fn foreign(platform: &Platform, ended: &Finished, tail: &[String]) -> Option<Cause> {
    let host = Platform::host();
    if host.runs(platform) || ended.exit != NOT_STARTED {
        return None;
    }
    let said = tail.last().map(|line| format!(" ({line})")).unwrap_or_default();
    let arch = &platform.architecture;
    Some(Cause::Sandbox(format!(
        "this machine is {host} and cannot run a command for {platform}{said}; compile in a stage that starts with \
         `FROM --platform=$BUILDPLATFORM`, which reads TARGETARCH, and COPY the result; or let the kernel emulate {arch} \
         (binfmt_misc with the flag F, as the image `tonistiigi/binfmt` installs it with `--install {arch}`)"
    )))
}

#[allow(clippy::needless_pass_by_value)] // the form that `map_err` wants
fn sandbox_cause(error: SandboxError) -> Cause {
    let text = Cause::text(&error);
    match error {
        SandboxError::Cancelled => Cause::Cancelled,
        SandboxError::TooManyLayers { .. } | SandboxError::Invalid(_) => Cause::Instruction(text),
        SandboxError::Unsupported { .. } | SandboxError::NoWay(_) | SandboxError::NotPrepared => {
            Cause::Sandbox(text)
        }
        SandboxError::Died(_) | SandboxError::Process { .. } => Cause::Infrastructure(text),
        SandboxError::Setup { .. } => Cause::Sandbox(text),
    }
}

fn io_cause(action: &str, path: &Path, error: &io::Error) -> Cause {
    Cause::Infrastructure(format!("failed to {action} `{}`: {error}", path.display()))
}

/// Makes the mounts of one RUN.
struct MountMaker<'m, 'a> {
    hands: &'m LocalHands<'a>,
    task: &'m Task<'m>,
    /// A directory of its own, not made yet.
    place: &'m Path,
    env: &'m mut Vec<String>,
    leases: &'m mut Vec<MountLease>,
    cancel: &'m Cancel,
}

impl MountMaker<'_, '_> {
    fn make(&mut self, target: &str, wanted: &Wanted) -> Result<Option<MountSource>, Cause> {
        match wanted {
            Wanted::Bind { input, path, writable } => self.bind(input, path, *writable).map(Some),
            Wanted::Cache { .. } => self.cache(wanted).map(Some),
            Wanted::Tmpfs { size } => Ok(Some(MountSource::Tmpfs { size: *size })),
            Wanted::Secret { id, required, uid, gid, mode, env } => {
                let Some(value) =
                    self.hands.lent.secret(id).map_err(|error| Cause::Instruction(Cause::text(&error)))?
                else {
                    return missing(*required, "secret", id, &format!("--secret id={id},src=FILE"));
                };
                if let Some(name) = env {
                    let text = String::from_utf8(value.clone()).map_err(|_| {
                        Cause::Instruction(format!(
                            "the secret `{id}` is not text, so it cannot be the variable `{name}`"
                        ))
                    })?;
                    self.env.push(format!("{name}={text}"));
                }
                let source = MountSource::File {
                    content: value,
                    uid: *uid,
                    gid: *gid,
                    mode: *mode,
                    executable: mode & 0o111 != 0,
                };
                Ok(Some(source).filter(|_| !target.is_empty()))
            }
            Wanted::Ssh { id, required, uid, gid, mode } => {
                let Some(socket) = self.hands.lent.agent(id) else {
                    return missing(*required, "SSH agent", id, &format!("--ssh {id}"));
                };
                if !self.env.iter().any(|entry| entry.starts_with("SSH_AUTH_SOCK=")) {
                    self.env.push(format!("SSH_AUTH_SOCK={target}"));
                }
                Ok(Some(MountSource::Socket { path: socket.to_owned(), uid: *uid, gid: *gid, mode: *mode }))
            }
        }
    }

    fn bind(&self, input: &Input, path: &str, writable: bool) -> Result<MountSource, Cause> {
        let inputs = self.hands.inputs;
        if let Some(chain) = inputs.chain(input, self.task.inputs)? {
            return Ok(MountSource::Layers {
                lowers: inputs.paths(&chain)?,
                path: path.to_owned(),
                writable,
            });
        }
        let tree = if let Input::Context(name) = input {
            let context = inputs.context(name)?;
            if context.ignore.is_some() || !super::copy::is_all_of_root(context)? {
                // What .dockerignore names must not be seen, and a context has no owners but root, so what remains is laid out.
                super::copy::lay_out_context(context, path, self.place)?;
                return Ok(MountSource::Layers {
                    lowers: vec![self.place.to_owned()],
                    path: path.to_owned(),
                    writable,
                });
            }
            context.path.clone()
        } else {
            fs::create_dir_all(self.place).map_err(|error| io_cause("create", self.place, &error))?;
            self.place.to_owned()
        };
        Ok(MountSource::Layers { lowers: vec![tree], path: path.to_owned(), writable })
    }

    fn cache(&mut self, wanted: &Wanted) -> Result<MountSource, Cause> {
        let Wanted::Cache { id, sharing, from, path, readonly, uid, gid, mode } = wanted else {
            return Err(Cause::Infrastructure("not a cache mount".to_owned()));
        };
        let sharing = match sharing {
            Sharing::Shared => StoreSharing::Shared,
            Sharing::Private => StoreSharing::Private,
            Sharing::Locked => StoreSharing::Locked,
        };
        let hands = self.hands;
        let source =
            if *from == Input::Empty { None } else { Some(hands.inputs.open(from, self.task.inputs)?) };
        let mut fill = |directory: &Path| -> io::Result<()> {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
            match &source {
                Some(tree) => super::copy::fill(directory, tree, path).map_err(io::Error::other),
                None => own(directory, *uid, *gid, *mode),
            }
        };
        let cancel = self.cancel;
        let lease =
            hands.mounts.take(id, sharing, &mut fill, &|| cancel.is_cancelled())?.ok_or(Cause::Cancelled)?;
        let path = lease.path().to_owned();
        self.leases.push(lease);
        Ok(MountSource::Bind { path, readonly: *readonly })
    }
}

fn missing(required: bool, what: &str, id: &str, flag: &str) -> Result<Option<MountSource>, Cause> {
    if required {
        return Err(Cause::Instruction(format!(
            "the {what} `{id}` is required and nobody lends it (for `slipway build`: {flag})"
        )));
    }
    Ok(None)
}

/// Gives a new cache directory the owner and mode that the mount asks for, where it asks.
fn own(directory: &Path, uid: Option<u32>, gid: Option<u32>, mode: Option<u32>) -> io::Result<()> {
    if uid.is_some() || gid.is_some() {
        std::os::unix::fs::chown(directory, Some(uid.unwrap_or(0)), Some(gid.unwrap_or(0)))?;
    }
    if let Some(mode) = mode {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}
