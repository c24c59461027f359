//! The parts of a key by name, kept to explain a miss later. They do not make the key; they only mirror it.

use std::collections::BTreeMap;

use slipway_oci::{Digest, Platform, Reference};

use super::stage::ContentFactRef;
use super::variables::Variables;
use crate::ir::{CopyItem, CopyOp, Input, MountSource, Op, RunMount, RunOp};
use crate::key::step::Read;
use crate::key::{Key, KeyPart, Tree};
use crate::outline::{Origin, Outline, StageOutline};

/// How long a value may be before its digest stands for it.
const MAX_VALUE: usize = 120;

/// How many files of a step are named one by one; beyond that, folders.
const MAX_FILES: usize = 200;

/// Returns the part that stands for what a stage starts from.
pub(super) fn base_part(stage: &StageOutline, outline: &Outline, key: Key) -> KeyPart {
    let name = match &stage.base {
        Origin::Scratch | Origin::Remote(_) => "base scratch".to_owned(),
        Origin::Stage(parent) => format!("stage {}", outline.label(*parent)),
        Origin::Image(reference) => format!("base {}", familiar(reference)),
        Origin::Context(name) => format!("base context {name}"),
    };
    KeyPart { name, value: key.0.short() }
}

/// Returns an image's name as people write it.
pub(super) fn familiar(reference: &str) -> String {
    reference.parse::<Reference>().map_or_else(|_| reference.to_owned(), |reference| reference.familiar())
}

/// Returns the parts of an operation's key.
pub(super) fn op_parts(
    op: &Op,
    parent: &KeyPart,
    platform: &Platform,
    env: &Variables,
    trees: &[Tree],
    facts: &[Option<ContentFactRef<'_>>],
    name_of: &dyn Fn(&Input) -> String,
) -> Vec<KeyPart> {
    let mut parts = Parts { list: vec![parent.clone()] };
    match op {
        Op::Workdir(op) => {
            parts.add("directory", &op.path);
            parts.add("user", &op.user);
        }
        Op::Copy(op) => parts.copy(op),
        Op::Run(op) => parts.run(op, platform, env),
    }
    for ((read, tree), fact) in op.reads().iter().zip(trees).zip(facts) {
        parts.read(read, tree, *fact, name_of);
    }
    parts.list
}

struct Parts {
    list: Vec<KeyPart>,
}

impl Parts {
    fn add(&mut self, name: impl Into<String>, value: &str) {
        let value =
            if value.chars().count() > MAX_VALUE { Digest::of(value).short() } else { value.to_owned() };
        self.list.push(KeyPart { name: name.into(), value });
    }

    fn copy(&mut self, op: &CopyOp) {
        let sources: Vec<String> = op
            .items
            .iter()
            .map(|item| match item {
                CopyItem::Path { pattern, .. } => pattern.clone(),
                CopyItem::Inline { name, .. } => format!("<<{name}"),
                CopyItem::Url { url, .. } | CopyItem::Git { url, .. } => url.clone(),
            })
            .collect();
        self.add("sources", &sources.join(" "));
        self.add("destination", &op.dest);
        self.add("owner", op.owner.as_deref().unwrap_or_default());
        self.add("mode", op.mode.as_deref().unwrap_or_default());
        let flags = [("--link", op.link), ("--parents", op.parents)];
        let flags: Vec<&str> = flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect();
        self.add("flags", &flags.join(" "));
        self.add("unpack", &format!("{:?}", op.unpack));
        self.add("exclude", &op.exclude.join(" "));
        for item in &op.items {
            if let CopyItem::Inline { name, data } = item {
                self.add(format!("heredoc {name}"), &Digest::of(data).short());
            }
        }
    }

    fn run(&mut self, op: &RunOp, platform: &Platform, env: &Variables) {
        self.add("command", &op.args.join(" "));
        if let Some((name, data)) = &op.script {
            self.add(format!("heredoc {name}"), &Digest::of(data).short());
        }
        for variable in env.iter() {
            let kind = if variable.is_arg { "arg" } else { "env" };
            self.add(format!("{kind} {}", variable.name), &variable.value);
        }
        self.add("working directory", &op.cwd);
        self.add("user", &op.user);
        self.add("platform", &platform.to_string());
        self.add("network", &format!("{:?}", op.network));
        self.add("host name", &op.hostname);
        let hosts: Vec<&str> = op.add_hosts.iter().map(|(name, _)| name.as_str()).collect();
        self.add("hosts", &hosts.join(" "));
        let limits: Vec<String> =
            op.ulimits.iter().map(|(name, soft, hard)| format!("{name}={soft}:{hard}")).collect();
        self.add("ulimits", &limits.join(" "));
        for RunMount { target, source } in &op.mounts {
            let target = if target.is_empty() { "(environment)" } else { target };
            self.add(format!("mount {target}"), &describe(source));
        }
    }

    fn read(
        &mut self,
        read: &Read<'_>,
        tree: &Tree,
        fact: Option<ContentFactRef<'_>>,
        name_of: &dyn Fn(&Input) -> String,
    ) {
        let digest = match tree {
            Tree::Content(digest) => digest.short(),
            Tree::Key(key) => key.0.short(),
        };
        match read {
            Read::Tree { input: input @ Input::Context(_), pattern, .. } => {
                for (name, value) in files(fact) {
                    self.add(name, &value);
                }
                self.add(format!("content {pattern} of {}", name_of(input)), &digest);
            }
            Read::Tree { input, .. } => self.add(name_of(input), &digest),
            Read::Url { url, .. } => self.add(format!("download {url}"), &digest),
            Read::Git { url, .. } => self.add(format!("repository {url}"), &digest),
        }
    }
}

/// Returns what of a mount is part of the key.
fn describe(source: &MountSource) -> String {
    match source {
        MountSource::Bind { path, writable, .. } => {
            format!("bind {path}{}", if *writable { " writable" } else { "" })
        }
        MountSource::Cache { readonly, uid, gid, mode, .. } => {
            let mut out = "cache".to_owned();
            if *readonly {
                out.push_str(" read-only");
            }
            for (name, number) in [("uid", uid), ("gid", gid)] {
                out.push_str(&number.map_or_else(String::new, |number| format!(" {name}={number}")));
            }
            out.push_str(&mode.map_or_else(String::new, |mode| format!(" mode={mode:o}")));
            out
        }
        MountSource::Tmpfs { size } => {
            format!("tmpfs{}", size.map_or_else(String::new, |size| format!(" {size} bytes")))
        }
        MountSource::Secret { id, required, uid, gid, mode, env } => {
            let env = env.as_ref().map_or_else(String::new, |env| format!(" env={env}"));
            format!("secret {id} required={required} {uid}:{gid} {mode:o}{env}")
        }
        MountSource::Ssh { id, required, uid, gid, mode } => {
            format!("ssh {id} required={required} {uid}:{gid} {mode:o}")
        }
    }
}

/// Returns one part a file; where they are too many, one a folder, as deep as fits.
fn files(fact: Option<ContentFactRef<'_>>) -> Vec<(String, String)> {
    let Some(fact) = fact else { return vec![] };
    if fact.files.len() <= MAX_FILES {
        return fact.files.iter().map(|(path, digest)| (format!("file {path}"), digest.short())).collect();
    }
    let deepest = fact.files.iter().map(|(path, _)| path.matches('/').count()).max().unwrap_or(0);
    for depth in (0..=deepest).rev() {
        let mut folders: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for (path, digest) in &fact.files {
            let sum = folders.entry(folder(path, depth)).or_default();
            sum.extend_from_slice(&(path.len() as u64).to_le_bytes());
            sum.extend_from_slice(path.as_bytes());
            sum.extend_from_slice(digest.bytes());
        }
        if folders.len() <= MAX_FILES {
            let part = |(folder, sum): (&str, Vec<u8>)| (format!("files {folder}"), Digest::of(sum).short());
            return folders.into_iter().map(part).collect();
        }
    }
    vec![]
}

/// Returns the folder of a path, at most so deep.
fn folder(path: &str, depth: usize) -> &str {
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    match slashes.len().min(depth) {
        0 => "./",
        deep => &path[..=slashes[deep - 1]],
    }
}
