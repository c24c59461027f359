//! The driver: who is reconciled when, and the five steps.

mod echo;
mod filter;
mod wakes;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};
use slipway_crds::validate::{FieldProblem, ValidBuild, validate};
use slipway_crds::{ImageBuild, ImageBuildStatus};

use crate::apply::{ApplyError, apply};
use crate::metrics::Metrics;
use crate::objects::isolation::Level;
use crate::objects::labels;
use crate::observe::{Facts, ObserveError, Scope, observe};
use crate::plan::{self, Inputs, Plan};
use crate::queue::{self, Entry, Limits, Slot};
use crate::report::{ReportError, report};
use crate::settings::Settings;

type Guarded = DeserializeGuard<ImageBuild>;

/// What reconciles share.
pub struct Context {
    client: Client,
    settings: Settings,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    /// One store for each namespace that is watched, or a single one for all.
    builds: Vec<Store<Guarded>>,
    /// Starts that were granted and that the watch may not show yet.
    granted: Mutex<HashMap<String, Instant>>,
    /// Each resource as it was last written: the watch may lag behind our own writes.
    latest: Mutex<HashMap<String, ImageBuild>>,
    written: Arc<echo::Written>,
    failures: Mutex<HashMap<String, u32>>,
}

/// Why a reconcile failed; it is tried again.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("failed to observe")]
    Observe(#[from] ObserveError),
    #[error("failed to apply")]
    Apply(#[from] ApplyError),
    #[error("failed to report")]
    Report(#[from] ReportError),
}

impl Error {
    /// The label of the error metric.
    fn label(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Apply(_) => "apply",
            Self::Report(_) => "report",
        }
    }
}

/// Runs until `shutdown` resolves; without namespaces, all are watched.
pub async fn run(
    client: Client,
    namespaces: &[String],
    settings: Settings,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let shutdown = shutdown.shared();
    let written = Arc::new(echo::Written::default());
    let watch = |namespace: Option<&str>| {
        let builds: Api<Guarded> = scoped(&client, namespace);
        let pods: Api<Pod> = scoped(&client, namespace);
        let pods = watcher(pods, watcher::Config::default().labels(&labels::managed_selector()));
        let (store, writer) = reflector::store();
        let builds = watcher(builds, watcher::Config::default().any_semantic()).reflect(writer);
        Controller::for_stream(echo::foreign(builds, written.clone()), store)
            .owns_stream(wakes::telling(pods))
            .with_config(kube::runtime::controller::Config::default().concurrency(32))
            .graceful_shutdown_on(shutdown.clone())
    };
    let controllers: Vec<_> = if namespaces.is_empty() {
        vec![watch(None)]
    } else {
        namespaces.iter().map(|namespace| watch(Some(namespace))).collect()
    };
    let reporter = Reporter { controller: labels::MANAGER.into(), instance: std::env::var("HOSTNAME").ok() };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        settings,
        metrics,
        builds: controllers.iter().map(Controller::store).collect(),
        granted: Mutex::default(),
        latest: Mutex::default(),
        written,
        failures: Mutex::default(),
    });
    let running = controllers.into_iter().map(|controller| {
        controller.run(reconcile, error_policy, context.clone()).for_each(|result| async move {
            match result {
                Ok(_) | Err(kube::runtime::controller::Error::ObjectNotFound(_)) => {}
                Err(error) => tracing::debug!(%error, "reconcile"),
            }
        })
    });
    futures::future::join_all(running).await;
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Brings one resource on: observe, validate, plan, apply, report.
async fn reconcile(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let cached = match &guarded.0 {
        Ok(build) => build,
        Err(error) => {
            // A resource that this version cannot read must not stop the others. It changes before it is looked at again.
            tracing::warn!(name = guarded.name_any(), namespace = guarded.namespace(), error = %error.error, "not an ImageBuild that this version reads");
            return Ok(Action::await_change());
        }
    };
    if cached.metadata.deletion_timestamp.is_some() {
        context.forget(cached);
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    let build = context.freshest(cached);
    let checked = validate(&build.spec, &context.settings.defaults);
    let slot = context.slot(&build);
    let look = async |scope| {
        let valid = checked.as_ref().ok();
        observe(&context.client, &build, valid, &context.settings, slot.clone(), scope).await
    };
    let mut facts = look(plan::first_scope(&build)).await?;
    // One time for all: what is judged here is what is carried out below.
    let mut now = Timestamp::now();
    let inputs = context.inputs(&build, &checked, &facts, now);
    if facts.scope == Scope::Pods && plan::plan(&inputs).asks_for_all(&inputs) {
        facts = look(Scope::All).await?;
        now = Timestamp::now();
    }
    let plan = loop {
        match carry_out(&context, &build, &checked, &facts, now).await? {
            Some(plan) => break plan,
            None => facts.level = Level::Restricted,
        }
    };
    let (changed, scope) = (build.status.as_ref() != Some(&plan.status), facts.scope);
    if let Some(uid) = build.metadata.uid.as_ref().filter(|_| changed) {
        context.written.expect(uid, &plan.status);
    }
    let written = report(&context.client, &context.recorder, &build, &plan).await?;
    if changed && written.is_none() {
        // Deleted meanwhile.
        context.forget(&build);
        return Ok(Action::await_change());
    }
    let next = plan::next_look(&context.inputs(&build, &checked, &facts, now), &plan);
    context.remember(&build, written, &plan.status);
    let (name, namespace) = (build.name_any(), build.namespace());
    tracing::debug!(name, namespace, phase = plan.status.phase, changed, ?scope, ?next, "reconciled");
    context.metrics.reconciled(started.elapsed());
    context.metrics.observe_transition(&build, &plan.status);
    Ok(next.map_or_else(Action::await_change, |after| Action::requeue(after.unsigned_abs())))
}

/// Plans and applies. None where the cluster refused a pod for what the facts do not say: that the namespace enforces
/// PodSecurity `restricted`. An operator for single namespaces may lack the right to read their labels, and a cluster may
/// enforce a level where no label says so.
async fn carry_out(
    context: &Context,
    build: &ImageBuild,
    checked: &Result<ValidBuild, Vec<FieldProblem>>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Option<Plan>, Error> {
    let inputs = context.inputs(build, checked, facts, now);
    let plan = plan::plan(&inputs);
    let client = &context.client;
    let Err(error) = apply(client, build, &plan).await else { return Ok(Some(plan)) };
    match (error.refusal(), checked.as_ref()) {
        (Some(_), Ok(_)) if let Some(why) = error.no_room() => {
            let plan = plan::crowded(&inputs, &why);
            // There may still be no room: then the next reconcile tries again.
            match apply(client, build, &plan).await {
                Err(error) if error.no_room().is_none() => Err(error.into()),
                _ => Ok(Some(plan)),
            }
        }
        (Some(_), Ok(_)) if error.is_restricted() && facts.level == Level::Unset => Ok(None),
        (Some(refusal), Ok(valid)) => {
            let plan = plan::refused(&inputs, valid, &refusal);
            apply(client, build, &plan).await?;
            Ok(Some(plan))
        }
        _ => Err(error.into()),
    }
}

/// Tries again after 0.2 s, then twice as long each time, up to a minute.
#[allow(clippy::needless_pass_by_value)] // the controller's calling convention
fn error_policy(guarded: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let key = guarded.uid().unwrap_or_default();
    let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures.entry(key).or_default();
    *count = count.saturating_add(1);
    let wait = Duration::from_millis(100 << (*count).min(10)).min(Duration::from_mins(1));
    context.metrics.failed(error.label());
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ");
    tracing::warn!(name = guarded.name_any(), namespace = guarded.namespace(), error = chain, retry_in = ?wait, "reconcile failed");
    Action::requeue(wait)
}

impl Context {
    /// Puts together what the policy works from.
    fn inputs<'a>(
        &'a self,
        build: &'a ImageBuild,
        checked: &'a Result<ValidBuild, Vec<FieldProblem>>,
        facts: &'a Facts,
        now: Timestamp,
    ) -> Inputs<'a> {
        let valid = checked.as_ref().map_err(Vec::as_slice);
        Inputs { build, valid, facts, settings: &self.settings, now }
    }

    /// Returns the resource as last written by us where the watch has not caught up.
    fn freshest(&self, cached: &ImageBuild) -> ImageBuild {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let version =
            |build: &ImageBuild| build.resource_version().and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        match cached.uid().and_then(|uid| latest.get(&uid)) {
            Some(newer) if version(newer) > version(cached) => newer.clone(),
            _ => cached.clone(),
        }
    }

    fn remember(&self, build: &ImageBuild, written: Option<ImageBuild>, status: &ImageBuildStatus) {
        let Some(uid) = build.uid() else { return };
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        if status.started_at.is_none() || status.finished_at.is_some() {
            self.granted.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        }
        if let Some(written) = written {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            latest.insert(uid, written);
            // A resource that is deleted at once is never seen with the mark of deletion.
            let known: usize = self.builds.iter().map(Store::len).sum();
            if latest.len() > 2 * known + 64 {
                let uids: HashSet<String> =
                    self.builds.iter().flat_map(Store::state).filter_map(|build| build.uid()).collect();
                latest.retain(|uid, _| uids.contains(uid));
                self.written.keep(&uids);
                self.failures
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .retain(|uid, _| uids.contains(uid));
            }
        }
    }

    fn forget(&self, build: &ImageBuild) {
        let Some(uid) = build.uid() else { return };
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        self.written.forget(&uid);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
    }

    /// Asks the queue. A slot that is granted counts at once, before the watch shows it.
    fn slot(&self, build: &ImageBuild) -> Slot {
        let uid = build.uid().unwrap_or_default();
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.retain(|_, since| since.elapsed() < Duration::from_mins(1));
        let mut entries: Vec<Entry> = self
            .builds
            .iter()
            .flat_map(Store::state)
            .filter(|guarded| guarded.uid().as_ref() != Some(&uid))
            .filter_map(|guarded| {
                let granted = granted.contains_key(&guarded.uid().unwrap_or_default());
                entry(guarded.0.as_ref().ok()?, granted)
            })
            .collect();
        let running =
            build.status.as_ref().is_some_and(|s| s.started_at.is_some() && s.finished_at.is_none());
        let now = Timestamp::now().as_microsecond();
        let queued_at = build
            .status
            .as_ref()
            .filter(|s| s.finished_at.is_none())
            .and_then(|s| s.queued_at.as_ref())
            .map_or(now, |t| t.0.as_microsecond());
        let namespace = build.namespace().unwrap_or_default();
        entries.push(Entry { uid: uid.clone(), namespace, running: false, queued_at: i128::from(queued_at) });
        let limits =
            Limits { total: self.settings.max_builds, per_namespace: self.settings.max_builds_per_namespace };
        let slot = queue::slot(&uid, &entries, limits);
        self.metrics
            .queue(entries.iter().filter(|e| !e.running).count() - usize::from(running || slot == Slot::Go));
        if slot == Slot::Go && !running {
            granted.insert(uid, Instant::now());
        }
        slot
    }
}

/// Returns the queue's view of a resource; none where it neither waits nor runs.
fn entry(build: &ImageBuild, granted: bool) -> Option<Entry> {
    let status = build.status.as_ref()?;
    if status.run == 0 || status.finished_at.is_some() || (build.spec.suspend && status.started_at.is_none())
    {
        return None;
    }
    Some(Entry {
        uid: build.uid()?,
        namespace: build.namespace()?,
        running: granted || status.started_at.is_some(),
        queued_at: status.queued_at.as_ref().map_or(0, |t| i128::from(t.0.as_microsecond())),
    })
}

#[cfg(test)]
mod tests;
