//! Boots the node: each program in the order in which it finds what it needs.

use std::{path::Path, process::Command, time::Duration, time::Instant};

use anyhow::{Context, Result, bail};

use super::{
    access::Access,
    cgroups, configuration, images, network,
    parts::Parts,
    pki,
    settings::{ETCD_CLIENT, ETCD_PEER, NODE_ADDRESS, NODE_NAME, SERVICE_RANGE, State},
    stop,
};
use crate::host::{command::wait_until, daemon::Daemon, folders, packages};

/// How long a step of the start may take on a slow, busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// Boots what does not run and waits until the node takes pods.
pub(crate) fn up(state: &State) -> Result<Access> {
    if !packages::is_root() {
        bail!(
            "booting a node takes root: it makes namespaces, mounts and a bridge\n\
             help: run this as root, or set KUBECONFIG to a cluster that you have and SLIPWAY_TEST_REGISTRY to a registry \
             that it can pull from"
        );
    }
    packages::ensure(packages::CLUSTER)?;
    let parts = Parts::ensure()?;
    let start = Instant::now();
    if Daemon::recorded(state.root()).iter().all(|daemon| daemon.process().is_none()) {
        // What a crash or a reboot left behind would be half a cluster.
        stop::down(state, false)?;
    }
    state.create()?;
    pki::ensure(state)?;
    cgroups::up(state)?;
    network::up(state)?;
    configuration::write(state, &parts)?;
    let access = Access::own(state)?;

    for name in ["registry", "private-registry"] {
        daemon(state, name, &parts.registry.join("registry"), |command| {
            let settings = state.path(&format!("{name}.yaml"));
            command.arg("serve").arg(settings).env("OTEL_TRACES_EXPORTER", "none");
        })?;
    }
    start_control_plane(state, &parts)?;
    daemon(state, "containerd", &parts.containerd.join("containerd"), |command| {
        command.arg("--config").arg(state.path("containerd.toml")).env("PATH", parts.path());
    })?;
    wait(state, "registry", || Ok(access.registry_answers()))?;
    images::ensure_pause(state, &parts)?;
    wait(state, "kube-apiserver", || Ok(access.kubectl(["get", "--raw", "/readyz"])?.trim() == "ok"))?;
    start_node(state, &parts)?;
    let storage_classes = state.path("storage-classes.yaml");
    access.kubectl([Path::new("apply"), Path::new("--filename"), &storage_classes])?;
    start_provisioner(state)?;
    wait(state, "kubelet", || {
        let query = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        Ok(access.kubectl(["get", "node", NODE_NAME, "--output", query])?.trim() == "True")
    })?;
    // Pods are refused until the controller manager has made their account.
    wait(state, "kube-controller-manager", || {
        access.kubectl(["get", "serviceaccount", "default", "--namespace=default"]).map(|_| true)
    })?;
    for daemon in Daemon::recorded(state.root()) {
        daemon.must_run()?;
    }
    println!("the cluster is up after {:.0} s", start.elapsed().as_secs_f64());
    println!("kubeconfig {}", state.kubeconfig("admin").display());
    println!("for a shell: eval \"$(cargo xtask cluster env)\"");
    Ok(access)
}

fn daemon(state: &State, name: &str, program: &Path, configure: impl FnOnce(&mut Command)) -> Result<()> {
    Daemon::new(state.root(), name).ensure(program, configure)
}

/// Waits for an answer, and stops waiting when the program that should give it has ended.
fn wait(state: &State, name: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let daemon = Daemon::new(state.root(), name);
    let mut ended = None;
    wait_until(&format!("{name} ready"), PATIENCE, || match daemon.must_run() {
        Ok(()) => ready(),
        Err(error) => {
            ended = Some(error);
            Ok(true)
        }
    })?;
    ended.map_or(Ok(()), Err)
}

fn start_control_plane(state: &State, parts: &Parts) -> Result<()> {
    let pki = |name: &str| state.path("pki").join(name).display().to_string();
    daemon(state, "etcd", &parts.etcd.join("etcd"), |command| {
        command
            .arg("--data-dir")
            .arg(state.path("etcd"))
            .args(["--listen-client-urls", ETCD_CLIENT, "--advertise-client-urls", ETCD_CLIENT])
            .args(["--listen-peer-urls", ETCD_PEER, "--initial-advertise-peer-urls", ETCD_PEER])
            .args([
                "--initial-cluster",
                &format!("default={ETCD_PEER}"),
                "--unsafe-no-fsync",
                "--log-level=warn",
            ]);
    })?;
    daemon(state, "kube-apiserver", &parts.kubernetes("kube-apiserver"), |command| {
        command.args([
            format!("--advertise-address={NODE_ADDRESS}"),
            "--allow-privileged=true".into(),
            "--authorization-mode=Node,RBAC".into(),
            format!("--bind-address={NODE_ADDRESS}"),
            format!("--client-ca-file={}", pki("ca.crt")),
            "--enable-admission-plugins=NodeRestriction".into(),
            format!("--etcd-servers={ETCD_CLIENT}"),
            format!("--kubelet-client-certificate={}", pki("apiserver-kubelet.crt")),
            format!("--kubelet-client-key={}", pki("apiserver-kubelet.key")),
            "--kubelet-preferred-address-types=InternalIP".into(),
            "--secure-port=6443".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", pki("service-accounts.key")),
            format!("--service-account-signing-key-file={}", pki("service-accounts.key")),
            format!("--service-cluster-ip-range={SERVICE_RANGE}"),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--token-auth-file={}", pki("tokens.csv")),
        ]);
    })
}

fn start_node(state: &State, parts: &Parts) -> Result<()> {
    let client = |name: &str| format!("--kubeconfig={}", state.kubeconfig(name).display());
    daemon(state, "kube-controller-manager", &parts.kubernetes("kube-controller-manager"), |command| {
        command
            .arg(client("kube-controller-manager"))
            .args(["--leader-elect=false", "--use-service-account-credentials", "--bind-address=127.0.0.1"])
            .arg(format!("--root-ca-file={}", state.path("pki/ca.crt").display()))
            .arg(format!(
                "--service-account-private-key-file={}",
                state.path("pki/service-accounts.key").display()
            ))
            .arg(format!("--cert-dir={}", state.path("pki/kube-controller-manager").display()));
    })?;
    daemon(state, "kube-scheduler", &parts.kubernetes("kube-scheduler"), |command| {
        command.arg(client("kube-scheduler")).args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
    })?;
    daemon(state, "coredns", &parts.coredns.join("coredns"), |command| {
        command.arg("-conf").arg(state.path("Corefile"));
    })?;
    daemon(state, "kubelet", &parts.kubernetes("kubelet"), |command| {
        command
            .arg(client("kubelet"))
            .arg(format!("--config={}", state.path("kubelet.yaml").display()))
            .arg(format!("--root-dir={}", state.path("kubelet").display()))
            .arg(format!("--cert-dir={}", state.path("pki/kubelet").display()))
            .args([format!("--hostname-override={NODE_NAME}"), format!("--node-ip={NODE_ADDRESS}")])
            .env("PATH", parts.path());
    })?;
    daemon(state, "kube-proxy", &parts.kubernetes("kube-proxy"), |command| {
        command
            .arg(format!("--config={}", state.path("kube-proxy.yaml").display()))
            .env("PATH", parts.path());
    })
}

/// The provisioner is this very program, copied so that a rebuild does not disturb it.
fn start_provisioner(state: &State) -> Result<()> {
    let provisioner = Daemon::new(state.root(), "provisioner");
    if provisioner.process().is_some() {
        return Ok(());
    }
    let copy = state.path("provisioner");
    let this = std::env::current_exe().context("failed to find this program")?;
    std::fs::copy(&this, &copy).with_context(|| format!("failed to copy {}", this.display()))?;
    let cache = folders::cache()?;
    provisioner.ensure(&copy, |command| {
        command.args(["cluster", "provisioner"]).env("SLIPWAY_CACHE", cache);
    })
}
