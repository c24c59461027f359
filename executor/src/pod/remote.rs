//! The hands of `conduct`: commands go to stage pods, everything else is done here.
//!
//! A stage pod's outbox is hostile input. It is opened without following any symbolic link, its answer is read up to a
//! limit, and a layer is taken by rename out of the directory that was opened, so nothing can be put in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use slipway_graph::ir::{Op, StageId};
use slipway_graph::key::Tree;
use slipway_oci::Digest;
use slipway_protocol::paths::{self, DONE_FILE, STEP_FILES};
use slipway_protocol::report::StagePodReport;
use slipway_sandbox::Cancel;
use slipway_store::{LayerId, LayerMeta};

use super::reports::{stage_pod_report, stage_report};
use super::wire::{self, Answer, End, Kept, Order, PlanFile, WireCause};
use crate::engine::{Cause, Chain, Hands, Made, Permits, StageOutcome, Task};
use crate::local::{LocalHands, tree_cause};
use crate::tree::inspect::inspect;

/// How often an outbox is looked at.
const POLL: Duration = Duration::from_millis(15);

/// The most bytes of an answer.
const ANSWER_LIMIT: u64 = 1 << 20;

/// The most characters that a stage pod may say of how it keeps commands in.
const KEPT_LIMIT: usize = 400;

/// Works through stage pods.
pub struct RemoteHands<'a> {
    local: LocalHands<'a>,
    plan: &'a PlanFile,
    /// The build's folder.
    build: PathBuf,
    /// Stages of each pod that are not over, and the reports of those that are.
    pods: Mutex<BTreeMap<u32, PodState>>,
}

#[derive(Default)]
struct PodState {
    open: BTreeSet<usize>,
    end: End,
    /// How it keeps commands in, once it has run one.
    kept: Kept,
    /// It was told that it is over.
    told: bool,
}

impl<'a> RemoteHands<'a> {
    /// Makes hands over the pods of a plan; `one_pod` says that pod 0 is there in any case.
    pub fn new(local: LocalHands<'a>, plan: &'a PlanFile, build: PathBuf, one_pod: bool) -> io::Result<Self> {
        let mut pods: BTreeMap<u32, PodState> = BTreeMap::new();
        if one_pod {
            pods.insert(0, PodState::default());
        }
        for (stage, pod) in plan.pods.iter().enumerate() {
            if let Some(pod) = pod {
                pods.entry(*pod).or_default().open.insert(stage);
            }
        }
        for pod in pods.keys() {
            fs::create_dir_all(build.join(wire::orders_dir(*pod)))?;
        }
        Ok(Self { local, plan, build, pods: Mutex::new(pods) })
    }

    /// Ends all stage pods: those whose stages never began too.
    pub fn end_all(&self, cancelled: bool) {
        if cancelled {
            let _ = fs::write(self.build.join(paths::CANCELLED_FILE), "");
        }
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        for (pod, state) in pods.iter_mut().filter(|(_, state)| !state.told) {
            state.told = self.write_end(*pod, &state.end);
        }
    }

    /// Returns what the stage pods say at their end, before they do, of those that were told that it is over.
    pub fn last_words(&self) -> BTreeMap<u32, StagePodReport> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let words = |(pod, state): (&u32, &PodState)| {
            (*pod, stage_pod_report(self.plan, &state.end, &BTreeMap::new(), &state.kept))
        };
        pods.iter().filter(|(_, state)| state.told).map(words).collect()
    }

    /// Keeps how a pod keeps commands in. A stage pod's answer is as hostile here as elsewhere, and people read this.
    fn heard(&self, pod: u32, said: &Kept) {
        let short = |text: &str| text.chars().take(KEPT_LIMIT).collect();
        let kept = Kept { way: short(&said.way), reason: short(&said.reason) };
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = pods.get_mut(&pod) {
            state.kept = kept;
        }
    }

    /// Returns whether that could be written.
    fn write_end(&self, pod: u32, end: &End) -> bool {
        let path = self.build.join(wire::orders_dir(pod)).join(wire::END_FILE);
        let written = wire::write(&path, end);
        if let Err(error) = &written {
            tracing::error!(pod, %error, "cannot tell a stage pod that it is over");
        }
        written.is_ok()
    }

    /// Returns all layers of a tree, brought here.
    fn layers(&self, chain: &Chain) -> Result<Vec<LayerId>, Cause> {
        self.local.inputs.layers(chain)
    }

    fn order(&self, task: &Task<'_>) -> Result<Order, Cause> {
        let mut order = Order {
            stage: task.at.stage,
            step: task.at.step,
            below: self.layers(task.below)?,
            stages: BTreeMap::new(),
            images: BTreeMap::new(),
        };
        for (id, chain) in task.inputs {
            order.stages.insert(id.0, self.layers(chain)?);
        }
        if let Some(Op::Run(run)) = &task.step.op {
            for image in super::images_read(run) {
                order.images.insert(image.0, self.local.inputs.images.layers(image)?);
            }
        }
        Ok(order)
    }

    /// Lets a stage pod run a step, and takes what it made.
    fn run(&self, task: &Task<'_>, pod: u32, cancel: &Cancel) -> Result<Made, Cause> {
        let order = self.order(task)?;
        let name = wire::order_file(order.stage, order.step);
        let orders = self.build.join(wire::orders_dir(pod));
        wire::write(&orders.join(name), &order)
            .map_err(|error| fault("give an order to a stage pod", &error))?;
        let outbox = self.build.join("outbox").join(pod.to_string());
        let place = paths::step_dir(order.stage, order.step);
        let wanted = wire::digest(&order).to_string();
        loop {
            if cancel.is_cancelled() {
                return Err(Cause::Cancelled);
            }
            if let Some((step, answer)) =
                look(&outbox, &place, &wanted).map_err(|error| fault("read an outbox", &error))?
            {
                self.heard(pod, &answer.isolation);
                return match answer.failure {
                    // Nobody but `conduct` stops a build: with this as the cause, a step would fail without a failure.
                    Some(WireCause::Cancelled) => {
                        Err(fault("run a step", &io::Error::other("its pod stopped")))
                    }
                    Some(cause) => Err(cause.into()),
                    None => self.adopt(task, &step),
                };
            }
            std::thread::sleep(POLL);
        }
    }

    fn adopt(&self, task: &Task<'_>, step: &OwnedFd) -> Result<Made, Cause> {
        // Through the descriptor: the path's parts may be other ones by now.
        let files = PathBuf::from(format!("/proc/self/fd/{}", step.as_raw_fd())).join(STEP_FILES);
        let mut size = 0;
        self.local.store.adopt_layer_with(&task.layer, &files, |tree| {
            let seen = inspect(tree).map_err(tree_cause)?;
            size = seen.bytes;
            Ok::<_, Cause>(LayerMeta { size: seen.bytes, entries: seen.entries, diff_id: None })
        })?;
        Ok(Made { size })
    }
}

/// Looks for an answer to an order; returns it with the step's open directory.
fn look(outbox: &Path, place: &str, wanted: &str) -> io::Result<Option<(OwnedFd, Answer)>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(rustix::fs::CWD, outbox, flags, Mode::empty())?;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let missing = |errno| errno == rustix::io::Errno::NOENT;
    let step = match openat2(&root, place, flags, Mode::empty(), within) {
        Ok(step) => step,
        Err(errno) if missing(errno) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    // Non-blocking: a fifo of that name must not hold us.
    let plain = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat2(&step, format!("{wanted}.{DONE_FILE}"), plain, Mode::empty(), within) {
        Ok(file) => File::from(file),
        Err(errno) if missing(errno) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("a stage pod's answer is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(ANSWER_LIMIT).read_to_end(&mut bytes)?;
    Ok(Some((step, serde_json::from_slice(&bytes)?)))
}

fn fault(action: &str, error: &io::Error) -> Cause {
    Cause::Infrastructure(format!("failed to {action}: {error}"))
}

impl Hands for RemoteHands<'_> {
    fn make(&self, task: &Task<'_>, cancel: &Cancel) -> Result<Made, Cause> {
        let pod = self.plan.pods.get(task.at.stage).copied().flatten();
        match (&task.step.op, pod) {
            (Some(Op::Run(_)), Some(pod)) => self.run(task, pod, cancel),
            (Some(Op::Run(_)), None) => Err(Cause::Infrastructure(
                "the cache lost a result that the plan counted on, and no pod was planned to make it again"
                    .to_owned(),
            )),
            _ => self.local.make(task, cancel),
        }
    }

    fn content(&self, task: &Task<'_>, trees: &[Tree]) -> Result<Option<Vec<Digest>>, Cause> {
        self.local.content(task, trees)
    }

    fn permits(&self, task: &Task<'_>) -> Option<&Permits> {
        match task.step.op {
            Some(Op::Run(_)) => None,
            _ => self.local.permits(task),
        }
    }

    fn layer_ready(&self, stage: StageId, layer: &LayerId) {
        self.local.layer_ready(stage, layer);
    }

    fn stage_over(&self, stage: StageId, outcome: &StageOutcome) {
        self.local.stage_over(stage, outcome);
        let Some(pod) = self.plan.pods.get(stage.0).copied().flatten() else { return };
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = pods.get_mut(&pod) else { return };
        state.open.remove(&stage.0);
        state.end.stages.push(stage_report(outcome));
        if state.open.is_empty() {
            state.told = self.write_end(pod, &state.end);
        }
    }
}
