//! Volumes for claims: answers the cluster's storage class with folders on the node.
//!
//! Follows the protocol of external provisioners: the volume controller marks a claim with the provisioner that shall
//! serve it, and leaves the deletion of released volumes to the one that made them. A volume's size is not enforced.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::Access,
    settings::{NODE_NAME, PROVISIONER, STORAGE_CLASS, State},
};
use crate::host::{folders, mounts};

const MADE_BY: &str = "pv.kubernetes.io/provisioned-by";
const ASKED_OF: &str = "volume.kubernetes.io/storage-provisioner";

/// Serves claims and volumes until stopped.
pub(crate) fn serve(state: &State) -> Result<()> {
    let access = Access::own(state)?;
    std::thread::scope(|scope| {
        scope.spawn(|| follow(&access, "persistentvolumeclaims", |claim| provision(state, &access, claim)));
        scope.spawn(|| follow(&access, "persistentvolumes", |volume| reclaim(state, &access, volume)));
    });
    Ok(())
}

/// Hands every version of every object to `act`, starting over when the watch ends.
fn follow(access: &Access, kind: &str, act: impl Fn(&Value) -> Result<()>) {
    loop {
        if let Err(error) = watch(access, kind, &act) {
            println!("watching {kind}: {error:#}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn watch(access: &Access, kind: &str, act: &impl Fn(&Value) -> Result<()>) -> Result<()> {
    let mut kubectl = access
        .command()
        .args(["get", kind, "--all-namespaces", "--watch", "--output=json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start kubectl")?;
    let output = kubectl.stdout.take().context("kubectl has no output")?;
    for object in serde_json::Deserializer::from_reader(std::io::BufReader::new(output)).into_iter::<Value>()
    {
        let Ok(object) = object else { break };
        if let Err(error) = act(&object) {
            println!("{kind} {}: {error:#}", object["metadata"]["name"]);
        }
    }
    kubectl.kill().context("failed to stop kubectl")?;
    kubectl.wait().context("failed to wait for kubectl").map(drop)
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
}

/// Makes a folder and a volume for a claim that waits for us.
fn provision(state: &State, access: &Access, claim: &Value) -> Result<()> {
    if !wants_volume(claim) {
        return Ok(());
    }
    let metadata: Metadata = serde_json::from_value(claim["metadata"].clone()).context("odd metadata")?;
    let name = format!("pvc-{}", metadata.uid);
    let folder = state.volumes().join(&name);
    folders::make(&folder)?;
    // Pods of any user write to their volume; what is in it has its own modes.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))
        .context("failed to open the folder to all")?;
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {MADE_BY: PROVISIONER}},
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid,
            },
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]},
            ]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
            "volumeMode": "Filesystem",
        },
    });
    let file = state.path(&format!("volumes/{name}.json"));
    folders::write(&file, volume.to_string())?;
    let applied = access.kubectl(["apply", "--server-side", "--filename", &file.to_string_lossy()]);
    fs::remove_file(&file).context("failed to delete a scratch file")?;
    println!("{}", applied?.trim());
    Ok(())
}

fn wants_volume(claim: &Value) -> bool {
    let metadata = &claim["metadata"];
    claim["status"]["phase"] == "Pending"
        && claim["spec"]["volumeName"].is_null()
        && metadata["deletionTimestamp"].is_null()
        && metadata["annotations"][ASKED_OF] == PROVISIONER
}

/// Deletes a volume of ours that its claim has let go, folder first.
fn reclaim(state: &State, access: &Access, volume: &Value) -> Result<()> {
    if !is_released(volume) {
        return Ok(());
    }
    let name = volume["metadata"]["name"].as_str().context("a volume without a name")?;
    mounts::delete(&state.volumes().join(name))?;
    println!(
        "{}",
        access.kubectl(["delete", "persistentvolume", name, "--wait=false", "--ignore-not-found"])?.trim()
    );
    Ok(())
}

fn is_released(volume: &Value) -> bool {
    volume["status"]["phase"] == "Released"
        && volume["metadata"]["deletionTimestamp"].is_null()
        && volume["metadata"]["annotations"][MADE_BY] == PROVISIONER
        && volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pending_claims_that_were_marked_for_us_are_served() {
        let claim = json!({
            "metadata": {"annotations": {ASKED_OF: PROVISIONER}}, "spec": {}, "status": {"phase": "Pending"},
        });
        assert!(wants_volume(&claim));
        let change = |pointer: &str, value: Value| {
            let mut other = claim.clone();
            other[pointer] = value;
            other
        };
        assert!(!wants_volume(&change("status", json!({"phase": "Bound"}))));
        assert!(!wants_volume(&change("spec", json!({"volumeName": "v"}))));
        assert!(!wants_volume(&change("metadata", json!({"annotations": {ASKED_OF: "else"}}))));
    }

    #[test]
    fn a_kept_volume_and_one_of_somebody_else_are_not_deleted() {
        let volume = |by: &str, policy: &str| {
            json!({
                "metadata": {"annotations": {MADE_BY: by}},
                "spec": {"persistentVolumeReclaimPolicy": policy},
                "status": {"phase": "Released"},
            })
        };
        assert!(is_released(&volume(PROVISIONER, "Delete")));
        assert!(!is_released(&volume(PROVISIONER, "Retain")));
        assert!(!is_released(&volume("else", "Delete")));
    }
}
