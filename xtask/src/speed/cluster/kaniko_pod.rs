//! kaniko as people run it: a pod with its executor, from `kubectl apply` to `Succeeded`.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    POD,
    bed::{Bed, CONTEXTS},
    imagebuild::name,
    watch::Watch,
};
use crate::{
    cluster::Access,
    host::folders,
    images,
    speed::builders::{Builder, Job, PATIENCE, kaniko_flags, kaniko_version},
};

pub(super) struct KanikoPod {
    bed: Bed,
    program: PathBuf,
    image: String,
    mirror: String,
    watch: Mutex<Option<Watch>>,
    /// Makes the names of pods differ.
    started: AtomicU32,
    /// When the node's file system is as if nothing had been deleted.
    fit: Mutex<Instant>,
}

/// ext4 gives out no inode that was freed in the last minute, and looks at each one first. The root folders of pods lie on the
/// node's own file system, and a build deletes what it unpacked: the next one would make files five times slower.
const FORGETTING: Duration = Duration::from_secs(65);
/// How long after a pod was deleted the kubelet deletes its root folder.
const CLEARING: Duration = Duration::from_secs(65);

impl KanikoPod {
    pub(super) fn new(bed: Bed, program: PathBuf, image: String, mirror: String) -> Self {
        let (started, fit) = (AtomicU32::new(0), Mutex::new(Instant::now()));
        Self { bed, program, image, mirror, watch: Mutex::new(None), started, fit }
    }

    fn watch(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unfit_for(&self, time: Duration) {
        let mut fit = self.fit.lock().unwrap_or_else(PoisonError::into_inner);
        *fit = (*fit).max(Instant::now() + time);
    }

    /// The pod: root in its container, and nothing more.
    fn pod(&self, job: &Job<'_>, name: &str) -> Result<Value> {
        let file = job.dockerfile.strip_prefix(job.context).context("a Dockerfile outside of its context")?;
        Ok(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false,
                "containers": [{
                    "name": "kaniko", "image": self.image, "args": kaniko_flags(job, file, &self.mirror)?,
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                    "volumeMounts": [{
                        "name": "context", "mountPath": "/workspace", "readOnly": true,
                        "subPath": self.bed.below(job.context)?,
                    }],
                }],
                "volumes": [{"name": "context", "persistentVolumeClaim": {"claimName": CONTEXTS}}],
            },
        }))
    }
}

impl Builder for KanikoPod {
    fn name(&self) -> &'static str {
        POD
    }

    fn version(&self) -> Result<String> {
        kaniko_version(&self.program)
    }

    fn engine(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    /// It has no store: what it knows lies in the registry, which is emptied with it. Its pods stay until the end of a run.
    fn reset(&self) -> Result<()> {
        if self.watch().is_some() {
            return Ok(());
        }
        self.bed.remove()?;
        self.bed.make(None)?;
        *self.watch() = Some(self.bed.watch("pods")?);
        Ok(())
    }

    fn end(&self) -> Result<()> {
        let worked = self.watch().take().is_some();
        self.bed.remove()?;
        if worked {
            self.unfit_for(CLEARING + FORGETTING);
        }
        Ok(())
    }

    fn rest(&self) -> Result<()> {
        let fit = *self.fit.lock().unwrap_or_else(PoisonError::into_inner);
        thread::sleep(fit.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn build(&self, job: &Job<'_>) -> Result<()> {
        self.build_all(std::slice::from_ref(job))
    }

    fn build_all(&self, jobs: &[Job<'_>]) -> Result<()> {
        let watch = self.watch();
        let watch = watch.as_ref().context("a pod without a namespace")?;
        let start = Instant::now();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let named = |job| Ok(format!("{}-{number}", name(job)?));
        let names = jobs.iter().map(named).collect::<Result<Vec<_>>>()?;
        let pods =
            jobs.iter().zip(&names).map(|(job, name)| self.pod(job, name)).collect::<Result<Vec<_>>>()?;
        self.bed.apply(&pods)?;
        let asked = start.elapsed().as_secs_f64();
        for name in &names {
            watch.wait(name, PATIENCE, |pod| {
                has_ended(pod) || !pod["status"]["containerStatuses"][0]["state"]["terminated"].is_null()
            })?;
            let seen = start.elapsed().as_secs_f64();
            let pod = watch.wait(name, PATIENCE, has_ended)?;
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "   {name}: {seconds:.2} s, kubectl {asked:.2} s, the container's end seen after {seen:.2} s"
            );
            if pod["status"]["phase"] == "Failed" {
                let log = self.bed.kubectl(&["logs", name, "--tail=25"]).unwrap_or_default();
                bail!("pod {name} failed: {}\n{log}", pod["status"]["containerStatuses"][0]["state"]);
            }
        }
        self.unfit_for(FORGETTING);
        Ok(())
    }
}

/// Whether no container of a pod will run any more.
fn has_ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Makes the image of an executor, with nothing else in it but certificates, as kaniko's own is, and returns its reference.
pub(super) fn push_image(access: &Access, programs: &Path, executor: &Path) -> Result<String> {
    let context = folders::cache()?.join("kaniko");
    folders::make(&context)?;
    let copy = |from: &Path, to: &str| {
        std::fs::copy(from, context.join(to)).with_context(|| format!("failed to copy {}", from.display()))
    };
    copy(executor, "executor")?;
    copy("/etc/ssl/certs/ca-certificates.crt".as_ref(), "ca-certificates.crt")?;
    let file = context.join("Dockerfile");
    folders::write(
        &file,
        "FROM scratch AS kaniko\nCOPY --chmod=755 executor /kaniko/executor\nCOPY ca-certificates.crt /kaniko/ssl/certs/\n\
         ENV HOME=/root USER=root PATH=/usr/local/bin:/kaniko SSL_CERT_DIR=/kaniko/ssl/certs\nWORKDIR /workspace\n\
         ENTRYPOINT [\"/kaniko/executor\"]\n",
    )?;
    let tag = format!("{}/slipway/kaniko:bench", access.registry());
    let builder = images::Builder::new(programs, Some(access))?.of(&file, &context);
    let image = builder.push("kaniko", &tag, images::QUICK)?;
    Ok(format!("{}@{}", image.repository, image.digest))
}
