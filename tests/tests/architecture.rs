//! The arrows between crates, as `docs/architecture.md` draws them.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every crate of the workspace and the crates of ours that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("slipway-dockerfile", &[]),
    ("slipway-oci", &[]),
    ("slipway-sandbox", &[]),
    ("slipway-protocol", &[]),
    ("slipway-graph", &["slipway-dockerfile", "slipway-oci"]),
    ("slipway-store", &["slipway-oci"]),
    ("slipway-registry", &["slipway-oci"]),
    ("slipway-crds", &[]),
    ("slipway-operator", &["slipway-crds", "slipway-oci", "slipway-protocol"]),
    (
        "slipway-executor",
        &[
            "slipway-dockerfile",
            "slipway-graph",
            "slipway-oci",
            "slipway-protocol",
            "slipway-registry",
            "slipway-sandbox",
            "slipway-store",
        ],
    ),
    (
        "slipway-cli",
        &[
            "slipway-dockerfile",
            "slipway-executor",
            "slipway-graph",
            "slipway-oci",
            "slipway-registry",
            "slipway-sandbox",
            "slipway-store",
        ],
    ),
];

/// Crates that must not come anywhere below a pure crate, and Kubernetes below the executor.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("slipway-dockerfile", &["tokio", "reqwest", "rustix", "libc"]),
    ("slipway-graph", &["tokio", "reqwest", "rustix"]),
    ("slipway-protocol", &["tokio", "reqwest", "rustix", "kube"]),
    ("slipway-oci", &["tokio", "reqwest", "rustix"]),
    ("slipway-executor", &["kube", "kube-client", "k8s-openapi"]),
    ("slipway-operator", &["oci-client", "seccompiler"]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn arrows_point_one_way() {
    let metadata = metadata();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if package["source"].is_null() {
            let uses = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
            let ours = uses.filter_map(|d| d["name"].as_str()).filter(|n| n.starts_with("slipway-"));
            found.insert(name.to_owned(), ours.map(ToOwned::to_owned).collect());
        }
    }
    for (name, allowed) in ARROWS {
        let used = found.get(*name).unwrap_or_else(|| panic!("{name} is gone"));
        let extra: Vec<_> = used.iter().filter(|u| !allowed.contains(&u.as_str())).collect();
        assert!(extra.is_empty(), "{name} must not use {extra:?}");
    }
    for name in found.keys().filter(|n| n.starts_with("slipway-") && *n != "slipway-tests") {
        assert!(ARROWS.iter().any(|(known, _)| known == name), "{name} has no arrows here");
    }
}

#[test]
fn pure_crates_stay_pure() {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let name_of: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect();
    let below = |root: &str| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = name_of.iter().filter(|(_, n)| **n == root).map(|(id, _)| *id).collect();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = nodes.iter().find(|n| n["id"] == id).unwrap();
            for dep in node["deps"].as_array().unwrap() {
                if dep["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null()) {
                    open.push(dep["pkg"].as_str().unwrap());
                }
            }
        }
        seen.into_iter().map(|id| name_of[id]).collect::<BTreeSet<_>>()
    };
    for (root, forbidden) in FORBIDDEN {
        let found = below(root);
        for name in *forbidden {
            assert!(!found.contains(name), "{root} must not come to depend on {name}");
        }
    }
}

#[test]
fn unsafe_lives_in_the_sandbox_alone() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open = vec![
        root.join("crates"),
        root.join("executor"),
        root.join("operator"),
        root.join("cli"),
        root.join("crds"),
    ];
    let mut seen = 0;
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("crates/sandbox") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                seen += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("allow(unsafe_code)"), "{} allows unsafe code", path.display());
            }
        }
    }
    assert!(seen > 50, "only {seen} files were looked at");
}
