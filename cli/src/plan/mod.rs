//! `slipway plan`: shows what a build would do, as a tree, a document or a picture. It needs no network and no cache.

mod input;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::render::Renderer;
use slipway_graph::picture::{self, render};
use slipway_graph::request::NamedContext;
use slipway_graph::{Request, outline};
use slipway_oci::Platform;

use self::input::Source;

/// The Dockerfile has errors: there is no plan.
const BAD_DOCKERFILE: u8 = 1;

/// Shows the stages of a build: what each takes from where, what runs side by side, what is not needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 a plan was made, 1 the Dockerfile has errors, 2 anything else.")]
pub(crate) struct Args {
    /// Folder with the Dockerfile, the build context; `-` reads a Dockerfile from the standard input.
    #[arg(default_value = ".", value_name = "CONTEXT")]
    context: PathBuf,
    /// The Dockerfile; `-` reads it from the standard input [default: CONTEXT/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A stage to build, by name or number; may be repeated [default: the last stage].
    #[arg(long, value_name = "STAGE")]
    target: Vec<String>,
    /// Sets an ARG; without a value it is taken from the environment.
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Lets a name stand for an image (docker-image://…) or for a folder.
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,
    /// What the images run on [default: this machine].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Writes to a file instead of the standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A tree, levels and the longest chain.
    Text,
    /// A document; docs/plan.md describes its schema.
    Json,
    /// Graphviz.
    Dot,
    /// A Mermaid flowchart for Markdown.
    Mermaid,
    /// A drawing, in light and dark.
    Svg,
}

impl From<Format> for picture::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
            Format::Dot => Self::Dot,
            Format::Mermaid => Self::Mermaid,
            Format::Svg => Self::Svg,
        }
    }
}

/// Runs the verb.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let source = input::read(args.file.as_deref(), &args.context)?;
    let request = request(&args)?;
    let parsed = slipway_dockerfile::parse(&source.bytes);
    let errors: Vec<Diagnostic> =
        parsed.diagnostics.iter().filter(|problem| problem.severity == Severity::Error).cloned().collect();
    if !errors.is_empty() {
        return report(&source, &parsed.source, &errors);
    }
    let outline = match outline(&parsed.file, &parsed.source, &request) {
        Ok(outline) => outline,
        Err(problems) => return report(&source, &parsed.source, &problems),
    };
    let problems = slipway_graph::preview(&parsed.file, &parsed.source, &request);
    if !problems.is_empty() {
        return report(&source, &parsed.source, &problems);
    }
    let text = render(&outline, args.format.into(), &source.name)
        .context("failed to draw the plan (text and json have no limit)")?;
    match args.output {
        Some(path) => {
            std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        }
        None => match std::io::stdout().write_all(text.as_bytes()) {
            // Whoever reads it has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            done => done.context("failed to write the plan")?,
        },
    }
    if !outline.warnings.is_empty() {
        show(&source, &parsed.source, &outline.warnings)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn request(args: &Args) -> anyhow::Result<Request> {
    let mut request = Request::new(args.platform.clone().unwrap_or_else(Platform::host));
    request.build_platform = Platform::host();
    request.targets.clone_from(&args.target);
    request.build_args = build_args(&args.build_arg)?;
    for context in &args.build_context {
        let (name, value) =
            context.split_once('=').with_context(|| format!("`--build-context {context}` has no `=`"))?;
        let value = match value.strip_prefix("docker-image://") {
            Some(image) => NamedContext::Image(image.to_owned()),
            None => NamedContext::Tree,
        };
        request.contexts.insert(name.to_owned(), value);
    }
    Ok(request)
}

/// Reads `NAME=VALUE`; a lone name is taken from the environment, if it is set there.
fn build_args(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for arg in given {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), std::env::var(arg).ok()),
        };
        anyhow::ensure!(!name.is_empty(), "`--build-arg {arg}` has no name");
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    }
    Ok(out)
}

fn report(source: &Source, text: &str, problems: &[Diagnostic]) -> anyhow::Result<ExitCode> {
    show(source, text, problems)?;
    Ok(ExitCode::from(BAD_DOCKERFILE))
}

fn show(source: &Source, text: &str, problems: &[Diagnostic]) -> anyhow::Result<()> {
    let mut stderr = std::io::stderr();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let renderer = Renderer::new(&source.name, text).colour(colour);
    stderr.write_all(renderer.render_all(problems).as_bytes()).context("failed to write")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Args, NamedContext, build_args, request};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_command_line_becomes_a_request() {
        let line = "x --target a --target 1 --build-arg A=b=c --build-arg SLIPWAY_NOT_SET --platform arm64 \
                    --build-context base=docker-image://alpine:3 --build-context src=../src dir";
        let args = Cli::parse_from(line.split_whitespace()).args;
        let request = request(&args).unwrap();
        assert_eq!(request.targets, ["a", "1"]);
        assert_eq!(request.build_args.get("A").map(String::as_str), Some("b=c"));
        assert_eq!(request.build_args.len(), 1, "a name that the environment lacks sets nothing");
        assert_eq!(request.platform.to_string(), "linux/arm64");
        assert_eq!(request.contexts["base"], NamedContext::Image("alpine:3".into()));
        assert_eq!(request.contexts["src"], NamedContext::Tree);
        assert_eq!(args.context.to_str(), Some("dir"));
    }

    #[test]
    fn what_has_no_name_is_refused() {
        assert!(build_args(&["=x".to_owned()]).is_err());
        let args = Cli::parse_from(["x", "--build-context", "nothing"]).args;
        assert!(request(&args).is_err());
    }
}
