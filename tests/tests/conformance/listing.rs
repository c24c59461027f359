//! What a build is compared by, as lines: every file, the configuration, the history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read;

use crate::case::CONTEXT_TIMES;
use anyhow::Result;
use serde_json::Value;
use slipway_oci::Digest;
use slipway_oci::archive::{Entry, Kind, Limits, Reader};

/// A label of the bases that `cargo xtask bases` makes, which names their exact content.
const BASE_LABEL: &str = "dev.slipway.base";

/// Fields of a configuration that no container is started by: one of Windows, and the container that built the image.
const NOT_THE_IMAGE: [&str; 3] = ["ArgsEscaped", "Hostname", "Image"];

/// What every image on the base has.
pub(crate) const BASE_SIGN: &str = "bin/busybox: f 0755 0:0";

/// Times before this were kept or set; later ones are of the build, and not compared.
const NEW: i64 = 1_100_000_000;

/// What a builder made of a case.
pub(crate) struct Built {
    pub(crate) tree: Vec<u8>,
    pub(crate) config: Value,
}

/// Returns the lines of a build.
pub(crate) fn listing(built: &Built, server: &str) -> Result<String> {
    let mut lines = BTreeMap::new();
    let mut inodes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut reader = Reader::new(&built.tree[..], Limits::default());
    while let Some(entry) = reader.next_entry()? {
        let path = plain(&entry.path);
        if path.is_empty() {
            continue;
        }
        if let Kind::Hardlink { target } = &entry.kind {
            inodes.entry(plain(target)).or_default().insert(path);
            continue;
        }
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content)?;
        lines.insert(path, line(&entry, &content));
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
    // The port is another one each time.
    let host = server.rsplit_once('/').map_or(server, |(host, _)| host);
    Ok(text.replace(server, "{server}").replace(host, "http://{host}"))
}

/// Leaves out the time that the cases of `SOURCE_DATE_EPOCH` give to everything newer.
fn unclamped(line: &str) -> &str {
    line.strip_suffix(" @1000000000").unwrap_or(line)
}

/// Takes out what a base brought and nothing changed, and says what of it is gone. A base differs between machines, whose
/// certificates are in it.
pub(crate) fn without_base(text: &str, base: &str) -> String {
    let file = |line: &&str| {
        !["config ", "history ", "layers ", "image "].iter().any(|start| line.starts_with(start))
    };
    // An image that only copies from the base has none of it.
    if !text.lines().any(|line| line.starts_with(BASE_SIGN)) {
        return text.to_owned();
    }
    let brought: BTreeSet<&str> = base.lines().filter(file).collect();
    let kept: BTreeSet<&str> = text.lines().map(unclamped).collect();
    let paths: BTreeSet<&str> = text.lines().filter_map(|line| line.split(": ").next()).collect();
    let mut result = String::new();
    for line in text.lines().filter(|line| !brought.contains(unclamped(line))) {
        let _ = writeln!(result, "{line}");
    }
    let gone = brought.iter().filter(|line| !kept.contains(*line)).filter_map(|line| line.split(": ").next());
    for path in gone.filter(|path| !paths.contains(path)) {
        let _ = writeln!(result, "gone: {path}");
    }
    result
}

fn plain(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    let path = path.trim_start_matches("./").trim_end_matches('/');
    if path == "." { String::new() } else { path.to_owned() }
}

fn line(entry: &Entry, content: &[u8]) -> String {
    let (mode, owner) = (entry.mode & 0o7777, format!("{}:{}", entry.uid, entry.gid));
    let mut line = match &entry.kind {
        Kind::Directory => format!("d {mode:04o} {owner}"),
        Kind::File { size } => format!("f {mode:04o} {owner} {size} {}", Digest::of(content).short()),
        Kind::Symlink { target } => format!("l {owner} -> {}", String::from_utf8_lossy(target)),
        Kind::Hardlink { target } => format!("h {}", String::from_utf8_lossy(target)),
        Kind::Fifo => format!("p {mode:04o} {owner}"),
        Kind::Char { major, minor } => format!("c {mode:04o} {owner} {major},{minor}"),
        Kind::Block { major, minor } => format!("b {mode:04o} {owner} {major},{minor}"),
    };
    for (name, value) in &entry.xattrs {
        let _ = write!(line, " {}={}", String::from_utf8_lossy(name), Digest::of(value).short());
    }
    if u64::try_from(entry.mtime.seconds).is_ok_and(|time| CONTEXT_TIMES.contains(&time)) {
        // A folder that BuildKit received before has the time of that day.
        if entry.kind != Kind::Directory {
            line.push_str(" @context");
        }
    } else if entry.mtime.seconds < NEW {
        let _ = write!(line, " @{}", entry.mtime.seconds);
    }
    line
}

/// Adds what counts of a configuration.
fn config(document: &Value, text: &mut String) -> Result<()> {
    let empty = serde_json::Map::new();
    // Only where it was asked for another platform than that of this machine.
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    for (name, usual) in [("os", "linux"), ("architecture", own), ("author", "")] {
        if let Some(value) = document[name].as_str().filter(|value| *value != usual) {
            writeln!(text, "image {name}: {value}")?;
        }
    }
    // The time of a build is compared where it was given.
    if let Some(time) = document["created"].as_str().filter(|time| *time < "2004") {
        writeln!(text, "image created: {time}")?;
    }
    let config = document["config"].as_object().unwrap_or(&empty);
    let sorted: BTreeMap<&String, &Value> = config.iter().collect();
    for (name, value) in sorted {
        // Empty and absent mean the same to every reader.
        let bare = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !bare && !NOT_THE_IMAGE.contains(&name.as_str()) {
            let value = match value {
                Value::Object(map) => {
                    let kept: BTreeMap<_, _> = map.iter().filter(|(key, _)| *key != BASE_LABEL).collect();
                    if kept.is_empty() {
                        continue;
                    }
                    serde_json::to_string(&kept)?
                }
                other => other.to_string(),
            };
            writeln!(text, "config {name}: {value}")?;
        }
    }
    for entry in document["history"].as_array().into_iter().flatten() {
        let mark = if entry["empty_layer"] == true { "-" } else { "+" };
        let text_of = entry["created_by"].as_str().unwrap_or_default().replace('\n', "\\n");
        let time =
            entry["created"].as_str().filter(|time| ("2001".."2004").contains(time)).unwrap_or_default();
        writeln!(text, "history {mark} {time}{text_of}")?;
    }
    let layers = document["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    Ok(writeln!(text, "layers {layers}")?)
}
