//! Metrics, with their names and help in one place: `docs/metrics.md` is checked against this.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use slipway_crds::{ImageBuild, ImageBuildStatus};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    namespace: String,
    result: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Namespaced {
    namespace: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Poll {
    namespace: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Report {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Steps {
    namespace: String,
    cache: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageState {
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    builds: Family<Outcome, Counter>,
    retries: Family<Namespaced, Counter>,
    durations: Family<Phase, Histogram>,
    stages: Family<StageState, Histogram>,
    queued: Gauge,
    image_bytes: Histogram,
    layer_bytes: Histogram,
    steps: Family<Steps, Counter>,
    reused_bytes: Family<Namespaced, Counter>,
    store_used: Family<Namespaced, Gauge>,
    store_free: Family<Namespaced, Gauge>,
    /// When the builds finished that the figures of the stores are from, by namespace.
    stores_as_of: Mutex<HashMap<String, Timestamp>>,
    pushes: Family<Namespaced, Counter>,
    registry_retries: Family<Namespaced, Counter>,
    polls: Family<Poll, Counter>,
    reports: Family<Report, Counter>,
    reconcile: Histogram,
    errors: Family<Step, Counter>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.1, 2.0, 15))
}

fn bytes() -> Histogram {
    Histogram::new(exponential_buckets(65_536.0, 4.0, 10))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("slipway");
        let metrics = Self {
            builds: Family::default(),
            retries: Family::default(),
            durations: Family::new_with_constructor(seconds),
            stages: Family::new_with_constructor(seconds),
            queued: Gauge::default(),
            image_bytes: bytes(),
            layer_bytes: bytes(),
            steps: Family::default(),
            reused_bytes: Family::default(),
            store_used: Family::default(),
            store_free: Family::default(),
            stores_as_of: Mutex::default(),
            pushes: Family::default(),
            registry_retries: Family::default(),
            polls: Family::default(),
            reports: Family::default(),
            reconcile: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            errors: Family::default(),
            registry: Registry::default(),
        };
        let r = &mut registry;
        r.register("builds", "Finished builds by result and reason", metrics.builds.clone());
        r.register(
            "build_retries",
            "Builds tried again after a fault of the infrastructure",
            metrics.retries.clone(),
        );
        r.register_with_unit(
            "build_duration",
            "Time of finished builds by phase: queued, plan, build, push, total",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        r.register_with_unit(
            "stage_duration",
            "Time of stages by their final state",
            Unit::Seconds,
            metrics.stages.clone(),
        );
        r.register("queue_depth", "Builds that wait for a slot", metrics.queued.clone());
        r.register_with_unit(
            "image_size",
            "Compressed size of images",
            Unit::Bytes,
            metrics.image_bytes.clone(),
        );
        r.register_with_unit(
            "layer_size",
            "Compressed size of layers",
            Unit::Bytes,
            metrics.layer_bytes.clone(),
        );
        r.register(
            "steps",
            "Steps that make or change files, by whether the cache had them",
            metrics.steps.clone(),
        );
        r.register_with_unit(
            "cache_reused",
            "Bytes of layers that the cache spared",
            Unit::Bytes,
            metrics.reused_bytes.clone(),
        );
        r.register_with_unit(
            "store_used",
            "Bytes in the store, as last reported by a build",
            Unit::Bytes,
            metrics.store_used.clone(),
        );
        r.register_with_unit(
            "store_free",
            "Bytes free on the store's volume, as last reported by a build",
            Unit::Bytes,
            metrics.store_free.clone(),
        );
        r.register("images_pushed", "Images pushed", metrics.pushes.clone());
        r.register(
            "registry_retries",
            "Requests to registries that had to be made again, of builds that succeeded",
            metrics.registry_retries.clone(),
        );
        r.register("source_polls", "Looks at git sources, by result", metrics.polls.clone());
        r.register(
            "pod_reports",
            "Reports of build pods that came before their kubelet's: taken, refused, or failed to be checked",
            metrics.reports.clone(),
        );
        r.register_with_unit(
            "reconcile_duration",
            "Time of a reconcile",
            Unit::Seconds,
            metrics.reconcile.clone(),
        );
        r.register("reconcile_errors", "Reconciles that failed, by step", metrics.errors.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Writes all metrics as OpenMetrics text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    pub(crate) fn reconciled(&self, took: Duration) {
        self.reconcile.observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self, step: &'static str) {
        self.errors.get_or_create(&Step { step }).inc();
    }

    pub(crate) fn reported(&self, result: &'static str) {
        self.reports.get_or_create(&Report { result }).inc();
    }

    pub(crate) fn queue(&self, waiting: usize) {
        self.queued.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Counts what a reconcile moved: a try that began anew, a build that ended.
    pub(crate) fn observe_transition(&self, before: &ImageBuild, after: &ImageBuildStatus) {
        let namespace = before.namespace().unwrap_or_default();
        let own = Namespaced { namespace: namespace.clone() };
        let old = before.status.clone().unwrap_or_default();
        if after.run == old.run && after.attempt > old.attempt {
            self.retries.get_or_create(&own).inc();
        }
        let looked = |status: &ImageBuildStatus| status.poll.as_ref().and_then(|poll| poll.checked.clone());
        if let Some(poll) = after.poll.as_ref().filter(|_| looked(after) != looked(&old)) {
            let result = if poll.failures == 0 { "answered" } else { "failed" };
            self.polls.get_or_create(&Poll { namespace: namespace.clone(), result }).inc();
        }
        self.observe_store(&own, after);
        let ended = after.finished_at.is_some() && (old.finished_at.is_none() || old.run != after.run);
        if !ended {
            return;
        }
        let reason = after.failure.as_ref().map(|f| f.reason.clone()).unwrap_or_default();
        self.builds
            .get_or_create(&Outcome { namespace: namespace.clone(), result: after.phase.clone(), reason })
            .inc();
        if let Some(timing) = &after.timing {
            let phases = [
                ("queued", timing.queued),
                ("plan", timing.plan),
                ("build", timing.build),
                ("push", timing.push),
                ("total", timing.total),
            ];
            for (phase, seconds) in phases {
                self.durations.get_or_create(&Phase { phase }).observe(seconds);
            }
        }
        for stage in &after.stages {
            if let Some(seconds) = stage.seconds {
                self.stages.get_or_create(&StageState { state: stage.state.clone() }).observe(seconds);
            }
        }
        if after.phase != "Succeeded" {
            return;
        }
        for image in &after.images {
            #[allow(clippy::cast_precision_loss)] // buckets are coarse
            self.image_bytes.observe(image.size_bytes as f64);
            for layer in &image.layers {
                #[allow(clippy::cast_precision_loss)]
                self.layer_bytes.observe(*layer as f64);
            }
            if image.reference.contains('@') {
                self.pushes.get_or_create(&own).inc();
            }
        }
        let retries = u64::try_from(after.registry_retries).unwrap_or(0);
        self.registry_retries.get_or_create(&own).inc_by(retries);
        if let Some(cache) = &after.cache {
            let count = |n: i32| u64::try_from(n).unwrap_or(0);
            self.steps
                .get_or_create(&Steps { namespace: namespace.clone(), cache: "hit" })
                .inc_by(count(cache.hits));
            self.steps
                .get_or_create(&Steps { namespace, cache: "miss" })
                .inc_by(count(cache.steps - cache.hits));
            self.reused_bytes.get_or_create(&own).inc_by(u64::try_from(cache.bytes_reused).unwrap_or(0));
        }
    }

    /// Says of a namespace's store what its newest build said. A leader that just began learns it from the resources, so
    /// that an alert about a full store lives on when the leader changes.
    fn observe_store(&self, own: &Namespaced, status: &ImageBuildStatus) {
        let (Some(cache), Some(finished)) = (&status.cache, &status.finished_at) else { return };
        if status.phase != "Succeeded" {
            return;
        }
        let mut stores = self.stores_as_of.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = stores.entry(own.namespace.clone()).or_insert(finished.0);
        if *newest <= finished.0 {
            *newest = finished.0;
            self.store_used.get_or_create(own).set(cache.store_used);
            self.store_free.get_or_create(own).set(cache.store_free);
        }
    }
}

/// Returns `docs/metrics.md`, made from the metrics themselves.
pub fn reference() -> Result<String, std::fmt::Error> {
    use std::fmt::Write;

    let metrics = Metrics::default();
    metrics.touch();
    let text = metrics.text()?;
    let mut out = String::from(
        "# Metrics\n\n<!-- Made by `cargo xtask gen` from operator/src/metrics.rs; do not edit. -->\n\n\
         The operator serves OpenMetrics text at `/metrics` on port 8080.\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n",
    );
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
        while lines.peek().is_some_and(|line| line.starts_with('#') && !line.starts_with("# HELP")) {
            lines.next();
        }
        let labels = lines
            .peek()
            .and_then(|line| line.split_once('{')?.1.split_once('}'))
            .map(|(labels, _)| {
                labels
                    .split(',')
                    .filter_map(|label| label.split_once('='))
                    .map(|(name, _)| format!("`{name}`"))
            })
            .map(|names| names.filter(|name| name != "`le`").collect::<Vec<_>>().join(", "))
            .unwrap_or_default();
        let shown = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        writeln!(out, "| `{shown}` | {kind} | {labels} | {} |", help.trim_end_matches('.'))?;
    }
    Ok(out)
}

impl Metrics {
    /// Gives every family one member, so that all of them are written.
    fn touch(&self) {
        let own = Namespaced { namespace: String::new() };
        let _ = self.builds.get_or_create(&Outcome {
            namespace: String::new(),
            result: String::new(),
            reason: String::new(),
        });
        let _ = self.retries.get_or_create(&own);
        let _ = self.durations.get_or_create(&Phase { phase: "" });
        let _ = self.stages.get_or_create(&StageState { state: String::new() });
        let _ = self.steps.get_or_create(&Steps { namespace: String::new(), cache: "" });
        let _ = self.reused_bytes.get_or_create(&own);
        let _ = self.store_used.get_or_create(&own);
        let _ = self.store_free.get_or_create(&own);
        let _ = self.pushes.get_or_create(&own);
        let _ = self.registry_retries.get_or_create(&own);
        let _ = self.polls.get_or_create(&Poll { namespace: String::new(), result: "" });
        let _ = self.reports.get_or_create(&Report { result: "" });
        let _ = self.errors.get_or_create(&Step { step: "" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_reference_with_its_labels() {
        let text = reference().unwrap();
        for expected in [
            "| `slipway_builds_total` | counter | `namespace`, `result`, `reason` |",
            "| `slipway_build_duration_seconds` | histogram | `phase` |",
            "| `slipway_queue_depth` | gauge |  |",
            "| `slipway_reconcile_errors_total` | counter | `step` |",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert_eq!(text.matches("\n| `slipway_").count(), 17, "{text}");
    }

    #[test]
    fn a_new_leader_knows_the_stores_from_builds_that_ended_before_it() {
        let metrics = Metrics::default();
        for (finished, phase, used) in [
            ("10:00", "Succeeded", 5),
            ("11:00", "Succeeded", 7),
            ("09:00", "Succeeded", 3),
            ("12:00", "Failed", 0),
        ] {
            let build: ImageBuild = serde_json::from_value(serde_json::json!({
                "apiVersion": "slipway.dev/v1alpha1",
                "kind": "ImageBuild",
                "metadata": {"name": "a", "namespace": "team"},
                "spec": {"dockerfile": {"inline": "FROM scratch"}},
                "status": {
                    "phase": phase,
                    "finishedAt": format!("2026-01-01T{finished}:00Z"),
                    "cache": {"storeUsed": used, "storeFree": 100 - used},
                },
            }))
            .unwrap();
            metrics.observe_transition(&build, build.status.as_ref().unwrap());
        }
        let text = metrics.text().unwrap();
        assert!(text.contains("slipway_store_used_bytes{namespace=\"team\"} 7\n"), "{text}");
        assert!(text.contains("slipway_store_free_bytes{namespace=\"team\"} 93\n"), "{text}");
        assert!(!text.contains("slipway_builds_total{"), "nothing ended under this leader: {text}");
    }
}
