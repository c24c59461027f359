//! Configuration files of the node's programs.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::{
    cgroups,
    parts::Parts,
    settings::{
        BOUNDED_STORAGE_CLASS, CLUSTER_DOMAIN, NODE_ADDRESS, NODE_NAME, PAUSE_IMAGE, POD_BRIDGE, POD_NETWORK,
        POD_RANGE, PRIVATE_REGISTRY_ADDRESS, PRIVATE_REGISTRY_USER, PROVISIONER, REGISTRY_ADDRESS,
        STORAGE_CLASS, State,
    },
};
use crate::host::folders;

/// Writes all configuration files.
pub(crate) fn write(state: &State, parts: &Parts) -> Result<()> {
    folders::make(&state.path("network"))?;
    folders::write(&state.path("network/10-slipway.conflist"), network(state).to_string())?;
    folders::write(&state.path("containerd.toml"), containerd(state, parts))?;
    registry_hosts(&state.path("hosts"))?;
    folders::write(&state.path("Corefile"), names(state))?;
    yaml(&state.path("kubelet.yaml"), &kubelet(state))?;
    yaml(&state.path("kube-proxy.yaml"), &kube_proxy(state))?;
    yaml(&state.path("registry.yaml"), &registry()?)?;
    folders::write(&state.path("private-registry.users"), PRIVATE_REGISTRY_USER)?;
    yaml(&state.path("private-registry.yaml"), &private_registry(state))?;
    yaml(&state.path("storage-classes.yaml"), &storage_classes())
}

fn yaml(file: &Path, value: &serde_json::Value) -> Result<()> {
    folders::write(file, serde_yaml::to_string(value)?)
}

/// One bridge for the pods. The node's own table translates addresses, so the plugin leaves no rules behind.
fn network(state: &State) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": POD_NETWORK,
        "plugins": [{
            "type": "bridge",
            "bridge": POD_BRIDGE,
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": state.path("addresses"),
                "ranges": [[{"subnet": POD_RANGE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// Everything below the state folder, so that nothing is left in the system's own.
fn containerd(state: &State, parts: &Parts) -> String {
    let root = state.root().display();
    format!(
        r#"version = 3
root = "{root}/containerd/root"
state = "{root}/containerd/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{root}/containerd/opt"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "{root}/hosts"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
# Both for machines without CAP_SYS_RESOURCE and CAP_SYS_ADMIN's wider powers.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{cni}"]
conf_dir = "{root}/network"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}/runc"
SystemdCgroup = false
Root = "{root}/containerd/runc"
"#,
        socket = state.containerd_socket().display(),
        cni = parts.cni.display(),
        runc = parts.runc.display(),
    )
}

/// The cluster's registry speaks plain HTTP, and stands in for every public one.
fn registry_hosts(folder: &Path) -> Result<()> {
    let host = format!("[host.\"http://{REGISTRY_ADDRESS}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    let private = folder.join(PRIVATE_REGISTRY_ADDRESS);
    folders::make(&private)?;
    folders::write(&private.join("hosts.toml"), format!("server = \"http://{PRIVATE_REGISTRY_ADDRESS}\"\n"))?;
    for name in ["_default", REGISTRY_ADDRESS, "localhost:5000"] {
        folders::make(&folder.join(name))?;
        folders::write(
            &folder.join(name).join("hosts.toml"),
            format!("server = \"http://{REGISTRY_ADDRESS}\"\n\n{host}"),
        )?;
    }
    Ok(())
}

/// Names of the cluster's services, and this machine's own resolvers for the rest.
fn names(state: &State) -> String {
    format!(
        ".:53 {{\n    bind {NODE_ADDRESS}\n    errors\n    cache 5\n    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{\n        \
         kubeconfig {}\n        fallthrough in-addr.arpa\n    }}\n    forward . /etc/resolv.conf\n}}\n",
        state.kubeconfig("admin").display(),
    )
}

fn kubelet(state: &State) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": state.path("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups::name(state),
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": format!("unix://{}", state.containerd_socket().display()),
        "enforceNodeAllocatable": [],
        "eventRecordQPS": 0,
        // A full development disk is no reason to evict: only a nearly unusable one is.
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
        },
        // Machines with the older cgroup hierarchy are welcome.
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "makeIPTablesUtilChains": false,
        // Lowering the score would need CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
        "podLogsDir": state.path("pod-logs"),
        "registryPullQPS": 0,
        "resolvConf": "/etc/resolv.conf",
        "serializeImagePulls": false,
    })
}

fn kube_proxy(state: &State) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": NODE_ADDRESS,
        "clientConnection": {"kubeconfig": state.kubeconfig("kube-proxy")},
        "clusterCIDR": POD_RANGE,
        // The machine's own connection tracking settings stay.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": NODE_NAME,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "mode": "nftables",
    })
}

/// The open registry of the cluster; its images outlive it.
fn registry() -> Result<serde_json::Value> {
    Ok(distribution(REGISTRY_ADDRESS, &State::images()?, &json!({})))
}

/// The registry for tests of credentials.
fn private_registry(state: &State) -> serde_json::Value {
    let users = json!({"htpasswd": {"realm": "slipway tests", "path": state.path("private-registry.users")}});
    distribution(PRIVATE_REGISTRY_ADDRESS, &state.path("private-registry"), &users)
}

fn distribution(address: &str, folder: &Path, auth: &serde_json::Value) -> serde_json::Value {
    json!({
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": false}},
        "storage": {"filesystem": {"rootdirectory": folder}, "delete": {"enabled": true}},
        "http": {"addr": address},
        "auth": auth,
    })
}

fn storage_classes() -> serde_json::Value {
    let class = |name: &str, default: bool| {
        json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": name,
                "annotations": {"storageclass.kubernetes.io/is-default-class": default.to_string()},
            },
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        })
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [
        class(STORAGE_CLASS, true),
        class(BOUNDED_STORAGE_CLASS, false),
    ]})
}
