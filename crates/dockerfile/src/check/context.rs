//! What is copied from the build context.

use crate::ast::{Copy, Kind};

use super::{
    input::Ignore,
    model::{Model, Step},
    report::Report,
    rules::Id,
};
use crate::{
    pattern::{IgnoreFile, clean},
    suggest::shown,
};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    let mut told = false;
    for step in model.stages.iter().flat_map(|stage| &stage.steps) {
        let Some((copy, name)) = from_context(step) else { continue };
        if let Ignore::Present(ignore) = model.input.ignore {
            ignored(step, name, ignore, report);
        }
        if matches!(model.input.ignore, Ignore::Missing) && !told {
            told = whole_context(step, report);
        }
        secrets(step, copy, report);
    }
}

/// Returns a COPY or ADD that reads the build context, and its name.
pub(super) fn from_context<'a>(step: &Step<'a>) -> Option<(&'a Copy, &'static str)> {
    match &step.instruction.kind {
        Kind::Copy(copy) if copy.from.is_none() => Some((copy, "COPY")),
        Kind::Add(copy) => Some((copy, "ADD")),
        _ => None,
    }
}

/// Returns a source's path in the context, or nothing where it is a URL or a git repository.
fn path(source: &str) -> Option<String> {
    let remote = source.contains("://") || source.starts_with("git@");
    (!remote).then(|| clean(source.trim_start_matches('/')))
}

/// Tells whether a source is the whole context.
pub(super) fn is_whole(source: &str) -> bool {
    path(source).is_some_and(|path| matches!(path.as_str(), "." | "*"))
}

/// With negations in the file it is not said that nothing of a directory is left, so BuildKit says nothing.
fn ignored(step: &Step<'_>, name: &str, ignore: &IgnoreFile, report: &mut Report) {
    if ignore.has_negations() {
        return;
    }
    for (source, span) in &step.words {
        let Some(path) = path(source) else { continue };
        let hit = if path == "." { ignore.takes_whole_root() } else { ignore.matches_or_parent(&path) };
        if hit {
            let line =
                ignore.deciding_line(&path).map_or_else(String::new, |line| format!(" in its line {line}"));
            let finding = Id::CopyIgnoredFile
                .finding(
                    *span,
                    format!("{name} wants `{}`, which .dockerignore leaves out{line}", shown(source)),
                )
                .help("change the ignore file, or do not copy this");
            report.push(&step.instruction.comments, finding);
        }
    }
}

fn whole_context(step: &Step<'_>, report: &mut Report) -> bool {
    let Some((_, span)) = step.words.iter().find(|(source, _)| is_whole(source)) else { return false };
    let finding = Id::MissingIgnoreFile
        .finding(*span, "everything in the context is copied, and there is no .dockerignore")
        .help("add a .dockerignore with `.git`, local settings, and what builds leave behind, such as `node_modules` or `target`");
    report.push(&step.instruction.comments, finding);
    true
}

fn secrets(step: &Step<'_>, copy: &Copy, report: &mut Report) {
    let destination = copy.dest.text.rsplit('/').next().unwrap_or_default();
    for (source, span) in &step.words {
        let Some(path) = path(source) else { continue };
        if let Some(what) = secret(&path).or_else(|| secret(destination).filter(|_| step.words.len() == 1)) {
            let finding = Id::SecretFileCopied
                .finding(*span, format!("`{}` looks like {what}, and whoever has the image has it too", shown(source)))
                .help("use `RUN --mount=type=secret` for what the build needs, and give the rest to the container when it runs");
            report.push(&step.instruction.comments, finding);
        }
    }
}

/// Files and directories that are secret by their whole name, at the end of a path.
const NAMES: [(&str, &[&str]); 4] = [
    ("a file of settings with secrets", &[".env"]),
    ("a private key", &["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"]),
    ("a directory of credentials", &[".ssh", ".aws", ".kube", ".gnupg", ".docker"]),
    (
        "a file of credentials",
        &[
            ".npmrc",
            ".pypirc",
            ".netrc",
            "_netrc",
            ".git-credentials",
            ".vault-token",
            ".htpasswd",
            ".pgpass",
            "auth.json",
            "kubeconfig",
            ".kube/config",
            ".docker/config.json",
            "credentials",
            "credentials.json",
            "application_default_credentials.json",
        ],
    ),
];

/// Extensions of private keys and of stores of them.
const KEYS: [&str; 7] = ["pem", "key", "p12", "pfx", "jks", "keystore", "ppk"];

/// Parts of names that say that a file is no secret.
const HARMLESS: [&str; 12] = [
    "cert",
    "ca",
    "chain",
    "bundle",
    "public",
    "pub",
    "crt",
    "fullchain",
    "example",
    "sample",
    "template",
    "dist",
];

/// Tells what kind of secret a file holds, by its name.
fn secret(path: &str) -> Option<&'static str> {
    let lower = path.to_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    if name.split(['.', '-', '_']).any(|part| HARMLESS.contains(&part)) {
        return None;
    }
    let is = |wanted: &&str| {
        name == *wanted || (wanted.contains('/') && format!("/{lower}").ends_with(&format!("/{wanted}")))
    };
    if let Some((what, _)) = NAMES.iter().find(|(_, names)| names.iter().any(is)) {
        return Some(what);
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let first = stem.split(['-', '_']).next().unwrap_or_default();
    let is_service_account =
        stem.replace('_', "-").starts_with("service-account") || first == "serviceaccount";
    let is_text = matches!(extension, "json" | "yaml" | "yml" | "txt" | "toml" | "ini");
    if name.starts_with(".env.") {
        Some("a file of settings with secrets")
    } else if KEYS.contains(&extension) {
        Some("a private key")
    } else if is_text && (matches!(first, "secret" | "secrets") || is_service_account) {
        Some("a file of credentials")
    } else {
        None
    }
}
