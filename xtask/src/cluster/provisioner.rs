//! Volumes for claims: answers the cluster's storage class with folders on the node.
//!
//! Follows the protocol of external provisioners: the volume controller marks a claim with the provisioner that shall
//! serve it, and leaves the deletion of released volumes to the one that made them. The size of a volume is enforced in
//! the bounded class only.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::Access,
    settings::{BOUNDED_STORAGE_CLASS, NODE_NAME, PROVISIONER, STORAGE_CLASS, State},
};
use crate::host::{command::Run, folders, mounts};

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
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or(STORAGE_CLASS);
    let size = &claim["spec"]["resources"]["requests"]["storage"];
    if class == BOUNDED_STORAGE_CLASS && !mounts::is_mounted(&folder)? {
        let size = bytes(size.as_str().unwrap_or_default()).with_context(|| format!("odd size {size}"))?;
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "slipway-bounded"])
            .arg(&folder)
            .text()?;
    }
    // Pods of any user write to their volume; what is in it has its own modes.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))
        .context("failed to open the folder to all")?;
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {MADE_BY: PROVISIONER}},
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": size},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid,
            },
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]},
            ]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": class,
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

/// The number of bytes that a quantity of the API means, as far as storage requests use it.
fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &quantity[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
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
    let folder = state.volumes().join(name);
    mounts::unmount_below(&folder)?;
    mounts::delete(&folder)?;
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
    fn sizes_are_bytes() {
        assert_eq!(bytes("64Mi"), Some(64 << 20));
        assert_eq!(bytes("5G"), Some(5_000_000_000));
        assert_eq!(bytes("1000"), Some(1000));
        assert_eq!(bytes("1.5Gi"), None);
        assert_eq!(bytes("lots"), None);
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
