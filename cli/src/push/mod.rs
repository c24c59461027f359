//! `slipway push`: brings an image that lies in files into registries, as it is.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use slipway_executor::layout::{self, Layout, Selector};
use slipway_oci::{Platform, Reference};
use slipway_registry::Registry;

use crate::build::ProgressStyle;
use crate::build::progress::Progress;
use crate::build::settings::RegistryArgs;

const EXAMPLES: &str = "Examples:
  slipway push shop.oci registry.example/shop:1                  push an OCI layout, a folder or an archive
  slipway push shop.oci registry.example/shop:1 other.example/shop:1
                                                                 push it to several places
  slipway push images.oci:v2 registry.example/shop:2             push one of several images by its tag, or by @sha256:…
  slipway push --platform linux/arm64 shop.oci registry.example/shop:arm
                                                                 push one image of an index
  docker save shop > shop.tar; slipway push shop.tar registry.example/shop:1";

/// Pushes an image from an OCI layout or a docker archive.
///
/// Nothing is changed on the way: digests stay what they are, and an index is pushed with all its images. Every blob is
/// checked before it is sent. Archives of `docker save` that hold no manifest get one; their layers are packed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The image: `PATH`, `PATH:TAG` or `PATH@DIGEST` of a folder or an archive, packed or not.
    #[arg(value_name = "SOURCE")]
    source: String,

    /// Where to push it to: `REGISTRY/NAME[:TAG]`.
    #[arg(value_name = "REFERENCE", required = true)]
    references: Vec<String>,

    /// Pushes the image for this platform instead of the whole index.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    /// How to show progress.
    #[arg(long, value_enum, default_value = "auto")]
    progress: ProgressStyle,

    /// Prints nothing but the pushed references.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// The push failed.
const FAILED: u8 = 1;

/// Runs the verb.
#[allow(clippy::needless_pass_by_value)] // as all verbs
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let references =
        args.references.iter().map(|text| reference(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let platform = args.platform.as_deref().map(str::parse::<Platform>).transpose().context("--platform")?;
    let progress = Progress::new(args.progress, args.quiet);
    let pushed = push(&args, &references, platform.as_ref(), &progress);
    progress.finish();
    match pushed {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "error: {error:#}");
            Ok(ExitCode::from(FAILED))
        }
    }
}

fn reference(text: &str) -> anyhow::Result<Reference> {
    let reference: Reference = text.parse()?;
    if reference.digest().is_some() && reference.tag().is_some() {
        bail!("`{text}` has a tag and a digest; give one of them");
    }
    Ok(reference)
}

fn push(
    args: &Args,
    references: &[Reference],
    platform: Option<&Platform>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (path, selector) = layout::split(&args.source);
    let layout = Layout::open(&path)?;
    let top = layout.find(&selector)?;
    let parts = layout.parts(&top, platform)?;
    let Some(digest) = parts.last().map(|part| part.descriptor.digest) else {
        bail!("`{}` holds no image", args.source);
    };
    if let (Selector::Digest(wanted), None) = (&selector, platform) {
        // What was asked for by digest is what is pushed.
        anyhow::ensure!(*wanted == digest, "the layout gives {digest} for {wanted}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let registry = Arc::new(Registry::new(args.registry.settings())?);
    for (at, reference) in references.iter().enumerate() {
        let pushed = layout::push(&registry, &layout, &parts, reference, &references[..at], &progress.events);
        runtime.block_on(pushed).with_context(|| format!("cannot push to {reference}"))?;
    }
    progress.finish();
    let mut out = io::stdout().lock();
    for reference in references {
        writeln!(out, "{}", reference.pinned(digest).familiar())?;
    }
    Ok(())
}
