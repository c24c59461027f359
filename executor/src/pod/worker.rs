//! The stage pod: carries out orders until it is told that it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use slipway_graph::ir::{ImageId, Op, Stage, StageId, Step};
use slipway_protocol::paths::{self, DONE_FILE, STEP_FILES};
use slipway_protocol::report::Failure;
use slipway_sandbox::{Cancel, Sandbox};
use slipway_store::{LayerId, Mounts, Store};

use super::heart::Pulse;
use super::reports;
use super::wire::{self, Answer, End, Kept, Order, PlanFile};
use crate::engine::{Cause, Chain, Failed, Permits, Task};
use crate::event::{Event, Events, StepAt};
use crate::inputs::{ContextTree, Images, Inputs};
use crate::local::lent::Lent;
use crate::local::{LocalHands, Nobody, RunPlaces, run_command};

/// How often orders are looked for.
const POLL: Duration = Duration::from_millis(15);

/// What a stage pod works with.
pub struct Worker<'a> {
    /// The store, read-only.
    pub store: &'a Store,
    /// The build's folder in it.
    pub build: PathBuf,
    /// The pod's number.
    pub pod: u32,
    /// Where answers go.
    pub outbox: PathBuf,
    /// RUN cache mounts.
    pub mounts: PathBuf,
    /// Secrets.
    pub lent: Lent,
    /// Runs commands.
    pub sandbox: &'a dyn Sandbox,
    /// How it keeps them in.
    pub kept: Kept,
    /// Who hears the output.
    pub events: Events,
    /// For what needs the network.
    pub remotes: tokio::runtime::Handle,
    /// Commands that failed, by the number of their stage.
    pub failures: Mutex<BTreeMap<usize, Failure>>,
}

/// How a stage pod's work ended.
#[derive(Debug)]
pub enum Ended {
    /// All is done.
    Done(End),
    /// The build was stopped.
    Cancelled,
}

impl Worker<'_> {
    /// Works until the end, or until the build pod, where its life is looked at, is lost. `cancel` stops running commands.
    pub fn work(&self, plan: &PlanFile, mut pulse: Option<Pulse>, cancel: &Cancel) -> io::Result<Ended> {
        let orders = self.build.join(wire::orders_dir(self.pod));
        let cancelled = self.build.join(paths::CANCELLED_FILE);
        let mut begun = BTreeSet::new();
        // Nobody would ever hear of an order that cannot be answered, so the pod ends and says why.
        let broken: Mutex<Option<io::Error>> = Mutex::default();
        std::thread::scope(|scope| {
            loop {
                let lost = pulse.as_mut().is_some_and(|pulse| pulse.is_lost(Instant::now()));
                if lost || cancelled.exists() || cancel.is_cancelled() {
                    cancel.cancel();
                    return Ok(Ended::Cancelled);
                }
                if let Some(error) = broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    cancel.cancel();
                    return Err(error);
                }
                if let Some(end) = wire::read::<End>(&orders.join(wire::END_FILE))? {
                    return Ok(Ended::Done(end));
                }
                for name in names(&orders)? {
                    if name == wire::END_FILE
                        || begun.contains(&name)
                        || Path::new(&name).extension().is_none_or(|extension| extension != "json")
                    {
                        continue;
                    }
                    let Some(order) = wire::read::<Order>(&orders.join(&name))? else { continue };
                    begun.insert(name);
                    let cancel = cancel.clone();
                    let broken = &broken;
                    scope.spawn(move || {
                        if let Err(error) = self.carry_out(plan, &order, &cancel) {
                            tracing::error!(stage = order.stage, step = order.step, %error, "cannot answer an order");
                            broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        }
                    });
                }
                std::thread::sleep(POLL);
            }
        })
    }

    /// Carries out an order and answers it.
    fn carry_out(&self, plan: &PlanFile, order: &Order, cancel: &Cancel) -> io::Result<()> {
        let place = self.outbox.join(paths::step_dir(order.stage, order.step));
        let answer_file = place.join(format!("{}.{DONE_FILE}", wire::digest(order)));
        if answer_file.exists() {
            return Ok(());
        }
        // What another pod of this number left behind is of no use.
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(place.join(STEP_FILES))?;
        fs::create_dir_all(place.join("work"))?;
        let isolation = self.kept.clone();
        let answer = match self.run(plan, order, &place, cancel) {
            Ok((size, entries)) => Answer { size, entries, isolation, failure: None },
            // Being stopped is no answer: the pod that takes this one's place carries the order out.
            Err(Cause::Cancelled) => return Ok(()),
            Err(cause) => {
                // Nobody wants what a failed step made, and on a full volume it has the room that the answer needs.
                let _ = fs::remove_dir_all(place.join(STEP_FILES));
                Answer { size: 0, entries: 0, isolation, failure: Some(cause.into()) }
            }
        };
        let _ = fs::remove_dir_all(place.join("work"));
        let temporary = place.join("answer.tmp");
        fs::write(&temporary, serde_json::to_vec(&answer)?)?;
        fs::rename(temporary, answer_file)
    }

    fn run(
        &self,
        plan: &PlanFile,
        order: &Order,
        place: &Path,
        cancel: &Cancel,
    ) -> Result<(u64, u64), Cause> {
        let wrong = || Cause::Infrastructure("an order does not fit the plan".to_owned());
        let stage = plan.graph.stages.get(order.stage).ok_or_else(wrong)?;
        let step = stage.steps.get(order.step).ok_or_else(wrong)?;
        let Some(Op::Run(op)) = &step.op else { return Err(wrong()) };
        let images =
            OrderedImages(order.images.iter().map(|(id, layers)| (ImageId(*id), layers.clone())).collect());
        let inputs = Inputs {
            graph: &plan.graph,
            store: self.store,
            images: &images,
            remotes: self.remotes.clone(),
            contexts: contexts(self.store, plan),
        };
        let hands = LocalHands {
            store: self.store,
            sandbox: self.sandbox,
            inputs: &inputs,
            mounts: Mounts::open(&self.mounts)?,
            lent: self.lent.clone(),
            events: self.events.clone(),
            permits: Permits::new(1),
            follower: &Nobody,
        };
        let below = Chain { image: None, layers: order.below.clone() };
        let stages: BTreeMap<StageId, Chain> = order
            .stages
            .iter()
            .map(|(id, layers)| (StageId(*id), Chain { image: None, layers: layers.clone() }))
            .collect();
        let at = StepAt { stage: order.stage, step: order.step };
        let layer = LayerId::step(step.key.0);
        let task = Task { at, stage, step, below: &below, inputs: &stages, layer };
        self.events.event(Event::Started { at, why: String::new() });
        let began = Instant::now();
        let (upper, work) = (place.join(STEP_FILES), place.join("work"));
        let result = run_command(&hands, &task, op, &RunPlaces { upper: &upper, work: &work }, cancel);
        match &result {
            Ok(meta) => {
                let seconds = began.elapsed().as_secs_f64();
                self.events.event(Event::Finished { at, seconds, size: meta.size });
            }
            Err(cause) => {
                self.events.event(Event::Failed { at, message: cause.to_string() });
                self.note_failure(stage, step, at, cause);
            }
        }
        result.map(|meta| (meta.size, meta.entries))
    }
}

impl Worker<'_> {
    /// Keeps a failure for the report; being stopped is none.
    fn note_failure(&self, stage: &Stage, step: &Step, at: StepAt, cause: &Cause) {
        if matches!(cause, Cause::Cancelled) {
            return;
        }
        let failed = Failed {
            at,
            stage: stage.name.clone(),
            title: step.title.clone(),
            line: step.line,
            end_line: step.end_line,
            cause: cause.clone(),
        };
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failures.entry(at.stage).or_insert_with(|| reports::failure(&failed));
    }
}

/// Returns the contexts of a plan as they lie here.
pub fn contexts(store: &Store, plan: &PlanFile) -> BTreeMap<String, ContextTree> {
    let tree = |context: &wire::PlannedContext| {
        let path = match &context.layer {
            Some(layer) => store.layer_path(layer).join(&context.folder),
            None => context.folder.clone(),
        };
        ContextTree { path, ignore: context.ignore.clone() }
    };
    plan.contexts.iter().map(|(name, context)| (name.clone(), tree(context))).collect()
}

/// Images whose layers an order names.
struct OrderedImages(BTreeMap<ImageId, Vec<LayerId>>);

impl Images for OrderedImages {
    fn layers(&self, image: ImageId) -> Result<Vec<LayerId>, Cause> {
        let missing =
            || Cause::Infrastructure(format!("the order does not name the layers of image {}", image.0));
        self.0.get(&image).cloned().ok_or_else(missing)
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error),
    }
}
