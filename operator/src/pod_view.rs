//! What the operator needs to know of a pod, read from its object. Pure.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
use slipway_protocol::message::{self, Message};
use slipway_protocol::paths;
use slipway_protocol::report::{BuildReport, PlanReport, PollReport, StagePodReport};

use crate::objects::labels;

mod build;
#[cfg(test)]
mod tests;

/// What a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Plans, conducts and pushes.
    Build,
    /// Runs stages: the number of the plan's pod.
    Stage(u32),
    /// Looks whether a source has moved.
    Poll,
}

/// How a container stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Progress<R> {
    /// Not started; why, where the kubelet says so.
    #[default]
    Waiting,
    /// The kubelet cannot start it: reason and message.
    Stuck(String, String),
    /// Running.
    Running,
    /// Ended, with its report.
    Ended(End<R>),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End<R> {
    /// The exit code.
    pub exit_code: i32,
    /// The kubelet's reason: `Completed`, `Error`, `OOMKilled`.
    pub reason: String,
    /// What the container said, or why that was not understood.
    pub report: Result<R, String>,
}

/// One pod of a build.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The build's number.
    pub run: i64,
    /// The try's number.
    pub attempt: i32,
    /// True where it is being deleted.
    pub deleting: bool,
    /// True once it has ended.
    pub over: bool,
    /// Why the cluster took it away: evicted, preempted, node lost.
    pub disrupted: Option<String>,
    /// Why no node takes it.
    pub unschedulable: Option<String>,
    /// When a node took it.
    pub scheduled: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When its (main) container started.
    pub started: Option<Timestamp>,
    /// When that ended.
    pub ended: Option<Timestamp>,
    /// True where the pod has a user namespace of its own.
    pub user_namespace: bool,
    /// The containers with a memory limit of their own.
    pub memory_limited: Vec<String>,
    /// The planning of a build pod.
    pub plan: Progress<PlanReport>,
    /// What follows it.
    pub conduct: Progress<BuildReport>,
    /// Where nobody would hear of a plan any more, though the build goes on: since when, and why.
    pub silent: Option<(Timestamp, String)>,
    /// True for a build pod whose stages run in a container of its own.
    pub one: bool,
    /// The container that runs stages: of a stage pod, or of a build pod that is all in one.
    pub stage: Progress<StagePodReport>,
    /// When that started.
    pub stage_started: Option<Timestamp>,
    /// When that ended.
    pub stage_ended: Option<Timestamp>,
    /// The container of a poll pod.
    pub poll: Progress<PollReport>,
}

impl PodView {
    /// Reads a pod; none where it is not one of ours.
    pub fn of(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let label = |name: &str| meta.labels.as_ref()?.get(name).map(String::as_str);
        let role = match label(labels::ROLE)? {
            "build" => Role::Build,
            "poll" => Role::Poll,
            _ => Role::Stage(label(labels::POD)?.parse().ok()?),
        };
        let status = pod.status.clone().unwrap_or_default();
        let phase = status.phase.as_deref().unwrap_or_default();
        let conditions = status.conditions.clone().unwrap_or_default();
        let disrupted = conditions
            .iter()
            .find(|c| c.type_ == "DisruptionTarget" && c.status == "True")
            .map(|c| c.reason.clone().unwrap_or_default())
            .or_else(|| {
                let reason = status.reason.clone().unwrap_or_default();
                matches!(
                    reason.as_str(),
                    "Evicted" | "NodeLost" | "NodeShutdown" | "Preempting" | "Terminated" | "NodeAffinity"
                )
                .then_some(reason)
            })
            .or_else(|| (phase == "Unknown").then(|| "NodeLost".to_owned()))
            .or_else(|| refused(&status).filter(|_| meta.deletion_timestamp.is_none()));
        let unschedulable = conditions
            .iter()
            .find(|c| c.type_ == "PodScheduled" && c.status == "False")
            .map(|c| c.message.clone().unwrap_or_default());
        let scheduled = conditions
            .iter()
            .find(|c| c.type_ == "PodScheduled" && c.status == "True")
            .and_then(|c| c.last_transition_time.as_ref().map(|t| t.0));
        let containers = status.container_statuses.unwrap_or_default();
        let find = |name: &str| containers.iter().find(|container| container.name == name);
        let build = find(paths::BUILD_CONTAINER);
        let stage = find(paths::STAGE_CONTAINER);
        let poll = find(paths::POLL_CONTAINER);
        let first = build.or(stage).or(poll);
        let (started, ended) = first.map_or((None, None), times);
        let (stage_started, stage_ended) = stage.map_or((None, None), times);
        let one = role == Role::Build
            && pod.spec.iter().flat_map(|s| &s.containers).any(|c| c.name == paths::STAGE_CONTAINER);
        let build::View { plan, conduct, silent } = build::view(pod, build, find(paths::REPORT_CONTAINER));
        Some(Self {
            name: meta.name.clone().unwrap_or_default(),
            role,
            run: label(labels::RUN)?.parse().ok()?,
            attempt: label(labels::ATTEMPT)?.parse().ok()?,
            deleting: meta.deletion_timestamp.is_some(),
            // The pod's phase follows its containers' end by a moment, or by a minute where one was killed: those beside a build
            // end with it.
            over: matches!(phase, "Succeeded" | "Failed") || ended.is_some(),
            disrupted,
            unschedulable,
            scheduled,
            created: meta.creation_timestamp.as_ref().map(|t| t.0),
            started,
            ended,
            user_namespace: pod.spec.as_ref().and_then(|s| s.host_users) == Some(false),
            memory_limited: memory_limited(pod),
            plan,
            conduct,
            silent,
            one,
            stage: progress(stage),
            stage_started,
            stage_ended,
            poll: progress(poll),
        })
    }

    /// Returns the number that the plan has for the stages of this pod; none where it runs none.
    pub fn number(&self) -> Option<u32> {
        match self.role {
            Role::Stage(number) => Some(number),
            Role::Build if self.one => Some(0),
            _ => None,
        }
    }

    /// Returns the report of a build pod that has built.
    pub fn built(&self) -> Option<&BuildReport> {
        match &self.conduct {
            Progress::Ended(End { exit_code: 0, report: Ok(report), .. }) => Some(report),
            _ => None,
        }
    }
}

/// Why a pod is over of which no container of ours ever ran: a kubelet has not taken it, or what others put into it failed.
fn refused(status: &PodStatus) -> Option<String> {
    let ran = |container: &ContainerStatus| {
        container.state.as_ref().is_some_and(|state| state.terminated.is_some() || state.running.is_some())
    };
    let failed = status.phase.as_deref() == Some("Failed");
    let none = !status.container_statuses.iter().flatten().any(ran);
    let first = status.init_container_statuses.iter().flatten().find_map(|container| {
        let end = container.state.as_ref()?.terminated.as_ref().filter(|end| end.exit_code != 0)?;
        Some(format!("its container {} ended with exit code {}", container.name, end.exit_code))
    });
    let words = [status.reason.clone(), status.message.clone(), first];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (failed && none).then(|| if words.is_empty() { "it never ran".to_owned() } else { words.join(": ") })
}

/// Returns the names of the containers with a memory limit of their own.
fn memory_limited(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let limits = |container: &Container| {
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        limits.contains_key("memory").then(|| container.name.clone())
    };
    containers.filter_map(limits).collect()
}

fn times(status: &ContainerStatus) -> (Option<Timestamp>, Option<Timestamp>) {
    let Some(state) = &status.state else { return (None, None) };
    match (&state.running, &state.terminated) {
        (Some(running), _) => (running.started_at.as_ref().map(|t| t.0), None),
        (None, Some(ended)) => {
            (ended.started_at.as_ref().map(|t| t.0), ended.finished_at.as_ref().map(|t| t.0))
        }
        (None, None) => (None, None),
    }
}

fn progress<R: Message>(status: Option<&ContainerStatus>) -> Progress<R> {
    let Some(state) = status.and_then(|s| s.state.as_ref()) else { return Progress::Waiting };
    if let Some(ended) = &state.terminated {
        let report =
            message::decode(ended.message.as_deref().unwrap_or_default()).map_err(|error| error.to_string());
        return Progress::Ended(End {
            exit_code: ended.exit_code,
            reason: ended.reason.clone().unwrap_or_default(),
            report,
        });
    }
    if state.running.is_some() {
        return Progress::Running;
    }
    let waiting = state.waiting.clone().unwrap_or_default();
    match waiting.reason.as_deref() {
        Some(
            reason @ ("ImagePullBackOff"
            | "ErrImagePull"
            | "InvalidImageName"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"),
        ) => Progress::Stuck(reason.to_owned(), waiting.message.unwrap_or_default()),
        _ => Progress::Waiting,
    }
}
