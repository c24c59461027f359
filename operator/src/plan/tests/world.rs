//! A cluster in miniature: pods that were planned exist, and tests make them say things.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use slipway_crds::validate::{Defaults, validate};
use slipway_crds::{ImageBuild, ImageBuildStatus};
use slipway_protocol::report::{
    BuildReport, Failure, ImageReport, PlanReport, PlannedStage, StagePodReport, StageReport,
};

use crate::objects::isolation::Level;
use crate::observe::{Facts, Scope};
use crate::plan::{Inputs, Plan, first_scope, next_look, plan};
use crate::pod_view::{End, PodView, Progress, Role};
use crate::queue::Slot;
use crate::settings::Settings;

pub(super) struct World {
    pub(super) build: ImageBuild,
    pub(super) facts: Facts,
    pub(super) settings: Settings,
    pub(super) now: Timestamp,
    pub(super) events: Vec<String>,
    /// When the next look was asked for at the last one.
    pub(super) wake: Option<Timestamp>,
    /// How many stage pods have room at once.
    pub(super) room: usize,
}

impl World {
    pub(super) fn new(spec: &str) -> Self {
        let yaml = format!(
            "{{apiVersion: slipway.dev/v1alpha1, kind: ImageBuild, metadata: {{name: shop, namespace: ci, uid: u1, generation: 1}}, spec: {spec}}}"
        );
        Self {
            build: serde_yaml::from_str(&yaml).unwrap(),
            facts: Facts {
                scope: Scope::All,
                pods: vec![],
                requests: vec![],
                level: Level::Baseline,
                args: BTreeMap::new(),
                artifact: None,
                problems: vec![],
                slot: Slot::Go,
                claim_exists: false,
                claim_is_shared: false,
            },
            settings: Settings::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            events: vec![],
            wake: None,
            room: usize::MAX,
        }
    }

    pub(super) fn simple() -> Self {
        Self::new("{dockerfile: {inline: FROM scratch}, images: [{name: registry.example/shop}]}")
    }

    /// One reconcile: plans, and makes the planned real.
    pub(super) fn step(&mut self) -> Plan {
        let checked = validate(&self.build.spec, &Defaults::default());
        let inputs = Inputs {
            build: &self.build,
            valid: checked.as_ref().map_err(Vec::as_slice),
            facts: &self.facts,
            settings: &self.settings,
            now: self.now,
        };
        let plan = plan(&inputs);
        self.pods_suffice(&inputs, &plan);
        let read = serde_json::from_str(&serde_json::to_string(&plan.status).unwrap()).unwrap();
        assert_eq!(plan.status, read, "it is read as it was written");
        self.wake = next_look(&inputs, &plan).map(|after| self.now + after);
        self.facts.claim_exists |= plan.objects.claim.is_some();
        self.facts.requests.extend(plan.objects.request.iter().filter_map(|r| r.metadata.name.clone()));
        self.facts.requests.retain(|r| !plan.delete_requests.contains(r));
        self.facts.pods.retain(|p| !plan.delete_pods.contains(&p.name));
        for pod in &plan.objects.pods {
            let mut view = PodView::of(pod).unwrap();
            view.created = Some(self.now);
            assert!(self.facts.pods.iter().all(|p| p.name != view.name), "{} is made twice", view.name);
            if matches!(view.role, Role::Stage(_)) {
                view.unschedulable = Some("no node has room".into());
            }
            self.facts.pods.push(view);
        }
        self.place();
        self.events.extend(plan.events.iter().map(|e| e.reason.clone()));
        self.build.status = Some(plan.status.clone());
        plan
    }

    /// Who has seen nothing but pods either asks for more or comes to the same plan.
    fn pods_suffice(&self, inputs: &Inputs, whole: &Plan) {
        if first_scope(&self.build) == Scope::All {
            return;
        }
        let is_over = self.status().finished_at.is_some();
        let facts = Facts {
            scope: Scope::Pods,
            requests: if is_over { self.facts.requests.clone() } else { vec![] },
            level: Level::Unset,
            args: BTreeMap::new(),
            problems: vec![],
            claim_exists: true,
            claim_is_shared: false,
            ..self.facts.clone()
        };
        let inputs = Inputs { facts: &facts, ..*inputs };
        let blind = plan(&inputs);
        assert!(blind.asks_for_all(&inputs) || blind == *whole, "{blind:#?} is not {whole:#?}");
    }

    /// Gives room to stage pods, the worst choice first: those that wait for others.
    pub(super) fn place(&mut self) {
        let mut open: Vec<&mut PodView> =
            self.facts.pods.iter_mut().filter(|p| matches!(p.role, Role::Stage(_)) && !p.over).collect();
        open.sort_by_key(|pod| std::cmp::Reverse(pod.role));
        let mut used = open.iter().filter(|pod| pod.unschedulable.is_none()).count();
        for pod in open.into_iter().filter(|pod| pod.unschedulable.is_some()) {
            if used < self.room {
                pod.unschedulable = None;
                used += 1;
            }
        }
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub(super) fn status(&self) -> ImageBuildStatus {
        self.build.status.clone().unwrap_or_default()
    }

    pub(super) fn pod(&mut self, part: &str) -> &mut PodView {
        let names: Vec<String> = self.facts.pods.iter().map(|p| p.name.clone()).collect();
        self.facts
            .pods
            .iter_mut()
            .find(|p| p.name.ends_with(part))
            .unwrap_or_else(|| panic!("no pod …{part} in {names:?}"))
    }

    /// A node takes a pod now.
    pub(super) fn give_a_node(&mut self, part: &str) {
        let now = self.now;
        let pod = self.pod(part);
        (pod.unschedulable, pod.scheduled) = (None, Some(now));
    }

    pub(super) fn has_pod(&self, part: &str) -> bool {
        self.facts.pods.iter().any(|p| p.name.ends_with(part))
    }

    /// The build pod's plan says: two stages with a pod each, and a last one without.
    pub(super) fn say_plan(&mut self) {
        self.say_plan_of(&[("deps", Some(0), &[]), ("compile", Some(1), &[]), ("final", None, &[0, 1])]);
    }

    /// The build pod's plan says which stages there are: name, pod, needs.
    pub(super) fn say_plan_of(&mut self, stages: &[(&str, Option<u32>, &[u32])]) {
        let stage = |(name, pod, needs): &(&str, Option<u32>, &[u32])| PlannedStage {
            name: (*name).into(),
            steps: 2,
            cached: 0,
            pod: *pod,
            needs: needs.to_vec(),
            ..PlannedStage::default()
        };
        let report = PlanReport {
            revision: "main@sha1:abc".into(),
            stages: stages.iter().map(stage).collect(),
            seconds: 0.5,
            ..PlanReport::default()
        };
        let attempt = self.status().attempt;
        let pod = self.facts.pods.iter_mut().find(|p| p.role == Role::Build && p.attempt == attempt).unwrap();
        pod.plan = ended(0, "Completed", Ok(report));
        pod.conduct = Progress::Running;
    }

    pub(super) fn say_stage(&mut self, part: &str, name: &str, failure: Option<Failure>) {
        let code = i32::from(failure.is_some());
        let started = f64::from(u32::try_from(self.now.as_second()).unwrap());
        let stage = StageReport {
            name: name.into(),
            started,
            finished: started + 3.0,
            ran: 2,
            failure,
            ..StageReport::default()
        };
        let report = StagePodReport {
            stages: vec![stage],
            isolation: "Overlay (nested)".into(),
            isolation_reason: "baseline".into(),
        };
        let pod = self.pod(part);
        pod.stage = ended(code, "Completed", Ok(report));
        pod.over = true;
    }

    /// What was planned failed.
    pub(super) fn say_failed(&mut self, failure: Failure) {
        let pod = self.pod("-build");
        pod.conduct = ended(1, "Error", Ok(BuildReport { failure: Some(failure), ..built() }));
        pod.over = true;
    }

    pub(super) fn say_built(&mut self) {
        let report = built();
        let (attempt, now) = (self.status().attempt, self.now);
        let pod = self.facts.pods.iter_mut().find(|p| p.role == Role::Build && p.attempt == attempt).unwrap();
        pod.conduct = ended(0, "Completed", Ok(report));
        pod.ended = Some(now);
        pod.over = true;
    }

    /// The build pod has built, and says so before any kubelet says that a container ended: what the stage pods of these numbers
    /// will say is a part of it.
    pub(super) fn say_built_early(&mut self, stages: &[(u32, &str)]) {
        let started = f64::from(u32::try_from(self.now.as_second()).unwrap());
        let words = |(number, name): &(u32, &str)| {
            let stage = StageReport {
                name: (*name).into(),
                started,
                finished: started + 2.0,
                ran: 2,
                ..StageReport::default()
            };
            let isolation = "Overlay (nested)".into();
            (*number, StagePodReport { stages: vec![stage], isolation, ..StagePodReport::default() })
        };
        let report = BuildReport { pods: stages.iter().map(words).collect(), ..built() };
        let attempt = self.status().attempt;
        let pod = self.facts.pods.iter_mut().find(|p| p.role == Role::Build && p.attempt == attempt).unwrap();
        pod.conduct = ended(0, "Completed", Ok(report));
    }

    pub(super) fn condition(&self, type_: &str) -> Option<(String, String)> {
        self.status()
            .conditions
            .iter()
            .find(|c| c.type_ == type_)
            .map(|c| (c.status.clone(), c.reason.clone()))
    }
}

pub(super) fn ended<R>(exit_code: i32, reason: &str, report: Result<R, String>) -> Progress<R> {
    Progress::Ended(End { exit_code, reason: reason.into(), report })
}

fn built() -> BuildReport {
    BuildReport {
        images: vec![ImageReport {
            reference: "registry.example/shop@sha256:d1".into(),
            tags: vec!["latest".into()],
            size: 2_000_000,
            unpacked_size: 5_000_000,
            layers: vec![2_000_000],
            ..ImageReport::default()
        }],
        largest_stage: 100_000_000,
        build_seconds: 6.0,
        push_seconds: 0.5,
        ..BuildReport::default()
    }
}
