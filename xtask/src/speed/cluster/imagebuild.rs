//! Slipway in the cluster: an ImageBuild, from `kubectl apply` to `Ready`.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    bed::{Bed, CONTEXTS, STORE},
    watch::Watch,
};
use crate::{
    host::command::wait_until,
    speed::{
        builders::{Builder, Job, PATIENCE},
        volume::Volume,
    },
};

pub(super) struct ImageBuild {
    bed: Bed,
    /// The file system of the layer cache.
    volume: Volume,
    /// `spec.pods.mode`.
    pods: &'static str,
    watch: Mutex<Option<Watch>>,
}

impl ImageBuild {
    pub(super) fn new(bed: Bed, volume: Volume, pods: &'static str) -> Self {
        Self { bed, volume, pods, watch: Mutex::new(None) }
    }

    fn watch(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object; the cache is the claim over the volume.
    fn object(&self, job: &Job<'_>) -> Result<Value> {
        let (repository, tag) = tag(job)?;
        let file = job.dockerfile.strip_prefix(job.context).context("a Dockerfile outside of its context")?;
        let arguments = job.arguments.iter().map(|(name, value)| json!({"name": name, "value": value}));
        Ok(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "metadata": {"name": name(job)?},
            "spec": {
                "source": {"volume": {"claim": CONTEXTS, "path": self.bed.below(job.context)?}},
                "dockerfile": {"path": file},
                "args": arguments.collect::<Vec<_>>(),
                "images": [{"name": repository, "tags": [tag]}],
                "cache": {"claim": STORE},
                "pods": {"mode": self.pods},
                "timeout": "20m",
            },
        }))
    }
}

impl Builder for ImageBuild {
    fn name(&self) -> &'static str {
        self.bed.kind
    }

    fn version(&self) -> Result<String> {
        let words = ["get", "nodes", "--output=jsonpath={.items[0].status.nodeInfo.kubeletVersion}"];
        let kubernetes = self.bed.access.kubectl(words)?;
        Ok(format!("slipway {} in Kubernetes {kubernetes}", env!("CARGO_PKG_VERSION")))
    }

    fn engine(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn reset(&self) -> Result<()> {
        self.end()?;
        self.volume.renew()?;
        self.bed.make(Some(&self.volume.folder().join("claim")))?;
        *self.watch() = Some(self.bed.watch("imagebuilds")?);
        Ok(())
    }

    fn end(&self) -> Result<()> {
        *self.watch() = None;
        self.bed.remove()?;
        self.volume.remove()
    }

    fn build(&self, job: &Job<'_>) -> Result<()> {
        self.build_all(std::slice::from_ref(job))
    }

    /// New objects are applied, and those that exist are asked to build again; either with one command.
    fn build_all(&self, jobs: &[Job<'_>]) -> Result<()> {
        let watch = self.watch();
        let watch = watch.as_ref().context("a build without a namespace")?;
        let names = jobs.iter().map(name).collect::<Result<Vec<_>>>()?;
        let runs: Vec<i64> = names.iter().map(|name| run(&watch.get(name).unwrap_or_default())).collect();
        let start = Instant::now();
        if runs.iter().all(|run| *run > 0) {
            let token = format!("slipway.dev/rebuild=after-{}", runs[0]);
            let mut words = vec!["annotate", "--overwrite", "imagebuild"];
            words.extend(names.iter().map(String::as_str));
            words.push(&token);
            self.bed.kubectl(&words)?;
        } else {
            let objects = jobs.iter().map(|job| self.object(job)).collect::<Result<Vec<_>>>()?;
            self.bed.apply(&objects)?;
        }
        let asked = start.elapsed().as_secs_f64();
        for (name, before) in names.iter().zip(runs) {
            let object = watch.wait(name, PATIENCE, |object| {
                run(object) > before && (is(object, "Ready") || is(object, "Stalled"))
            })?;
            let status = &object["status"];
            if !is(&object, "Ready") {
                let failure = &status["failure"];
                let words = |field: &str| failure[field].as_str().unwrap_or_default().to_owned();
                bail!("{name} failed: {}: {}\n{}", words("reason"), words("message"), words("tail"));
            }
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "   {name}: {seconds:.2} s, kubectl {asked:.2} s, the operator's own {}",
                status["timing"]
            );
        }
        Ok(())
    }

    /// Waits until no pod runs any more.
    fn rest(&self) -> Result<()> {
        let words =
            ["get", "pods", "--field-selector=status.phase!=Succeeded,status.phase!=Failed", "--output=name"];
        wait_until("end of the pods", Duration::from_mins(3), || {
            Ok(self.bed.kubectl(&words)?.trim().is_empty())
        })
        .map(drop)
    }
}

/// Repository and tag.
pub(super) fn tag<'a>(job: &'a Job<'_>) -> Result<(&'a str, &'a str)> {
    job.tag.as_deref().and_then(|tag| tag.rsplit_once(':')).context("a build in the cluster pushes")
}

/// A name for the object: the case, and the number of the build in it.
pub(super) fn name(job: &Job<'_>) -> Result<String> {
    let (repository, tag) = tag(job)?;
    Ok(format!("{}-{tag}", repository.rsplit('/').next().unwrap_or_default()))
}

/// The number of the last build; none is 0.
fn run(object: &Value) -> i64 {
    object["status"]["run"].as_i64().unwrap_or_default()
}

/// Whether a condition is true, and speaks of the object as it is now.
fn is(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && conditions.iter().any(|one| one["type"] == condition && one["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_counts_for_the_generation_that_it_speaks_of() {
        let ready = |generation: i64| {
            json!({
                "metadata": {"generation": 2},
                "status": {"observedGeneration": generation, "run": 3, "conditions": [{"type": "Ready", "status": "True"}]},
            })
        };
        assert!(is(&ready(2), "Ready") && !is(&ready(1), "Ready") && !is(&ready(2), "Stalled"));
        assert_eq!((run(&ready(2)), run(&Value::Null)), (3, 0));
    }

    #[test]
    fn an_object_is_named_after_case_and_number() {
        let job = Job {
            tag: Some("10.0.0.1:5000/imagebuild/k-twenty-builds:7".into()),
            ..Job::new("".as_ref(), "".as_ref())
        };
        assert_eq!(name(&job).expect("a tag"), "k-twenty-builds-7");
        assert_eq!(tag(&job).expect("a tag"), ("10.0.0.1:5000/imagebuild/k-twenty-builds", "7"));
    }
}
