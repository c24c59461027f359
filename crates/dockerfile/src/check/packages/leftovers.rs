//! Lists and downloads that a package manager leaves in the layer of its RUN. Removing them in a later RUN does not make the image smaller.

use super::super::{model::Step, shell::Command};
use crate::ast::MountKind;

/// What stays behind.
pub(super) struct Leftover<'s> {
    /// The command that leaves it.
    pub(super) command: &'s Command,
    /// What it is.
    pub(super) message: String,
    /// What to do.
    pub(super) help: &'static str,
}

/// Finds what the commands of a RUN leave in its layer.
pub(super) fn find<'s>(step: &'s Step<'_>) -> Vec<Leftover<'s>> {
    let mut found: Vec<Leftover<'s>> = vec![];
    for (at, command) in step.commands.iter().enumerate() {
        let later = &step.commands[at..];
        let Some((message, help)) = leftover(step, command, later) else { continue };
        if found.iter().all(|other| other.message != message) {
            found.push(Leftover { command, message, help });
        }
    }
    found
}

fn leftover(step: &Step<'_>, command: &Command, later: &[Command]) -> Option<(String, &'static str)> {
    let verb = verb(command);
    let removed = |parts: &[&str]| parts.iter().any(|part| removes(later, part));
    let elsewhere = |parts: &[&str]| parts.iter().any(|part| is_mounted(step, part));
    let cleaned = |programs: &[&str]| {
        later.iter().any(|c| {
            programs.contains(&c.program()) && c.operands().any(|word| matches!(word, "clean" | "purge"))
        })
    };
    let told = |message: &str, help| Some((message.to_owned(), help));
    match command.program() {
        "apt-get" | "apt" | "aptitude" if verb == "update" => {
            let gone = removed(&["/var/lib/apt"]) || elsewhere(&["/var/lib/apt"]);
            if gone {
                None
            } else {
                told(
                    "the lists of apt stay in this layer",
                    "end this RUN with `&& rm -rf /var/lib/apt/lists/*`",
                )
            }
        }
        "apk" if matches!(verb, "add" | "update") => {
            let gone = command.has_option("--no-cache")
                || removed(&["/var/cache/apk"])
                || elsewhere(&["/var/cache/apk", "/etc/apk/cache"]);
            if gone {
                None
            } else {
                told(
                    "the index of apk stays in this layer",
                    "use `apk add --no-cache`, which needs no `apk update`",
                )
            }
        }
        name @ ("dnf" | "dnf5" | "microdnf" | "yum" | "tdnf")
            if matches!(
                verb,
                "install" | "update" | "upgrade" | "groupinstall" | "reinstall" | "makecache"
            ) =>
        {
            let gone = cleaned(&[name])
                || removed(&["/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5", "/var/cache/*"])
                || elsewhere(&["/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5"]);
            if gone {
                None
            } else {
                Some((
                    format!("what {name} downloads stays in this layer"),
                    "end this RUN with `&& dnf clean all` (or the same of your package manager)",
                ))
            }
        }
        "zypper" if matches!(verb, "install" | "in" | "update" | "up" | "refresh" | "ref") => {
            let gone = cleaned(&["zypper"])
                || later.iter().any(|c| c.program() == "zypper" && c.operands().any(|word| word == "cc"))
                || removed(&["/var/cache/zypp"])
                || elsewhere(&["/var/cache/zypp"]);
            if gone {
                None
            } else {
                told("what zypper downloads stays in this layer", "end this RUN with `&& zypper clean --all`")
            }
        }
        name if is_pip(command) && verb == "install" => {
            let gone = step.settings.pip_no_cache
                || command.has_option("--no-cache-dir")
                || command.assignments.iter().any(|(key, _)| key == "PIP_NO_CACHE_DIR")
                || removed(&[".cache"])
                || elsewhere(&[".cache"])
                || later.iter().any(|c| is_pip(c) && c.operands().any(|word| word == "purge"));
            let _ = name;
            if gone {
                None
            } else {
                told(
                    "what pip downloads stays in this layer",
                    "add `--no-cache-dir`, or `--mount=type=cache,target=/root/.cache/pip` to keep it between builds",
                )
            }
        }
        "npm" if matches!(verb, "ci" | "install" | "i" | "clean-install") => {
            let gone = cleaned(&["npm"])
                || later.iter().any(|c| c.program() == "npm" && c.operands().any(|word| word == "cache"))
                || removed(&[".npm"])
                || elsewhere(&[".npm"]);
            if gone {
                None
            } else {
                told(
                    "what npm downloads stays in this layer",
                    "add `--mount=type=cache,target=/root/.npm`, or end this RUN with `&& npm cache clean --force`",
                )
            }
        }
        _ => None,
    }
}

/// Returns the word that says what to do: the first that is no option, or after `-m pip`.
fn verb(command: &Command) -> &str {
    let mut operands = command.operands();
    match operands.next() {
        Some("pip") if command.program().starts_with("python") => operands.next(),
        first => first,
    }
    .unwrap_or_default()
}

fn is_pip(command: &Command) -> bool {
    let program = command.program();
    matches!(program, "pip" | "pip3")
        || program.starts_with("pip3.")
        || (program.starts_with("python")
            && command.words.windows(2).any(|pair| pair[0] == "-m" && pair[1] == "pip"))
}

/// Tells whether one of the commands removes a path that holds this text.
fn removes(commands: &[Command], part: &str) -> bool {
    let deletes = |command: &Command| match command.program() {
        "rm" => true,
        "find" => command.has_option("-delete") || command.words.iter().any(|word| word == "rm"),
        _ => false,
    };
    commands
        .iter()
        .any(|command| deletes(command) && command.words.iter().skip(1).any(|word| word.contains(part)))
}

/// Tells whether a path that holds this text is a cache or tmpfs mount, and so in no layer.
fn is_mounted(step: &Step<'_>, part: &str) -> bool {
    let outside = |mount: &&crate::ast::Mount| matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs);
    step.mounts()
        .iter()
        .filter(outside)
        .any(|mount| mount.target.as_ref().is_some_and(|target| target.text.contains(part)))
}
