//! Small Dockerfiles, one folder each in `conformance/`: the tree, the configuration and the history that come out are
//! compared with what BuildKit made of them.
//!
//! `expected.txt` was written by BuildKit itself: `SLIPWAY_BLESS=1` asks the peer of `cargo xtask peers up buildkit` again.
//! `flags` in a case has arguments of the build; `fails` has words that the error must have, and then BuildKit must fail too.
//! Cases whose Dockerfile needs a base are left out where `SLIPWAY_TEST_REGISTRY` names no registry.
//! `differences.txt` lists the cases where we differ on purpose, each with its reason; `SLIPWAY_BLESS=own` writes what we make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use slipway_oci::archive::{Kind, Limits, Reader};

/// What of the base image is the same in every case, and not listed.
const UNLISTED: [&str; 1] = ["bin/"];

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// One case.
struct Case {
    name: String,
    folder: PathBuf,
    flags: Vec<String>,
    fails: Option<String>,
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let flags = text("flags").unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect();
        let fails = text("fails").map(|words| words.trim().to_owned());
        Self { name, folder, flags, fails }
    }

    fn needs_base(&self) -> bool {
        let text = fs::read_to_string(self.folder.join("context/Dockerfile")).unwrap_or_default();
        text.contains("busybox") || text.contains("debian")
    }

    fn context(&self) -> PathBuf {
        self.folder.join("context")
    }
}

/// What a builder made of a case.
struct Built {
    tree: Vec<u8>,
    config: Value,
}

/// Returns what a build is compared by.
fn listing(built: &Built) -> Result<String> {
    let mut lines = BTreeMap::new();
    let mut inodes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut reader = Reader::new(&built.tree[..], Limits::default());
    while let Some(entry) = reader.next_entry()? {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        if path.is_empty()
            || path == "."
            || UNLISTED.iter().any(|prefix| format!("{path}/").starts_with(prefix))
        {
            continue;
        }
        let owner = format!("{}:{}", entry.uid, entry.gid);
        let mode = entry.mode & 0o7777;
        let line = match &entry.kind {
            Kind::Directory => format!("d {mode:04o} {owner}"),
            Kind::File { size } => {
                let size = *size;
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut reader.content(), &mut content)?;
                format!("f {mode:04o} {owner} {size} {}", slipway_oci::Digest::of(content).short())
            }
            Kind::Symlink { target } => format!("l {owner} -> {}", String::from_utf8_lossy(target)),
            Kind::Hardlink { target } => {
                let target = String::from_utf8_lossy(target).trim_start_matches("./").to_owned();
                inodes.entry(target).or_default().insert(path.clone());
                continue;
            }
            Kind::Fifo => format!("p {mode:04o} {owner}"),
            Kind::Char { major, minor } => format!("c {mode:04o} {owner} {major},{minor}"),
            Kind::Block { major, minor } => format!("b {mode:04o} {owner} {major},{minor}"),
        };
        let mut line = line;
        for (name, value) in &entry.xattrs {
            let _ =
                write!(line, " {}={}", String::from_utf8_lossy(name), slipway_oci::Digest::of(value).short());
        }
        lines.insert(path, line);
    }
    // Which name of a file comes first in an archive is the writer's affair.
    for (first, others) in inodes {
        let line = lines.get(&first).cloned().unwrap_or_default();
        let all: BTreeSet<String> = others.into_iter().chain([first]).collect();
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        for name in &all {
            lines.insert(name.clone(), format!("{line} = {}", names.join(" = ")));
        }
    }
    let mut text = String::new();
    for (path, line) in lines {
        writeln!(text, "{path}: {line}")?;
    }
    config(&built.config, &mut text)?;
    Ok(text)
}

/// Adds what counts of a configuration.
fn config(document: &Value, text: &mut String) -> Result<()> {
    let empty = serde_json::Map::new();
    let config = document["config"].as_object().unwrap_or(&empty);
    let sorted: BTreeMap<&String, &Value> = config.iter().collect();
    for (name, value) in sorted {
        // Empty and absent mean the same to every reader; ArgsEscaped is of Windows.
        let bare = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !bare && name != "ArgsEscaped" {
            let value = match value {
                Value::Object(map) => serde_json::to_string(&map.iter().collect::<BTreeMap<_, _>>())?,
                other => other.to_string(),
            };
            writeln!(text, "config {name}: {value}")?;
        }
    }
    for entry in document["history"].as_array().into_iter().flatten() {
        let mark = if entry["empty_layer"] == true { "-" } else { "+" };
        writeln!(
            text,
            "history {mark} {}",
            entry["created_by"].as_str().unwrap_or_default().replace('\n', "\\n")
        )?;
    }
    let layers = document["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    Ok(writeln!(text, "layers {layers}")?)
}

/// Finds the program beside the tests.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("an odd place for a test")?;
    let program = folder.join("slipway");
    ensure!(program.exists(), "`{}` is not built: cargo build -p slipway-cli", program.display());
    Ok(program)
}

fn slipway(case: &Case, scratch: &Path) -> Result<std::result::Result<Built, String>> {
    let registry = std::env::var("SLIPWAY_TEST_REGISTRY").unwrap_or_default();
    let (tree, image) = (scratch.join("tree.tar"), scratch.join("image"));
    let output = Command::new(program()?)
        .args(["build", "--progress", "plain", "--tag", "conformance:latest"])
        .arg("--root")
        .arg(scratch.parent().unwrap_or(scratch).join("store"))
        .args(["--registry-mirror", &format!("docker.io={registry}"), "--insecure-registry", &registry])
        .args(["--output", &format!("type=tar,dest={}", tree.display())])
        .args(["--output", &format!("type=oci,tar=false,dest={}", image.display())])
        .args(&case.flags)
        .arg(case.context())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Ok(Err(said));
    }
    let read = |path: PathBuf| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let blob =
        |digest: &Value| image.join("blobs").join(digest.as_str().unwrap_or_default().replace(':', "/"));
    let index = read(image.join("index.json"))?;
    let manifest = read(blob(&index["manifests"][0]["digest"]))?;
    let config = read(blob(&manifest["config"]["digest"]))?;
    Ok(Ok(Built { tree: fs::read(tree)?, config }))
}

fn buildkit(case: &Case, scratch: &Path) -> Result<std::result::Result<Built, String>> {
    let (tree, config) = (scratch.join("peer.tar"), scratch.join("peer.json"));
    let output = Command::new(env!("CARGO"))
        .args(["xtask", "peers", "build", "--peer", "buildkit", "-o"])
        .arg(&tree)
        .arg("--config")
        .arg(&config)
        .args(&case.flags)
        .arg(case.context())
        .output()?;
    if !output.status.success() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(Ok(Built { tree: fs::read(tree)?, config: serde_json::from_slice(&fs::read(config)?)? }))
}

/// Runs a case; returns what is wrong.
fn check(case: &Case, scratch: &Path, differs: bool) -> Result<()> {
    let expected = case.folder.join("expected.txt");
    let bless = std::env::var("SLIPWAY_BLESS").unwrap_or_default();
    if bless == "1" && !differs {
        match (buildkit(case, scratch)?, &case.fails) {
            (Ok(built), None) => fs::write(&expected, listing(&built)?)?,
            (Err(_), Some(_)) => {}
            (Ok(_), Some(_)) => bail!("BuildKit builds it, though it should fail"),
            (Err(said), None) => bail!("BuildKit fails: {said}"),
        }
    }
    match (slipway(case, scratch)?, &case.fails) {
        (Ok(built), None) if bless == "own" && differs => Ok(fs::write(&expected, listing(&built)?)?),
        (Ok(built), None) => {
            let (made, expected) =
                (listing(&built)?, fs::read_to_string(&expected).context("no expected.txt")?);
            let lines = |text: &str| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>();
            let (made, expected) = (lines(&made), lines(&expected));
            let mut wrong = String::new();
            for line in expected.iter().filter(|line| !made.contains(line)) {
                writeln!(wrong, "  BuildKit: {line}")?;
            }
            for line in made.iter().filter(|line| !expected.contains(line)) {
                writeln!(wrong, "  Slipway:  {line}")?;
            }
            ensure!(made == expected, "{wrong}{}", if wrong.is_empty() { "  another order" } else { "" });
            Ok(())
        }
        (Err(said), Some(words)) if said.contains(words.as_str()) => Ok(()),
        (Err(said), Some(words)) => bail!("the error does not say `{words}`:\n{said}"),
        (Ok(_), Some(_)) => bail!("it should fail"),
        (Err(said), None) => bail!("it fails:\n{said}"),
    }
}

/// Reads the cases where we differ, each with a reason.
fn differences() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(cases().join("differences.txt")).unwrap_or_default();
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, reason) = line.split_once(": ").with_context(|| format!("`{line}` has no reason"))?;
        ensure!(
            !reason.trim().is_empty() && cases().join(name).is_dir(),
            "`{line}`: no such case, or no reason"
        );
        names.insert(name.to_owned());
    }
    Ok(names)
}

#[test]
fn every_case_builds_as_buildkit_builds_it() -> Result<()> {
    let only = std::env::var("CASE").unwrap_or_default();
    let with_base = std::env::var("SLIPWAY_TEST_REGISTRY").is_ok();
    let mut all: Vec<PathBuf> =
        fs::read_dir(cases())?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    all.retain(|path| path.is_dir() && path.to_string_lossy().contains(&only));
    all.sort();
    let differences = differences()?;
    let place = std::env::temp_dir().join(format!("slipway-conformance-{}", std::process::id()));
    let mut wrong = Vec::new();
    let mut ran = 0;
    for folder in all {
        let case = Case::read(folder);
        if case.needs_base() && !with_base {
            continue;
        }
        let scratch = place.join(&case.name);
        fs::create_dir_all(&scratch)?;
        ran += 1;
        if let Err(error) = check(&case, &scratch, differences.contains(&case.name)) {
            wrong.push(format!("{}:\n{error:#}", case.name));
        }
        fs::remove_dir_all(&scratch)?;
    }
    fs::remove_dir_all(&place)?;
    ensure!(ran > 0, "no case ran");
    ensure!(wrong.is_empty(), "{} of {ran} cases:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
