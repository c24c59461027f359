//! `slipway-operator`: flags, logs, leadership; the work is in the library.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use slipway_operator::intake::Intake;
use slipway_operator::metrics::Metrics;
use slipway_operator::server::{Health, serve};
use slipway_operator::settings::Settings;
use slipway_operator::{controller, server, trial};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Reconciles ImageBuild resources into build and stage pods.
#[derive(Parser)]
#[command(name = "slipway-operator", version)]
struct Args {
    /// The settings file.
    #[arg(long, env = "SLIPWAY_SETTINGS")]
    settings: Option<PathBuf>,
    /// Watch these namespaces only, separated by commas; all of them without it.
    #[arg(long, env = "SLIPWAY_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, env = "SLIPWAY_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The port at which build pods report.
    #[arg(long, env = "SLIPWAY_REPORTS_PORT", default_value_t = 8081)]
    reports_port: u16,
    /// This replica's address in the cluster; without it, build pods are heard of by their kubelets only.
    #[arg(long, env = "SLIPWAY_POD_IP")]
    pod_ip: Option<IpAddr>,
    /// The namespace of the lease that decides who leads; without it this replica leads at once.
    #[arg(long, env = "SLIPWAY_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Print the reference of the metrics as Markdown and end.
    #[arg(long, hide = true)]
    metrics_reference: bool,
    /// Write logs as JSON.
    #[arg(long, env = "SLIPWAY_LOG_JSON")]
    log_json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do instead of reconciling.
#[derive(Subcommand)]
enum Command {
    /// Builds an image in the cluster and waits for it.
    Trial(trial::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.metrics_reference {
        return Ok(std::io::stdout().write_all(slipway_operator::metrics::reference()?.as_bytes())?);
    }
    let filter = EnvFilter::try_from_env("SLIPWAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    if args.log_json {
        logs.json().init();
    } else {
        logs.init();
    }
    let _ = rustls::crypto::ring::default_provider().install_default();

    if let Some(Command::Trial(order)) = &args.command {
        let client = Client::try_default().await.context("no way to the API server")?;
        let say = |line: &str| drop(writeln!(std::io::stdout(), "{line}"));
        return Ok(trial::run(client, order, say).await?);
    }
    let mut settings = args.settings.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let reached = args.pod_ip.map(|ip| SocketAddr::new(ip, args.reports_port));
    settings.reports = reached.map(|address| format!("http://{address}"));
    let metrics = Arc::new(Metrics::default());
    let health = server::Health { metrics: metrics.clone(), ready: Arc::new(AtomicBool::new(false)) };
    let serving = tokio::spawn(serve(args.listen, Health { ..health.clone() }));
    let client = Client::try_default()
        .await
        .context("no way to the API server: is KUBECONFIG set, or does this run in a pod?")?;
    let version = client.apiserver_version().await.context("the API server does not answer")?;
    health.ready.store(true, Ordering::Relaxed);
    tracing::info!(
        kubernetes = version.git_version,
        executor = settings.executor_image,
        "slipway-operator {}",
        env!("CARGO_PKG_VERSION")
    );

    let intake = Intake::new(client.clone(), metrics.clone());
    let taking = async move {
        match reached {
            Some(address) => intake.serve(address).await,
            None => std::future::pending().await,
        }
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    tokio::select! {
        result = lead(client, args.lease_namespace, args.namespaces, settings, metrics, stop) => result,
        taken = taking => taken.context("failed to take the reports of build pods"),
        served = serving => served?.context("failed to serve metrics and health"),
    }
}

/// Waits to lead, then runs the controller until it is told to stop or no longer leads.
async fn lead(
    client: Client,
    lease_namespace: Option<String>,
    namespaces: Vec<String>,
    settings: Settings,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let Some(lease_namespace) = lease_namespace else {
        controller::run(client, &namespaces, settings, metrics, stop).await;
        return Ok(());
    };
    let identity = std::env::var("HOSTNAME").unwrap_or_else(|_| format!("pid-{}", std::process::id()));
    let manager = LeaseManagerBuilder::new(client.clone(), "slipway-operator")
        .with_namespace(lease_namespace)
        .with_identity(identity)
        .with_duration(15)
        .with_grace(5)
        .build()
        .await
        .context("failed to set up the lease")?;
    let (mut leads, task) = manager.watch().await;
    let mut stop = Box::pin(stop);
    tokio::select! {
        led = leads.wait_for(|leads| *leads) => { led.context("the lease is lost")?; }
        () = &mut stop => return Ok(()),
    }
    tracing::info!("leading");
    let lost = {
        let mut leads = leads.clone();
        async move { leads.wait_for(|leads| !*leads).await.is_ok() }
    };
    tokio::select! {
        () = controller::run(client, &namespaces, settings, metrics, stop) => {}
        // Whoever no longer leads must stop at once: the process ends, and its next life waits to lead again.
        _ = lost => anyhow::bail!("no longer leading"),
    }
    drop(leads);
    let _ = task.await;
    Ok(())
}
