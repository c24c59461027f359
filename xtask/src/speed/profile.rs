//! Where the time of a case goes: samples by `perf`, system calls by `strace`, instructions by `callgrind`.

use std::{fmt::Write, fs, path::Path, process::Command};

use anyhow::{Context, Result};

use super::{
    builders::{Builder, Job, Slipway},
    cases::{Case, Phase, Start},
    measure::Bench,
};
use crate::host::{command::Run, folders, mounts, packages};

/// Compiles the program as for a release, with its symbols kept. It is linked as is usual on this machine: valgrind ends
/// static programs with musl by a signal.
pub(super) fn compile() -> Result<std::path::PathBuf> {
    let target = folders::target().join("profiling");
    Command::new("cargo")
        .current_dir(folders::checkout())
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["--package", "slipway-cli", "--target-dir"])
        .arg(&target)
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
        .run()?;
    super::builders::program(&target.join("release"))
}

/// Runs every phase of the case under each tool, and writes a report of each.
pub(super) fn run(bench: &Bench, slipway: &Slipway, case: &Case, output: &Path) -> Result<()> {
    let folder = output.join("profiles");
    folders::make(&folder)?;
    let scratch = bench.folder().join("profile");
    folders::make(&scratch)?;
    for (tool, program) in [("perf", "perf"), ("strace", "strace"), ("callgrind", "valgrind")] {
        if packages::on_path(program).is_none() {
            println!("   left out: {tool}, since there is no `{program}` on PATH");
            continue;
        }
        let mut text = format!("{}: {}\n", case.name, case.title);
        for (index, phase) in case.phases.iter().enumerate() {
            let data = scratch.join(format!("{tool}.{index}"));
            // Writing to a text cannot fail.
            let _ = writeln!(text, "\n# {}\n", phase.name);
            text.push_str(&under(tool, &data, bench, slipway, case, phase).unwrap_or_else(|error| {
                println!("   {tool}, {}: FAILED: {error:#}", phase.name);
                format!("failed: {error:#}\n")
            }));
        }
        let file = folder.join(format!("{}-{tool}.txt", case.name));
        let text: Vec<String> = bench.nameless(&text).lines().map(without_places).collect();
        folders::write(&file, text.join("\n") + "\n")?;
        println!("   wrote {}", file.display());
    }
    mounts::delete(&scratch)
}

fn under(
    tool: &str,
    data: &Path,
    bench: &Bench,
    slipway: &Slipway,
    case: &Case,
    phase: &Phase,
) -> Result<String> {
    let corpus = bench.context();
    if phase.start != Start::Kept {
        (case.make)(&bench.corpus()?, &bench.sizes())?;
    }
    bench.prepare(case, phase, slipway, &corpus, &format!("{tool}-{}", std::process::id()))?;
    let dockerfile = corpus.join("Dockerfile");
    if tool == "callgrind" {
        // A program under valgrind cannot start its own file again, as RUN does: steps run before, and packing is counted.
        slipway.build(&Job { pull: phase.pull, ..Job::new(&corpus, &dockerfile) })?;
        slipway.rest()?;
    }
    let tag = Some(format!("{}/profile:{tool}", bench.registry()));
    let build = slipway.command(&Job { tag, pull: phase.pull, ..Job::new(&corpus, &dockerfile) });
    let mut traced = match tool {
        // The clock of the processor, since a virtual machine rarely lends its counters.
        "perf" => {
            words(&["perf", "record", "--event=cpu-clock", "--freq=997", "--call-graph=fp", "--quiet", "-o"])
        }
        "strace" => words(&["strace", "--follow-forks", "--summary-only", "--summary-wall-clock", "-o"]),
        _ => words(&["valgrind", "--tool=callgrind", "--quiet"]),
    };
    match tool {
        "callgrind" => traced.arg(format!("--callgrind-out-file={}", data.display())),
        _ => traced.arg(data),
    };
    traced.arg(build.get_program()).args(build.get_args()).text()?;
    slipway.rest()?;
    let text = match tool {
        "perf" => {
            let mut report = words(&[
                "perf",
                "report",
                "--stdio",
                "--no-children",
                "--call-graph=none",
                "--percent-limit=0.5",
            ]);
            report.args(["--sort=comm,dso,symbol", "-i"]).arg(data).text()?
        }
        "strace" => fs::read_to_string(data).context("strace wrote nothing")?,
        _ => words(&["callgrind_annotate", "--threshold=95"]).arg(data).text()?,
    };
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    Ok(lines.take(60).collect::<Vec<_>>().join("\n") + "\n")
}

fn words(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// A line without folders of this machine: paths begin at a crate of the workspace, or at the name of a foreign one.
fn without_places(line: &str) -> String {
    let checkout = format!("{}/", folders::checkout().display());
    let mut line = line.replace(&checkout, "");
    for mark in ["registry/src/", "/rustc/"] {
        while let Some(found) = line.find(mark) {
            let start = line[..found].rfind([' ', '(']).map_or(0, |at| at + 1);
            let after = found + mark.len();
            let end = line[after..].find('/').map_or(line.len(), |at| after + at + 1);
            line.replace_range(start..end, "");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_of_the_machine_is_told() {
        let foreign = "12 (3%)  /home/me/.cargo/registry/src/host-1234/zlib-0.6.1/src/lib.rs:pack [slipway]";
        assert_eq!(without_places(foreign), "12 (3%)  zlib-0.6.1/src/lib.rs:pack [slipway]");
        assert_eq!(
            without_places("7  /rustc/0123abc/library/core/src/str.rs:f"),
            "7  library/core/src/str.rs:f"
        );
        let own = format!("5  {}/crates/oci/src/lib.rs:g", folders::checkout().display());
        assert_eq!(without_places(&own), "5  crates/oci/src/lib.rs:g");
    }
}
