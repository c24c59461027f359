//! `cargo xtask fuzz`: builds the fuzz targets with coverage marks, by the usual compiler, and runs each for a while.
//!
//! `cargo fuzz` does the same with a nightly compiler and sanitizers. There is little for those to find where `unsafe` is
//! forbidden; what counts here is coverage, and the assertions in the targets.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::host::{
    command::{Run, cargo},
    folders, packages,
};

/// What libFuzzer needs to see where an input leads: the flags that `cargo fuzz` gives as well.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

/// Folders with a fuzz crate, their targets, and where inputs to begin with lie.
const CRATES: &[(&str, &[&str])] = &[
    ("fuzz", &["tar", "manifest", "registry"]),
    ("crates/dockerfile/fuzz", &["parse", "render", "check", "expand", "ignore"]),
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Runs only these targets; may be given several times.
    #[arg(long)]
    target: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::FUZZ)?;
    let known: Vec<&str> = CRATES.iter().flat_map(|(_, targets)| targets.iter().copied()).collect();
    if let Some(unknown) = options.target.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no target `{unknown}`; there are {}", known.join(", "));
    }
    let mut found = Vec::new();
    for (folder, targets) in CRATES {
        let chosen: Vec<&str> = targets
            .iter()
            .copied()
            .filter(|name| options.target.is_empty() || options.target.iter().any(|wanted| wanted == name))
            .collect();
        if chosen.is_empty() {
            continue;
        }
        let programs = build(folder, &chosen)?;
        for target in chosen {
            if let Err(error) = fuzz(&programs.join(target), target, options.seconds) {
                println!("{error:#}");
                found.push(target);
            }
        }
    }
    ensure!(found.is_empty(), "inputs that break something were found by {}", found.join(", "));
    Ok(())
}

/// Builds targets of one crate, and returns the folder of the programs.
fn build(folder: &str, targets: &[&str]) -> Result<PathBuf> {
    let output = folders::cache()?.join("fuzz/target");
    let mut cargo = cargo();
    cargo
        .current_dir(folders::checkout())
        .args(["build", "--quiet", "--release", "--manifest-path", &format!("{folder}/Cargo.toml")])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", &output);
    // With a target named, build scripts and macros are spared the marks, for which they have no library.
    let triple = host_triple()?;
    cargo.args(["--target", &triple]);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    cargo.run()?;
    Ok(output.join(triple).join("release"))
}

fn host_triple() -> Result<String> {
    let said = Command::new("rustc").current_dir(folders::checkout()).arg("-vV").text()?;
    let line = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(line.to_owned())
}

/// Runs a target over what it has found so far, and prints how far it came.
fn fuzz(program: &Path, target: &str, seconds: u32) -> Result<()> {
    let place = folders::cache()?.join("fuzz").join(target);
    let (corpus, artifacts) = (place.join("corpus"), place.join("artifacts"));
    for folder in [&corpus, &artifacts] {
        folders::make(folder)?;
    }
    seed(target, &corpus)?;
    let log = place.join("log");
    let status = Command::new(program)
        .current_dir(&place)
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-timeout=30", "-rss_limit_mb=2048", "-max_len=65536"])
        .stderr(fs::File::create(&log).with_context(|| format!("failed to write {}", log.display()))?)
        .stdin(std::process::Stdio::null())
        .status()
        .with_context(|| format!("failed to start {}", program.display()))?;
    let said = String::from_utf8_lossy(&fs::read(&log).context("no log")?).into_owned();
    let executions = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map_or("?", str::trim);
    let coverage = said
        .lines()
        .rev()
        .find_map(|line| line.split("cov: ").nth(1)?.split_whitespace().next())
        .unwrap_or("?");
    println!("{target}: {executions} inputs in {seconds} s, {coverage} places reached");
    if status.success() {
        return Ok(());
    }
    let end: Vec<&str> = said.lines().rev().take(40).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    bail!("{target} found something, kept in {}:\n{}", artifacts.display(), end.join("\n"))
}

/// Gives a new corpus something to begin with.
fn seed(target: &str, corpus: &Path) -> Result<()> {
    let checkout = folders::checkout();
    let put = |name: &str, bytes: &[u8]| folders::write(&corpus.join(name), bytes);
    match target {
        "tar" => {
            for format in ["gnu", "pax", "ustar", "v7", "oldgnu"] {
                let archive = Command::new("tar")
                    .current_dir(&checkout)
                    .args([
                        "--create",
                        "--sparse",
                        &format!("--format={format}"),
                        "--file=-",
                        "tests/conformance/copy-dir-contents",
                    ])
                    .output()
                    .context("no tar")?;
                put(format, &archive.stdout)?;
            }
            for case in fs::read_dir(checkout.join("tests/conformance")).context("no cases")?.flatten() {
                for name in ["a.tar", "a.tar.gz", "a.tar.zst"] {
                    if let Ok(bytes) = fs::read(case.path().join("context").join(name)) {
                        put(&format!("{}-{name}", case.file_name().to_string_lossy()), &bytes)?;
                    }
                }
            }
            Ok(())
        }
        "manifest" => {
            let digest = format!("sha256:{}", "a".repeat(64));
            let blob = format!(
                "{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"{digest}\",\"size\":3}}"
            );
            let config = blob.replace("layer.v1.tar+gzip", "config.v1+json");
            put("image", format!("\u{1}{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{config},\"layers\":[{blob}],\"annotations\":{{\"a\":\"b\"}}}}").as_bytes())?;
            put(
                "index",
                format!(
                    "\u{2}{{\"schemaVersion\":2,\"manifests\":[{},{}]}}",
                    blob.replace("layer.v1.tar+gzip", "manifest.v1+json"),
                    blob
                )
                .as_bytes(),
            )?;
            put("config", format!("\u{0}{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{\"Env\":[\"A=b\"],\"Healthcheck\":{{\"Test\":[\"NONE\"]}}}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{digest}\"]}},\"history\":[{{\"created_by\":\"x\"}}]}}").as_bytes())?;
            put("reference", format!("\u{0}registry.example:5000/a/b-c:v1.2@{digest}").as_bytes())
        }
        "registry" => {
            put("token", b"\x60Bearer realm=\"http://127.0.0.1:1/t\",service=\"s\",scope=\"repository:app:pull\"\n{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}\0\x06application/json\n{\"token\":\"x\",\"expires_in\":60}")?;
            put("manifest", b"\x06application/vnd.oci.image.manifest.v1+json\n{\"schemaVersion\":2}\0\x06text/plain\nhello\0\x05</v2/app/tags/list?last=a>; rel=\"next\"\n{\"name\":\"app\",\"tags\":[\"a\"]}")?;
            put(
                "moved",
                b"\x51/elsewhere\nx\0\x41http://127.0.0.1:1/\n\0\x94 3\nslow\0\x33bytes 0-4/5\nhello",
            )
        }
        _ => {
            for case in fs::read_dir(checkout.join("tests/conformance")).context("no cases")?.flatten() {
                if let Ok(bytes) = fs::read(case.path().join("context/Dockerfile")) {
                    put(&case.file_name().to_string_lossy(), &bytes)?;
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_known() {
        for (folder, targets) in CRATES {
            let manifest =
                fs::read_to_string(folders::checkout().join(folder).join("Cargo.toml")).unwrap_or_default();
            let named: Vec<&str> =
                manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
            let mut expected: Vec<String> = targets.iter().map(|target| format!("{target}.rs\"")).collect();
            expected.sort_unstable();
            let mut named: Vec<String> = named.into_iter().map(str::to_owned).collect();
            named.sort_unstable();
            assert_eq!(named, expected, "{folder}");
        }
    }
}
