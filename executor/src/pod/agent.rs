//! SSH agents of a stage pod: a key that the resource lends as a secret is offered to `RUN --mount=type=ssh` by an agent, so
//! that commands may use it and cannot read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slipway_graph::ir::{Graph, MountSource, Op};

/// How long an agent may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Running agents; they end with this value.
#[derive(Debug, Default)]
pub struct Agents {
    children: Vec<Child>,
    /// Their sockets by id.
    pub sockets: BTreeMap<String, PathBuf>,
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A program could not be run.
    #[error("failed to run `{program}` for the key `{id}`")]
    Start {
        /// Which.
        program: &'static str,
        /// The key.
        id: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The agent does not listen.
    #[error("the agent for the key `{0}` does not listen")]
    Silent(String),
    /// The agent does not take the key.
    #[error(
        "the secret `{id}` is not a private key that an agent takes: {said}; it must be one without a passphrase"
    )]
    Key {
        /// The key.
        id: String,
        /// What was said.
        said: String,
    },
}

/// Returns the ids that the stages of a pod mount with `type=ssh`.
pub fn wanted(graph: &Graph, pods: &[Option<u32>], pod: u32) -> Vec<String> {
    let stages = graph.stages.iter().zip(pods).filter(|(_, number)| **number == Some(pod));
    let runs = stages.flat_map(|(stage, _)| &stage.steps).filter_map(|step| match &step.op {
        Some(Op::Run(run)) => Some(run),
        _ => None,
    });
    let ids = runs.flat_map(|run| &run.mounts).filter_map(|mount| match &mount.source {
        MountSource::Ssh { id, .. } => Some(id.clone()),
        _ => None,
    });
    ids.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Starts an agent for each of the keys that lie in `secrets`; their sockets are made in `place`.
pub fn start(ids: &[String], secrets: &Path, place: &Path) -> Result<Agents, AgentError> {
    let mut agents = Agents::default();
    for (number, id) in ids.iter().enumerate() {
        let key = secrets.join(id);
        if id.contains('/') || !key.is_file() {
            continue; // nobody lends it: whether that is an error is the instruction's to say
        }
        let socket = place.join(format!("agent-{number}"));
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
        let failed = |program| move |source| AgentError::Start { program, id: id.clone(), source };
        agents.children.push(command.spawn().map_err(failed("ssh-agent"))?);
        let began = Instant::now();
        while !socket.exists() {
            if began.elapsed() > PATIENCE {
                return Err(AgentError::Silent(id.clone()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(&key)
            .env("SSH_AUTH_SOCK", &socket)
            .env("SSH_ASKPASS_REQUIRE", "never")
            .stdin(Stdio::null())
            .output()
            .map_err(failed("ssh-add"))?;
        if !added.status.success() {
            let said = String::from_utf8_lossy(&added.stderr).trim().to_owned();
            return Err(AgentError::Key { id: id.clone(), said });
        }
        agents.sockets.insert(id.clone(), socket);
    }
    Ok(agents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_lends_starts_nothing() {
        let folder = std::env::temp_dir();
        let agents =
            start(&["no-such-key".into(), "../x".into()], &folder, &folder).expect("no agent needed");
        assert!(agents.sockets.is_empty() && agents.children.is_empty());
    }
}
