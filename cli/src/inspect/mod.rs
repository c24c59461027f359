//! `slipway inspect`: what an image in a registry is made of.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use slipway_oci::{Platform, Reference};
use slipway_registry::Registry;

use crate::build::bytes;
use crate::build::settings::RegistryArgs;

/// Shows what an image in a registry is made of: layers, their sizes and the instructions that made them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image.
    image: String,
    /// The platform. [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Writes JSON: digests, manifest and configuration.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Runs the verb.
#[allow(clippy::needless_pass_by_value)] // as all verbs
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let reference: Reference = args.image.parse()?;
    let platform = args.platform.as_deref().map_or_else(|| Ok(Platform::host()), str::parse)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let registry = Registry::new(args.registry.settings())?;
    let found = runtime.block_on(registry.resolve(&reference, &platform)).context("cannot read the image")?;
    let mut out = io::stdout().lock();
    if args.json {
        let document = json!({
            "reference": reference.to_string(),
            "digest": found.digest,
            "top": found.top,
            "manifest": found.manifest,
            "config": found.config,
        });
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = &found.config;
    let total: u64 = found.manifest.layers.iter().map(|layer| layer.size).sum();
    writeln!(out, "image     {}", reference.familiar())?;
    writeln!(out, "digest    {}", found.digest)?;
    if found.top != found.digest {
        writeln!(out, "index     {}", found.top)?;
    }
    writeln!(out, "platform  {}/{}", config.os, config.architecture)?;
    writeln!(out, "created   {}", config.created.as_deref().unwrap_or("unknown"))?;
    writeln!(out, "size      {} in {} layers", bytes(total), found.manifest.layers.len())?;
    let words =
        |words: &Option<Vec<String>>| words.as_ref().map(|words| format!("{words:?}")).unwrap_or_default();
    for (name, value) in [
        ("user", config.config.user.clone()),
        ("workdir", config.config.working_dir.clone()),
        ("entry", words(&config.config.entrypoint)),
        ("command", words(&config.config.cmd)),
    ] {
        if !value.is_empty() {
            writeln!(out, "{name:<8}  {value}")?;
        }
    }
    writeln!(out)?;
    let mut layers = found.manifest.layers.iter();
    for entry in &config.history {
        let size = if entry.empty_layer {
            String::new()
        } else {
            layers.next().map(|layer| bytes(layer.size)).unwrap_or_default()
        };
        writeln!(out, "{size:>10}  {}", entry.created_by.as_deref().unwrap_or_default())?;
    }
    for layer in layers {
        writeln!(out, "{:>10}  {}", bytes(layer.size), layer.digest)?;
    }
    Ok(ExitCode::SUCCESS)
}
