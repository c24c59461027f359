//! A real single-node Kubernetes on this machine: etcd, control plane, kube-proxy, kubelet, containerd and a registry.
//!
//! Everything lives in one state folder outside the checkout, runs as processes that are recorded with their start
//! times, and goes away without a trace. Where `KUBECONFIG` names a cluster, that one is used and left alone.

mod access;
mod cgroups;
mod configuration;
mod images;
mod network;
mod node;
mod parts;
mod pki;
mod provisioner;
mod settings;
mod stop;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

pub(crate) use access::Access;
pub(crate) use settings::{NODE_ADDRESS, NODE_NAME, PRIVATE_REGISTRY_ADDRESS, REGISTRY_ADDRESS, State};

use crate::host::{daemon::Daemon, folders};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Boots the cluster, or what of it does not run; builds its programs the first time.
    Up,
    /// Stops every process of the cluster, and removes its mounts, networks and state.
    Down {
        /// Empties the registry, which else keeps its images for the next start.
        #[arg(long)]
        purge: bool,
    },
    /// Stops one component and starts it again, as after a crash; pods go on.
    Restart {
        /// kubelet, kube-apiserver, containerd, …
        component: String,
    },
    /// Tells what runs.
    Status,
    /// Shows the log of one component, or the last lines of each.
    Logs {
        /// etcd, kube-apiserver, kubelet, containerd, registry, …
        component: Option<String>,
    },
    /// Prints the shell lines that point kubectl and the tests to the cluster.
    Env,
    /// Builds the cluster's programs without starting them.
    Parts,
    /// Serves claims of the cluster's storage class; started by `up`.
    #[command(hide = true)]
    Provisioner,
}

pub(crate) fn run(command: Command) -> Result<()> {
    let state = State::locate();
    match command {
        Command::Up => up(&state).map(drop),
        Command::Down { purge } => {
            let _lock = folders::lock("cluster")?;
            stop::down(&state, purge)
        }
        Command::Restart { component } => {
            restart(&state, &component)?;
            up(&state).map(drop)
        }
        Command::Status => status(&state),
        Command::Logs { component } => logs(&state, component.as_deref()),
        Command::Env => {
            println!("export KUBECONFIG={}", state.kubeconfig("admin").display());
            println!("export SLIPWAY_TEST_REGISTRY={REGISTRY_ADDRESS}");
            println!("export SLIPWAY_TEST_PRIVATE_REGISTRY={PRIVATE_REGISTRY_ADDRESS}");
            Ok(())
        }
        Command::Parts => parts::Parts::ensure().map(drop),
        Command::Provisioner => provisioner::serve(&state),
    }
}

/// Boots what does not run, and returns when the node is ready and the registry answers.
pub(crate) fn up(state: &State) -> Result<Access> {
    let _lock = folders::lock("cluster")?;
    node::up(state)
}

/// Stops the cluster and keeps the registry's images.
pub(crate) fn down(state: &State) -> Result<()> {
    let _lock = folders::lock("cluster")?;
    stop::down(state, false)
}

/// Lends a cluster to `work` and leaves it running: the given one, the one that is up, or one that is booted now.
pub(crate) fn lent(work: impl FnOnce(&Access) -> Result<()>) -> Result<()> {
    match Access::given()? {
        Some(given) => work(&given),
        None => work(&up(&State::locate())?),
    }
}

/// Tells whether anything of a cluster runs.
pub(crate) fn is_up(state: &State) -> bool {
    Daemon::recorded(state.root()).iter().any(|daemon| daemon.process().is_some())
}

/// Stops a component of the own cluster as a crash would; `up` starts it again.
pub(crate) fn stop_component(state: &State, component: &str) -> Result<()> {
    restart(state, component)
}

fn restart(state: &State, component: &str) -> Result<()> {
    // Else somebody's `up` starts it anew and writes its record while this one still stops it.
    let _lock = folders::lock("cluster")?;
    let Some(daemon) = Daemon::recorded(state.root()).into_iter().find(|daemon| daemon.name() == component)
    else {
        bail!("the cluster has no component {component}; {}", known(state));
    };
    daemon.stop(Duration::from_secs(10))
}

fn known(state: &State) -> String {
    let names: Vec<String> =
        Daemon::recorded(state.root()).iter().map(|daemon| daemon.name().to_owned()).collect();
    if names.is_empty() { "no cluster is up".to_owned() } else { format!("there are {}", names.join(", ")) }
}

fn status(state: &State) -> Result<()> {
    if !is_up(state) {
        println!("no cluster is up");
        return Ok(());
    }
    let daemons = Daemon::recorded(state.root());
    for daemon in &daemons {
        match daemon.process() {
            Some(process) => println!("{:<24} runs, process {}", daemon.name(), process.pid()),
            None => println!("{:<24} does not run any more; see {}", daemon.name(), daemon.log().display()),
        }
    }
    let access = Access::own(state)?;
    match access.kubectl(["get", "nodes", "--output=wide"]) {
        Ok(nodes) => print!("{nodes}"),
        Err(error) => println!("the API server does not answer: {error:#}"),
    }
    println!(
        "registry {REGISTRY_ADDRESS} {}",
        if access.registry_answers() { "answers" } else { "does not answer" }
    );
    println!("kubeconfig {}", state.kubeconfig("admin").display());
    Ok(())
}

fn logs(state: &State, component: Option<&str>) -> Result<()> {
    if let Some(name) = component {
        let log = Daemon::new(state.root(), name).log();
        let text = std::fs::read(&log).with_context(|| format!("no log of {name}; {}", known(state)))?;
        print!("{}", String::from_utf8_lossy(&text));
        return Ok(());
    }
    show_ends_of_logs(state);
    Ok(())
}

/// Prints the last lines of every log.
pub(crate) fn show_ends_of_logs(state: &State) {
    for daemon in Daemon::recorded(state.root()) {
        println!("== {}", daemon.name());
        println!("{}", daemon.last_words());
    }
}
