//! `stage`: runs the commands that the build pod orders.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use slipway_executor::event::Sink;
use slipway_executor::local::lent::Lent;
use slipway_executor::pod::agent;
use slipway_executor::pod::conduct::planned;
use slipway_executor::pod::heart::Pulse;
use slipway_executor::pod::reports::{kept, stage_pod_report};
use slipway_executor::pod::wire::{self, PlanFile};
use slipway_executor::pod::worker::{Ended, Worker};
use slipway_protocol::paths::{self, EXIT_CANCELLED};
use slipway_protocol::report::{Failure, StagePodReport, StageReport};
use slipway_sandbox::{Cancel, Isolation};
use slipway_store::Store;

use super::{StoreArgs, cancel_on_termination, ended, leave, runtime};
use crate::log::{self, Log};

/// How often the plan is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Which pod of which build this is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The build.
    #[arg(long, value_name = "ID")]
    build: String,
    /// The pod's number.
    #[arg(long, value_name = "N")]
    pod: u32,
    /// Where answers go.
    #[arg(long, value_name = "FOLDER", default_value = paths::OUTBOX)]
    outbox: PathBuf,
    /// RUN cache mounts.
    #[arg(long, value_name = "FOLDER", default_value = paths::MOUNTS)]
    mounts: PathBuf,
    /// Secrets, one file an id.
    #[arg(long, value_name = "FOLDER", default_value = paths::SECRETS)]
    secrets: PathBuf,
    /// Wait for the plan: the build runs in the same pod.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs `stage`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let cancel = Cancel::new();
    cancel_on_termination(&runtime, &cancel);
    let folder = args.store.store.join(paths::build_dir(&args.build));
    let mut pulse = Pulse::of(&folder.join(paths::ALIVE_FILE), Instant::now());
    let (store, build, plan) = loop {
        match look(args)? {
            Found::Plan(found) => break *found,
            Found::Nothing if !args.wait => {
                bail!("there is no plan of the build `{}` in the store", args.build)
            }
            Found::Nothing if !cancel.is_cancelled() && !pulse.is_lost(Instant::now()) => {
                std::thread::sleep(LOOK);
            }
            Found::Nothing | Found::End => {
                log::say("the build has ended without a plan");
                return Ok(ExitCode::from(EXIT_CANCELLED));
            }
        }
    };
    if plan.version != wire::VERSION {
        bail!("the plan was written by another version of this program");
    }
    let isolation = match plan.isolation.as_str() {
        "Overlay" => Isolation::Overlay,
        "Root" => Isolation::Root,
        _ => Isolation::Auto,
    };
    let (sandbox, choice) = match slipway_sandbox::choose(isolation, &args.outbox) {
        Ok(chosen) => chosen,
        Err(error) => {
            let failure =
                Failure { reason: "SandboxFailed".into(), message: error.to_string(), ..Failure::default() };
            return Ok(stopped(&failure));
        }
    };
    log::say(&format!("isolation: {} ({})", choice.way.name(), choice.reason));
    let keys = agent::wanted(&plan.graph, &plan.pods, args.pod);
    let agents = match agent::start(&keys, &args.secrets, &std::env::current_dir()?) {
        Ok(agents) => agents,
        Err(error) => {
            let failure = Failure {
                reason: "SecretInvalid".into(),
                message: format!("{:#}", anyhow::Error::new(error)),
                ..Failure::default()
            };
            return Ok(stopped(&failure));
        }
    };
    let log = Log::new();
    log.event(planned(&plan.graph));
    let worker = Worker {
        store: &store,
        build,
        pod: args.pod,
        outbox: args.outbox.clone(),
        mounts: args.mounts.clone(),
        lent: Lent { folder: Some(args.secrets.clone()), agents: agents.sockets.clone(), ..Lent::default() },
        sandbox: &*sandbox,
        kept: kept(&choice),
        events: Arc::new(log),
        remotes: runtime.handle().clone(),
        failures: std::sync::Mutex::default(),
    };
    let over = worker.work(&plan, args.wait.then_some(pulse), &cancel);
    let failures = worker.failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let over = match over {
        Ok(over) => over,
        // What a command said comes first; without one it is the volume's fault.
        Err(_) if !failures.is_empty() => Ended::Done(wire::End::default()),
        Err(error) => {
            let failure = Failure {
                reason: "StoreFailed".into(),
                message: format!("the stage pod cannot write to the claim: {error}"),
                retryable: true,
                ..Failure::default()
            };
            return Ok(stopped(&failure));
        }
    };
    let cancelled = matches!(over, Ended::Cancelled);
    let end = match over {
        Ended::Done(end) => end,
        Ended::Cancelled => wire::End::default(),
    };
    let report = stage_pod_report(&plan, &end, &failures, &kept(&choice));
    leave(&report);
    let failure = report.stages.iter().find_map(|stage| stage.failure.as_ref());
    if failure.is_none() && cancelled {
        return Ok(ExitCode::from(EXIT_CANCELLED));
    }
    Ok(ended(failure))
}

/// Ends a stage pod with a failure that no step had.
fn stopped(failure: &Failure) -> ExitCode {
    let stage = StageReport { failure: Some(failure.clone()), ..StageReport::default() };
    leave(&StagePodReport { stages: vec![stage], ..StagePodReport::default() });
    ended(Some(failure))
}

/// What is found of a build.
enum Found {
    /// No plan yet.
    Nothing,
    /// The build is over.
    End,
    /// Its store, its folder and its plan.
    Plan(Box<(Store, PathBuf, PlanFile)>),
}

/// Looks for the plan.
fn look(args: &Args) -> anyhow::Result<Found> {
    let store = match Store::open_readonly(&args.store.store) {
        // The build, in the same pod, makes it in these moments.
        Err(slipway_store::Error::NotAStore { .. }) if args.wait => return Ok(Found::Nothing),
        other => other?,
    };
    let Some(build) = store.find_build_dir(&args.build)? else { return Ok(Found::Nothing) };
    let build = build.path().to_owned();
    if build.join(paths::CANCELLED_FILE).exists() {
        return Ok(Found::End);
    }
    let plan = wire::read(&build.join(paths::PLAN_FILE))?;
    Ok(plan.map_or(Found::Nothing, |plan| Found::Plan(Box::new((store, build, plan)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_waited_for_until_the_build_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().join("store");
        let mut args = Args {
            build: "uid-1-1".into(),
            pod: 0,
            outbox: PathBuf::new(),
            mounts: PathBuf::new(),
            secrets: PathBuf::new(),
            wait: true,
            store: StoreArgs { store: at.clone() },
        };
        // The kubelet has made the folders of mounts before the build has made the store.
        std::fs::create_dir_all(at.join("builds/uid-1-1/outbox/0")).expect("room");
        assert!(matches!(look(&args), Ok(Found::Nothing)));
        args.wait = false;
        assert!(look(&args).is_err(), "there must be a store");
        let store = Store::open(&at).expect("a store");
        assert!(matches!(look(&args), Ok(Found::Nothing)));
        let build = store.build_dir("uid-1-1").expect("a build");
        build.write(&store, paths::PLAN_FILE, b"?").expect("room");
        assert!(look(&args).is_err(), "it is not understood");
        std::fs::write(build.path().join(paths::CANCELLED_FILE), "").expect("room");
        assert!(matches!(look(&args), Ok(Found::End)));
    }
}
