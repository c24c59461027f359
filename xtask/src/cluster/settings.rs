//! Addresses, names and folders of the cluster: facts that its parts must agree on.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::host::folders;

/// The node's address, on a bridge of its own: the API server refuses to advertise a loopback address.
pub(crate) const NODE_ADDRESS: &str = "10.88.0.1";
/// Where the API server listens.
pub(crate) const API_URL: &str = "https://10.88.0.1:6443";
/// The registry, reachable under one name from the machine, from the kubelet and from pods.
pub(crate) const REGISTRY_ADDRESS: &str = "10.88.0.1:5000";
/// A second registry, which asks for a name and a password; no mirror, and no more secret than this line.
pub(crate) const PRIVATE_REGISTRY_ADDRESS: &str = "10.88.0.1:5001";
/// The one user of the private registry, `slipway` with the password `slipway-test`, as its user file has it.
pub(crate) const PRIVATE_REGISTRY_USER: &str =
    "slipway:$2b$04$5HwvNZsnwBXVbkm2RpsNauTzelNks/ZlyGXi4kXlhSRihdYpS0Aca\n";
/// Addresses of pods: a kubelet takes 110 of them, and addresses are given out round-robin.
pub(crate) const POD_RANGE: &str = "10.88.16.0/20";
/// Addresses of services.
pub(crate) const SERVICE_RANGE: &str = "10.88.128.0/20";
/// The API server's own service, the first address of the range.
pub(crate) const API_SERVICE: &str = "10.88.128.1";
/// The suffix of services' names.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";
/// The only node's name.
pub(crate) const NODE_NAME: &str = "slipway-node";
/// The bridge that carries the node's address.
pub(crate) const NODE_BRIDGE: &str = "slipway-node";
/// The bridge that pods hang on.
pub(crate) const POD_BRIDGE: &str = "slipway-pods";
/// The pods' network, the prefix of what the network plugins remember.
pub(crate) const POD_NETWORK: &str = "slipway";
/// The sandbox image that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "10.88.0.1:5000/slipway/pause:1";
/// etcd listens off its usual ports, so that one that runs already is left alone.
pub(crate) const ETCD_CLIENT: &str = "http://127.0.0.1:23790";
/// As above, for peers, of which there are none.
pub(crate) const ETCD_PEER: &str = "http://127.0.0.1:23800";
/// The storage class of dynamic claims, and the default one.
pub(crate) const STORAGE_CLASS: &str = "slipway-local";
/// The storage class whose volumes are as small as their claims ask, in memory: for tests of a full volume.
pub(crate) const BOUNDED_STORAGE_CLASS: &str = "slipway-bounded";
/// The name under which the provisioner answers claims.
pub(crate) const PROVISIONER: &str = "slipway.dev/local";

/// Where a cluster lives unless `SLIPWAY_CLUSTER_STATE` says otherwise.
const DEFAULT_STATE: &str = "/var/lib/slipway-cluster";

/// The folder that holds all of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct State(PathBuf);

impl State {
    /// The machine's one cluster: its addresses and ports leave room for no second.
    ///
    /// It does not lie in the cache folder, since a home folder is mostly closed to others, and containers with a user
    /// namespace of their own are such others when they reach for their root file system.
    pub(crate) fn locate() -> Self {
        Self(env::var_os("SLIPWAY_CLUSTER_STATE").map_or_else(|| DEFAULT_STATE.into(), PathBuf::from))
    }

    /// Creates the folder, and checks that containers will be able to pass through it.
    pub(crate) fn create(&self) -> Result<()> {
        // The runtime would make its own folder closed.
        for folder in [self.0.clone(), self.path("containerd")] {
            folders::make(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))?;
        }
        for folder in self.0.ancestors() {
            let mode = fs::metadata(folder).map(|metadata| metadata.permissions().mode());
            ensure!(
                mode.is_ok_and(|mode| mode & 0o001 != 0),
                "{} is closed to other users, so containers with a user namespace could not start\n\
                 help: name another folder in SLIPWAY_CLUSTER_STATE",
                folder.display(),
            );
        }
        Ok(())
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// A file or folder of the cluster.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The client configuration of a user: `admin`, or a component.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.0.join("clients").join(format!("{user}.kubeconfig"))
    }

    /// The socket of the container runtime.
    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.0.join("containerd.sock")
    }

    /// Where the registry keeps its images. They outlive the cluster, since making the base images takes minutes.
    pub(crate) fn images() -> Result<PathBuf> {
        Ok(folders::cache()?.join("registry"))
    }

    /// Where volumes of the storage class lie.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.0.join("volumes")
    }
}
