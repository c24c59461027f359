//! `slipway check`: looks a Dockerfile over and says what is wrong with it or could be better, without building it.
//!
//! It reads the Dockerfile and the ignore file and nothing else; what they mean is decided in `slipway-dockerfile`.

mod catalogue;
mod files;
mod format;

use std::{
    collections::HashMap,
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use slipway_dockerfile::{
    check::{CheckInput, Config, Id, Ignore, Platform, check},
    diagnostic::{Diagnostic, Severity},
    parse,
};
use slipway_graph::{Request, preview};

use self::files::{Files, Location};
use self::format::{Findings, Format};

/// Checks a Dockerfile without building it.
///
/// Exit codes: 0 nothing found at or above --fail-on, 1 something found, 2 the command or a file could not be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Rules can be left out in the file: `# check=skip=RULE` at the top, or above one instruction.\n`slipway check --rules` lists them, `slipway check --explain RULE` tells why one exists."
)]
pub(crate) struct Args {
    /// The build context; `-` reads a Dockerfile from standard input
    #[arg(default_value = ".")]
    context: Location,
    /// The Dockerfile, if it is not CONTEXT/Dockerfile; `-` for standard input
    #[arg(short, long)]
    file: Option<Location>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The stage that is built; other stages are not looked at, unless it needs them
    #[arg(long)]
    target: Option<String>,
    /// An argument of the build; without a value it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// The platform that is built for, if it is not this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = platform)]
    platform: Option<Platform>,
    /// The least that makes the exit code 1
    #[arg(long, value_enum, default_value_t)]
    fail_on: FailOn,
    /// Leave a rule out; several with commas, or `all`
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    skip: Vec<String>,
    /// Use a rule that is off by default; several with commas, or `all`
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    enable: Vec<String>,
    /// When to colour the text
    #[arg(long, value_enum, default_value_t)]
    color: Colour,
    /// List all rules and leave
    #[arg(long, exclusive = true)]
    rules: bool,
    /// Tell about a rule and leave
    #[arg(long, value_name = "RULE", exclusive = true)]
    explain: Option<String>,
}

/// What makes the exit code 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    #[default]
    Warning,
    Info,
    Never,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Colour {
    #[default]
    Auto,
    Always,
    Never,
}

impl FailOn {
    fn is_met_by(self, severity: Severity) -> bool {
        match self {
            Self::Error => severity >= Severity::Error,
            Self::Warning => severity >= Severity::Warning,
            Self::Info => true,
            Self::Never => false,
        }
    }
}

/// Runs the verb.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.rules {
        print(&catalogue::list())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &args.explain {
        print(&catalogue::explain(name)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let files = Files::read(&args.context, args.file.as_ref())?;
    let build_args = args.build_arg.iter().filter_map(|arg| build_arg(arg)).collect::<Vec<_>>();
    let parsed = parse(&files.dockerfile);
    let host = Platform::parse(env::consts::ARCH).unwrap_or_default();
    let input = CheckInput {
        build_args: &build_args,
        target: args.target.as_deref(),
        ignore: files
            .ignore
            .as_ref()
            .map_or(if files.has_context { Ignore::Missing } else { Ignore::Unknown }, Ignore::Present),
        platform: args.platform.unwrap_or_else(|| host.clone()),
        build_platform: host,
        images: &HashMap::new(),
        config: config(&args.skip, &args.enable)?,
    };
    let diagnostics = all_findings(&parsed, &input);
    let findings = Findings {
        name: &files.name,
        source: &parsed.source,
        diagnostics: &diagnostics,
        colour: match args.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none(),
        },
    };
    print(&args.format.render(&findings)?)?;
    if args.format == Format::Text {
        eprintln!("{}", findings.summary());
    }
    let fails = diagnostics.iter().any(|finding| args.fail_on.is_met_by(finding.severity));
    Ok(ExitCode::from(u8::from(fails)))
}

/// Puts the parser's findings and the checks' into one list, in the order of the file.
///
/// What only planning finds, such as stages that wait for each other, comes too, where it is not told already.
fn all_findings(parsed: &slipway_dockerfile::Parsed, input: &CheckInput<'_>) -> Vec<Diagnostic> {
    let mut all = parsed.diagnostics.clone();
    all.extend(check(parsed, input));
    if parsed.is_ok() {
        let request = Request {
            targets: input.target.iter().map(|target| (*target).to_owned()).collect(),
            build_args: input.build_args.iter().cloned().collect(),
            ..Request::new(slipway_oci::Platform::host())
        };
        let told: Vec<_> = all.iter().filter(|f| f.severity == Severity::Error).map(|f| f.span).collect();
        let new = |problem: &Diagnostic| {
            !told.iter().any(|span| span.start < problem.span.end && problem.span.start < span.end)
        };
        all.extend(preview(&parsed.file, &parsed.source, &request).into_iter().filter(new));
    }
    all.sort_by_key(|finding| (finding.span.start, finding.span.end));
    all
}

fn config(skip: &[String], enable: &[String]) -> anyhow::Result<Config> {
    for name in skip.iter().chain(enable) {
        if name != "all" && Id::find(name).is_none() {
            bail!("there is no rule `{name}`; `slipway check --rules` lists them");
        }
    }
    let all = |names: &[String]| names.iter().any(|name| name == "all");
    Ok(Config {
        skip: skip.to_vec(),
        skip_all: all(skip),
        experimental: enable.to_vec(),
        experimental_all: all(enable),
        error: false,
    })
}

/// `NAME=VALUE`, or `NAME` for what the environment has; without it there, the argument is not given.
fn build_arg(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => env::var(text).ok().map(|value| (text.to_owned(), value)),
    }
}

fn platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text).ok_or_else(|| "expected something like linux/arm64".to_owned())
}

/// Prints; that nobody reads any more, as with `| head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("failed to write to standard output"),
    }
}
