//! Flux's own controller on a folder of ImageBuilds: ready when the images are there, failed when a build fails.
//!
//! kustomize-controller runs on this machine against the cluster. What its source-controller would serve, an archive over
//! HTTP, is served here.

mod artifacts;

use std::{process::Command, time::Duration};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    bases,
    cluster::Access,
    host::{
        command::{Run, wait_until},
        daemon::Daemon,
        folders, modules, parts,
    },
    install,
};
use artifacts::Artifacts;

const NAMESPACE: &str = "slipway-gitops";

/// Shows how GitOps meets ImageBuilds.
pub(crate) fn run(access: &Access, options: &install::Options) -> Result<()> {
    bases::ensure(access, &["busybox", "debian"])?;
    options.ensure(access)?;
    let definitions = define(access)?;
    clear(access)?;
    access.create_baseline_namespace(NAMESPACE)?;
    let state = folders::cache()?.join("gitops");
    folders::make(&state)?;
    let controller = controller(access, &state)?;
    let outcome = Folder::new(access, &state).and_then(|folder| cases(access, folder));
    let words = controller.last_words();
    controller.stop(Duration::from_secs(10))?;
    if outcome.is_err() {
        println!("== the last words of kustomize-controller\n{words}");
        return outcome;
    }
    clear(access)?;
    for definition in definitions {
        access.kubectl(["delete", &definition, "--wait=false"])?;
    }
    println!("Flux is ready exactly when the images are there, and tells when they cannot be");
    Ok(())
}

/// Makes sure that the cluster knows Flux's kinds; returns those that it did not know before. The controller watches every
/// kind of source and does nothing before it sees all of them.
fn define(access: &Access) -> Result<Vec<String>> {
    let known = access.kubectl(["get", "customresourcedefinitions", "--output=name"])?;
    let mut new = Vec::new();
    for module in [modules::FLUX_SOURCES, modules::FLUX_KUSTOMIZE] {
        let folder = module.folder()?.join("config/crd/bases");
        let folder = folder.to_string_lossy();
        let named = access.kubectl(["create", "--dry-run=client", "--output=name", "--filename", &folder])?;
        new.extend(named.lines().filter(|name| !known.lines().any(|k| k == *name)).map(str::to_owned));
        access.kubectl(["apply", "--server-side", "--filename", &folder])?;
    }
    Ok(new)
}

/// Deletes the namespace, of this run or of one that failed.
fn clear(access: &Access) -> Result<()> {
    let left = ["get", "kustomizations", "--namespace", NAMESPACE, "--output=name"];
    for kustomization in access.kubectl(left)?.lines() {
        // No controller runs that would take its finalizer off.
        let patch = r#"{"metadata":{"finalizers":null}}"#;
        let words = ["patch", kustomization, "--namespace", NAMESPACE, "--type=merge", "--patch", patch];
        access.kubectl(words)?;
    }
    access.kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true"]).map(drop)
}

fn controller(access: &Access, state: &std::path::Path) -> Result<Daemon> {
    let program = parts::FLUX.ensure()?.join("kustomize-controller");
    let daemon = Daemon::new(state, "kustomize-controller");
    daemon.ensure(&program, |command| {
        command
            .env("KUBECONFIG", access.kubeconfig())
            .env("RUNTIME_NAMESPACE", NAMESPACE)
            .env("HOME", state)
            .args(["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--events-addr="])
            .args(["--watch-all-namespaces=true", "--log-level=debug", "--requeue-dependency=2s"]);
    })?;
    Ok(daemon)
}

/// A folder of manifests that Flux applies.
struct Folder<'a> {
    access: &'a Access,
    artifacts: Artifacts,
    revision: u32,
}

impl<'a> Folder<'a> {
    fn new(access: &'a Access, state: &std::path::Path) -> Result<Self> {
        let artifacts = Artifacts::serve(&state.join("artifacts"))?;
        let repository = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "shop", "namespace": NAMESPACE},
            "spec": {"url": "https://git.example/shop.git", "interval": "1h"},
        });
        access.create(&repository, &[])?;
        let kustomization = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "builds", "namespace": NAMESPACE},
            "spec": {
                "interval": "1h", "retryInterval": "5s", "timeout": "4m", "path": "./", "prune": true, "wait": true,
                "targetNamespace": NAMESPACE, "sourceRef": {"kind": "GitRepository", "name": "shop"},
            },
        });
        access.create(&kustomization, &[])?;
        Ok(Self { access, artifacts, revision: 0 })
    }

    /// Publishes manifests as a new revision, and returns its name.
    fn publish(&mut self, manifests: &[Value]) -> Result<String> {
        self.revision += 1;
        let revision = format!("main@sha1:{:040x}", self.revision);
        let artifact = self.artifacts.publish(&revision, manifests)?;
        let status = json!({"status": {
            "artifact": artifact,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                "lastTransitionTime": artifact["lastUpdateTime"],
            }],
        }});
        let patch = status.to_string();
        self.access.kubectl([
            "patch",
            "gitrepository",
            "shop",
            "--namespace",
            NAMESPACE,
            "--subresource=status",
            "--type=merge",
            "--patch",
            &patch,
        ])?;
        Ok(revision)
    }

    fn kustomization(&self) -> Result<Value> {
        get(self.access, "kustomization", "builds")
    }

    /// Waits until Flux has made up its mind about a revision.
    fn verdict(&self, revision: &str) -> Result<(String, String)> {
        let mut verdict = None;
        wait_until(&format!("Flux's verdict on {revision}"), Duration::from_mins(6), || {
            let kustomization = self.kustomization()?;
            let status = &kustomization["status"];
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().find(|c| c["type"] == "Ready");
            let text = |key: &str| ready.and_then(|r| r[key].as_str()).unwrap_or_default().to_owned();
            if status["lastAttemptedRevision"] != revision
                || !matches!(text("status").as_str(), "True" | "False")
            {
                return Ok(false);
            }
            verdict = Some((text("reason"), text("message")));
            Ok(true)
        })?;
        match verdict {
            Some(verdict) => Ok(verdict),
            None => bail!("no verdict on {revision}"),
        }
    }
}

fn get(access: &Access, kind: &str, name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&access.kubectl([
        "get",
        kind,
        name,
        "--namespace",
        NAMESPACE,
        "--output=json",
    ])?)?)
}

fn image_build(name: &str, command: &str) -> Value {
    let inline = format!("FROM busybox AS work\nRUN {command}\nFROM scratch\nCOPY --from=work /made /made\n");
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "metadata": {"name": name},
        "spec": {
            "dockerfile": {"inline": inline},
            "images": [{"name": format!("gitops/{name}"), "tags": ["{{generation}}"]}],
        },
    })
}

/// Returns the digest that a tag in the registry has, if it is there.
fn pushed(access: &Access, name: &str, tag: &str) -> Option<String> {
    let crane = parts::CRANE.ensure().ok()?.join("crane");
    let image = format!("{}/gitops/{name}:{tag}", access.registry());
    Command::new(crane)
        .args(["digest", "--insecure", &image])
        .text()
        .ok()
        .map(|digest| digest.trim().to_owned())
}

fn cases(access: &Access, mut folder: Folder<'_>) -> Result<()> {
    let names = ["front", "back"];
    let token = std::process::id().to_string();
    let good = |text: &str| {
        names.map(|name| image_build(name, &format!("sleep 3; echo {text} {token} {name} > /made")))
    };

    // A tag of another run of this command would prove nothing.
    let revision = folder.publish(&good("one"))?;
    let (reason, message) = folder.verdict(&revision)?;
    ensure!(reason == "ReconciliationSucceeded", "Flux says {reason}: {message}");
    for name in names {
        let build = get(access, "imagebuild", name)?;
        ensure!(
            build["status"]["phase"] == "Succeeded",
            "{name} was not built when Flux was ready: {build:#}"
        );
        let tag = build["metadata"]["generation"].to_string();
        let digest = pushed(access, name, &tag);
        ensure!(
            digest.as_deref() == build["status"]["digest"].as_str(),
            "Flux is ready, and the registry has {digest:?} as {name}:{tag}"
        );
    }
    println!("   ok      ready when both images are pushed");

    let revision =
        folder.publish(&[good("two")[0].clone(), image_build("back", "echo no such luck; exit 3")])?;
    let (reason, message) = folder.verdict(&revision)?;
    ensure!(reason == "HealthCheckFailed", "Flux says {reason}: {message}");
    ensure!(
        message.contains("back") && message.contains("ImageBuild"),
        "Flux does not name the build: {message}"
    );
    println!("   ok      failed when a build fails: {}", message.lines().next().unwrap_or_default());

    let revision = folder.publish(&good("three"))?;
    let (reason, message) = folder.verdict(&revision)?;
    ensure!(reason == "ReconciliationSucceeded", "Flux says {reason}: {message}");
    println!("   ok      ready again when it is fixed");

    let before: Vec<Value> =
        names.iter().map(|name| get(access, "imagebuild", name)).collect::<Result<_>>()?;
    let asked = format!("reconcile.fluxcd.io/requestedAt={token}");
    access.kubectl([
        "annotate",
        "--overwrite",
        "kustomization",
        "builds",
        "--namespace",
        NAMESPACE,
        &asked,
    ])?;
    wait_until("another reconcile", Duration::from_mins(2), || {
        Ok(folder.kustomization()?["status"]["lastHandledReconcileAt"] == token.as_str())
    })?;
    folder.verdict(&revision)?;
    for (name, before) in names.iter().zip(before) {
        let after = get(access, "imagebuild", name)?;
        ensure!(
            after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"],
            "applying {name} again changed it: {before:#} {after:#}"
        );
    }
    println!("   ok      nothing drifts: applied again, nothing changed");

    let revision = folder.publish(&[good("three")[0].clone()])?;
    folder.verdict(&revision)?;
    wait_until("the removed build is pruned", Duration::from_mins(2), || {
        let left =
            access.kubectl(["get", "imagebuild", "back", "--namespace", NAMESPACE, "--ignore-not-found"])?;
        Ok(left.is_empty())
    })?;
    println!("   ok      pruned when it leaves the folder");
    Ok(())
}
