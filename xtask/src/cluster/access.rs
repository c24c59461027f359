//! How commands and tests talk to a cluster, whoever booted it.

use std::{
    env,
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::settings::{PRIVATE_REGISTRY_ADDRESS, REGISTRY_ADDRESS, State};
use crate::host::{command::Run, parts};

/// A cluster that answers, and a registry that it pulls from.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    registry: String,
    private_registry: Option<String>,
}

impl Access {
    /// The cluster of the state folder.
    pub(crate) fn own(state: &State) -> Result<Self> {
        Ok(Self {
            kubectl: parts::KUBERNETES.ensure()?.join("kubectl"),
            kubeconfig: state.kubeconfig("admin"),
            registry: REGISTRY_ADDRESS.to_owned(),
            private_registry: Some(PRIVATE_REGISTRY_ADDRESS.to_owned()),
        })
    }

    /// The cluster that `KUBECONFIG` names, if it names one.
    pub(crate) fn given() -> Result<Option<Self>> {
        let own = State::locate().kubeconfig("admin").into_os_string();
        let Some(kubeconfig) = env::var_os("KUBECONFIG").filter(|value| !value.is_empty() && *value != own)
        else {
            return Ok(None);
        };
        let Ok(registry) = env::var("SLIPWAY_TEST_REGISTRY") else {
            bail!(
                "KUBECONFIG names a cluster, and SLIPWAY_TEST_REGISTRY names no registry for it\n\
                 help: set it to host:port of a registry that this machine can push to and the cluster can pull from, or \
                 unset KUBECONFIG to have a cluster booted"
            );
        };
        let access = Self {
            kubectl: "kubectl".into(),
            kubeconfig: kubeconfig.into(),
            registry,
            private_registry: env::var("SLIPWAY_TEST_PRIVATE_REGISTRY").ok(),
        };
        access
            .kubectl(["get", "--raw", "/readyz"])
            .context("the cluster that KUBECONFIG names does not answer; unset it to have one booted")?;
        Ok(Some(access))
    }

    /// The registry as host and port, the same for this machine and for pods.
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// A registry that asks for the name and password that the tests know, where there is one.
    pub(crate) fn private_registry(&self) -> Option<&str> {
        self.private_registry.as_deref()
    }

    /// The file that says how to reach the cluster.
    pub(crate) fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// The kubectl program.
    pub(crate) fn kubectl_program(&self) -> &std::path::Path {
        &self.kubectl
    }

    /// A kubectl command for this cluster.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs kubectl and returns what it printed.
    pub(crate) fn kubectl<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        self.command().args(words).text()
    }

    /// Creates an object, and returns what kubectl printed about it.
    pub(crate) fn create(&self, object: &serde_json::Value, options: &[&str]) -> Result<String> {
        self.feed(&[&["create", "--filename=-"], options].concat(), &object.to_string())
    }

    /// Creates a namespace that enforces PodSecurity `baseline`, the floor for building with RUN.
    pub(crate) fn create_baseline_namespace(&self, name: &str) -> Result<()> {
        let labels = serde_json::json!({"pod-security.kubernetes.io/enforce": "baseline"});
        let metadata = serde_json::json!({"name": name, "labels": labels});
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.create(&namespace, &[]).map(drop)
    }

    /// Runs kubectl with a text on its standard input, and returns what it printed.
    pub(crate) fn feed(&self, words: &[&str], input: &str) -> Result<String> {
        let mut kubectl = self
            .command()
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("failed to start kubectl")?;
        kubectl.stdin.take().context("kubectl has no input")?.write_all(input.as_bytes())?;
        let output = kubectl.wait_with_output().context("failed to wait for kubectl")?;
        if !output.status.success() {
            bail!(
                "kubectl {} failed: {}",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Tells whether the registry speaks its protocol.
    pub(crate) fn registry_answers(&self) -> bool {
        let url = format!("http://{}/v2/", self.registry);
        Command::new("curl")
            .args(["--silent", "--fail", "--max-time", "5", "--noproxy", "*", &url])
            .succeeds()
    }
}
