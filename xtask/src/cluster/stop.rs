//! Stops the cluster and takes away everything that it left on the machine.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

use super::{cgroups, network, settings::State};
use crate::host::{
    command::wait_until,
    daemon::{self, Daemon, Process},
    mounts,
};

/// Stopped in this order: first what would start things again, the registry and the database last.
const ORDER: &[&str] = &[
    "provisioner",
    "coredns",
    "kubelet",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-proxy",
    "containerd",
    "kube-apiserver",
    "etcd",
    "registry",
    "private-registry",
];

/// Stops and removes all. The registry's images survive unless `purge` is asked.
pub(crate) fn down(state: &State, purge: bool) -> Result<()> {
    if state.root().exists() {
        let recorded = Daemon::recorded(state.root());
        let known = ORDER.iter().map(|name| Daemon::new(state.root(), name));
        let daemons: Vec<Daemon> = known.chain(recorded).collect();
        // The provisioner's own kubectl processes would outlive it.
        let watches =
            Daemon::new(state.root(), "provisioner").process().map(daemon::tree).unwrap_or_default();
        for daemon in &daemons {
            daemon.ask_to_stop();
        }
        watches.into_iter().for_each(Process::kill);
        for daemon in &daemons {
            daemon.stop(Duration::from_secs(5))?;
        }
        stop_containers(state)?;
        mounts::unmount_below(state.root())?;
        network::down(state)?;
        cgroups::down(state);
        remove_system_folders();
        mounts::delete(state.root())?;
    }
    if purge {
        mounts::delete(&State::images()?)?;
    }
    Ok(())
}

/// Ends every container of our containerd: its shims name our socket, and hold the containers as descendants.
fn stop_containers(state: &State) -> Result<()> {
    let mut ended: Vec<Process> = Vec::new();
    for shim in shims(&state.containerd_socket()) {
        for process in daemon::tree(shim) {
            process.kill();
            ended.push(process);
        }
    }
    remove_shim_sockets(state);
    wait_until("end of all containers", Duration::from_secs(20), || {
        Ok(!ended.iter().any(|process| process.alive()))
    })
    .map(drop)
}

fn shims(socket: &Path) -> Vec<Process> {
    daemon::all()
        .into_iter()
        .map(|(process, _)| process)
        .filter(|process| is_shim(*process, socket))
        .collect()
}

fn is_shim(process: Process, socket: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", process.pid())) else { return false };
    let words: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let program = words.first().is_some_and(|word| word.ends_with("containerd-shim-runc-v2"));
    program && words.windows(2).any(|pair| pair[0] == "-address" && Path::new(&pair[1]) == socket)
}

/// Shims listen below a folder of the system; each notes where beside its container.
fn remove_shim_sockets(state: &State) {
    let tasks = state.path("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    let Ok(entries) = fs::read_dir(tasks) else { return };
    for entry in entries.flatten() {
        let Ok(text) = fs::read(entry.path().join("bootstrap.json")) else { continue };
        let Ok(note) = serde_json::from_slice::<serde_json::Value>(&text) else { continue };
        if let Some(socket) = note["address"].as_str().and_then(|address| address.strip_prefix("unix://")) {
            // One that a shim removed itself is gone already.
            let _ = fs::remove_file(socket);
        }
    }
}

/// Folders that the programs make at fixed places, removed where nothing else uses them.
fn remove_system_folders() {
    for file in
        ["/var/lib/kubelet/device-plugins/kubelet.sock", "/var/lib/kubelet/device-plugins/DEPRECATION"]
    {
        let _ = fs::remove_file(file);
    }
    if let Ok(entries) = fs::read_dir("/var/log/containers") {
        // Links to the logs of our pods point nowhere by now.
        for entry in entries.flatten().filter(|entry| !entry.path().exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for folder in [
        "/var/lib/kubelet/device-plugins",
        "/var/lib/kubelet",
        "/var/log/containers",
        "/run/containerd/s",
        "/run/containerd",
    ] {
        // A folder with something in it stays.
        let _ = fs::remove_dir(folder);
    }
}
