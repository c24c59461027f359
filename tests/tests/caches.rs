//! Caches that travel, from the command line: build, throw the store away, build again from what was exported.
//!
//! Every RUN writes a random number, so an image with the same digest proves that none of them ran again. The tests need
//! the registry that `SLIPWAY_TEST_REGISTRY` names, with a busybox in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const DOCKERFILE: &str = "\
FROM busybox AS compile
WORKDIR /src
COPY source .
RUN cat /proc/sys/kernel/random/uuid > made && cat source >> made
FROM busybox AS unused
RUN cat /proc/sys/kernel/random/uuid > /unused
FROM busybox
RUN cat /proc/sys/kernel/random/uuid > /base
COPY --from=compile /src/made /made
ENV AFTER=1
RUN cat /proc/sys/kernel/random/uuid > /last
";

/// A context, and stores that come and go.
struct Bed {
    folder: PathBuf,
    registry: String,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a build said and made.
struct Built {
    digest: String,
    said: String,
}

impl Bed {
    fn new(name: &str) -> Result<Self> {
        let registry = std::env::var("SLIPWAY_TEST_REGISTRY")
            .context("these tests need a registry: run them with `cargo xtask test --only cluster`")?;
        let folder = std::env::temp_dir().join(format!("slipway-caches-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("context"))?;
        fs::write(folder.join("context/Dockerfile"), DOCKERFILE)?;
        fs::write(folder.join("context/source"), "source")?;
        Ok(Self { folder, registry })
    }

    /// A name in the registry that nobody else uses.
    fn name(&self, what: &str) -> String {
        format!("{}/caches-{}/{what}", self.registry, std::process::id())
    }

    /// Builds with a store that is new for each `machine`.
    fn build(&self, machine: &str, flags: &[&str]) -> Result<Built> {
        let own = std::env::current_exe()?;
        let program = own.parent().and_then(Path::parent).context("an odd place for a test")?.join("slipway");
        ensure!(program.exists(), "`{}` is not built: cargo build -p slipway-cli", program.display());
        let iid = self.folder.join("iid");
        let output = Command::new(program)
            .args(["build", "--progress", "plain", "--iidfile"])
            .arg(&iid)
            .arg("--root")
            .arg(self.folder.join(machine))
            .args(["--registry-mirror", &format!("docker.io={}", self.registry)])
            .args(["--insecure-registry", &self.registry])
            .args(flags)
            .arg(self.folder.join("context"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{flags:?}:\n{said}");
        Ok(Built { digest: fs::read_to_string(iid)?, said })
    }

    fn change(&self, from: &str, to: &str) -> Result<()> {
        Ok(fs::write(self.folder.join("context/Dockerfile"), DOCKERFILE.replace(from, to))?)
    }
}

/// Asks crane about an image.
fn crane(words: &[&str]) -> Result<String> {
    let program = std::env::var_os("SLIPWAY_CRANE").map_or_else(|| "crane".into(), PathBuf::from);
    let output = Command::new(program).args(words).arg("--insecure").output().context("crane")?;
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn registry_and_folder_in_both_modes_give_the_same_image_without_a_run() -> Result<()> {
    let bed = Bed::new("both")?;
    let image = bed.name("image");
    let folder = |mode: &str| bed.folder.join(format!("cache-{mode}")).display().to_string();
    let mut flags = vec!["--push".to_owned(), "-t".to_owned(), image.clone()];
    for mode in ["min", "max"] {
        let cache = bed.name(&format!("cache-{mode}"));
        flags.push(format!("--cache-to=type=registry,ref={cache},mode={mode}"));
        flags.push(format!("--cache-to=type=local,dest={},mode={mode}", folder(mode)));
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let first = bed.build("first", &flags)?;

    let mut from = BTreeMap::new();
    for mode in ["min", "max"] {
        from.insert(
            format!("registry-{mode}"),
            format!("type=registry,ref={}", bed.name(&format!("cache-{mode}"))),
        );
        from.insert(format!("local-{mode}"), format!("type=local,src={}", folder(mode)));
        from.insert(format!("bare-{mode}"), bed.name(&format!("cache-{mode}")));
    }
    for (machine, from) in &from {
        let again = bed.build(machine, &["--push", "-t", &image, "--cache-from", from])?;
        ensure!(again.digest == first.digest, "{machine}: another image\n{}", again.said);
        ensure!(again.said.contains("imported)"), "{machine}:\n{}", again.said);
        let unpacked = fs::read_dir(bed.folder.join(machine).join("layers"))?.count();
        ensure!(unpacked == 0, "{machine}: {unpacked} layers were unpacked for a push");
    }

    // A changed last step: what is below it comes, and nothing runs again.
    bed.change("/last", "/other")?;
    let tar = bed.folder.join("tree.tar").display().to_string();
    let output = format!("type=tar,dest={tar}");
    let max = format!("type=registry,ref={}", bed.name("cache-max"));
    bed.build("changed", &["-o", &output, "--cache-from", &max])?;
    let read = |path: &str| -> Result<String> {
        let output = Command::new("tar").args(["-xOf", &tar, path]).output()?;
        ensure!(output.status.success(), "no {path}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let old = |path: &str| {
        let script = format!("crane export --insecure {image} - | tar -xO {path}");
        let crane = std::env::var("SLIPWAY_CRANE").unwrap_or_else(|_| "crane".into());
        let output = Command::new("bash").args(["-c", &script.replace("crane", &crane)]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for path in ["base", "made"] {
        ensure!(read(path)? == old(path)?, "{path} was made again");
    }
    ensure!(!read("other")?.is_empty());
    Ok(())
}

#[test]
fn an_image_with_its_cache_inside_is_read_by_its_name_and_is_valid() -> Result<()> {
    let bed = Bed::new("inline")?;
    let image = bed.name("inline");
    let first = bed.build("first", &["--push", "-t", &image, "--cache-to", "type=inline"])?;
    crane(&["validate", "--remote", &image])?;
    let config: Value = serde_json::from_str(&crane(&["config", &image])?)?;
    ensure!(config["dev.slipway.cache.v1"]["steps"].is_array(), "{config:#}");
    let flags = ["--push", "-t", &image, "--cache-to", "type=inline", "--cache-from", &image];
    let second = bed.build("second", &flags)?;
    ensure!(second.digest == first.digest, "{}", second.said);
    // The way of `docker build`.
    let flags = ["--push", "-t", &image, "--build-arg", "BUILDKIT_INLINE_CACHE=1", "--cache-from", &image];
    let third = bed.build("third", &flags)?;
    ensure!(third.digest == first.digest, "{}", third.said);
    // An image built on it does not say that it holds the cache.
    fs::write(bed.folder.join("context/Dockerfile"), format!("FROM {image}\nRUN true\n"))?;
    let child = bed.name("child");
    bed.build("child", &["--push", "-t", &child])?;
    let config: Value = serde_json::from_str(&crane(&["config", &child])?)?;
    ensure!(config.get("dev.slipway.cache.v1").is_none(), "{config:#}");
    Ok(())
}

#[test]
fn stages_that_give_the_same_files_count_across_machines() -> Result<()> {
    let bed = Bed::new("content")?;
    let (image, cache) = (bed.name("content"), bed.name("content-cache"));
    let to = format!("type=registry,ref={cache},mode=max");
    bed.change("RUN cat /proc/sys/kernel/random/uuid > made && cat source >> made", "RUN cat source > made")?;
    let first = bed.build("first", &["--push", "-t", &image, "--cache-to", &to])?;
    bed.change(
        "RUN cat /proc/sys/kernel/random/uuid > made && cat source >> made",
        "RUN cat source > made && touch -d @0 /tmp/x",
    )?;
    let second = bed.build("second", &["--push", "-t", &image, "--cache-from", &cache])?;
    ensure!(second.digest == first.digest, "{}", second.said);
    Ok(())
}

#[test]
fn a_cache_that_cannot_be_read_is_a_warning() -> Result<()> {
    let bed = Bed::new("warning")?;
    let missing = bed.name("missing");
    let built =
        bed.build("first", &["--cache-from", &missing, "--cache-from", "type=local,src=/nonexistent"])?;
    ensure!(built.said.matches("warning: the cache").count() == 2, "{}", built.said);
    Ok(())
}
