//! RUN: the command, its environment and its mounts.

use slipway_dockerfile::ast::{Command, Mount, MountKind, Run, Word};
use slipway_dockerfile::diagnostic::{Diagnostic, Severity};
use slipway_dockerfile::expand::Env;
use slipway_dockerfile::mount::{expanded, parse_size};

use super::metadata::{shell_words, with_shell};
use super::stage::State;
use super::{Lowering, paths};
use crate::ir::{Input, MountSource, Network, Op, RunMount, RunOp, Sharing};
use crate::outline::{Origin, PlannedStep};

/// Variables that name proxies; each is known in both cases.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

impl Lowering<'_> {
    /// Makes the operation and the history of a RUN; nothing where an image is not known yet.
    pub(super) fn run(
        &mut self,
        state: &State,
        run: &Run,
        step: &PlannedStep<'_>,
    ) -> Result<Option<(Op, String)>, Diagnostic> {
        let network = self.network(state, run)?;
        let (args, script) = command(state, run);
        let Some(mounts) = self.mounts(state, run, step)? else { return Ok(None) };
        let history = format!("RUN {} # buildkit", history_of(state, &args));
        let op = RunOp {
            args,
            script,
            env: state.env.pairs(),
            hidden_env: self.proxies(state),
            cwd: state.cwd(),
            user: state.config.config.user.clone(),
            mounts,
            network,
            hostname: self.request.hostname.clone(),
            add_hosts: self.request.add_hosts.clone(),
            ulimits: self.request.ulimits.clone(),
            shm_size: self.request.shm_size,
        };
        Ok(Some((Op::Run(Box::new(op)), history)))
    }

    fn network(&self, state: &State, run: &Run) -> Result<Network, Diagnostic> {
        let refuse = |word: &Word, message: String, help: &str| {
            Err(Diagnostic::error("unsupported-run", state.words.place(word.span), message).help(help))
        };
        if let Some(word) =
            run.security.as_ref().filter(|word| !word.text.is_empty() && word.text != "sandbox")
        {
            let message = format!("`--security={}` would leave the sandbox", word.text);
            return refuse(word, message, "only `sandbox` is allowed; drop the flag");
        }
        if let Some(word) = run.devices.first() {
            return refuse(word, format!("`--device={}` is not supported", word.text), "drop the flag");
        }
        match run.network.as_ref().map(|word| (word, word.text.as_str())) {
            None | Some((_, "" | "default")) => Ok(self.request.network),
            Some((_, "none")) => Ok(Network::None),
            Some((_, "host")) => Ok(Network::Host),
            Some((word, other)) => {
                refuse(word, format!("`{other}` is no network for RUN"), "one of default, none, host")
            }
        }
    }

    /// Returns the proxies that the request names and the Dockerfile does not declare, in both spellings.
    fn proxies(&self, state: &State) -> Vec<(String, String)> {
        let mut out = vec![];
        for (name, value) in &self.request.build_args {
            let upper = name.to_ascii_uppercase();
            if PROXIES.contains(&upper.as_str()) {
                for name in [upper.to_ascii_lowercase(), upper] {
                    if !state.env.contains(&name) && !out.iter().any(|(known, _)| *known == name) {
                        out.push((name, value.clone()));
                    }
                }
            }
        }
        out
    }

    fn mounts(
        &mut self,
        state: &State,
        run: &Run,
        step: &PlannedStep<'_>,
    ) -> Result<Option<Vec<RunMount>>, Diagnostic> {
        let mut out = vec![];
        let mut ssh = 0;
        let mut waiting = false;
        for (written, origin) in run.mounts.iter().zip(&step.origins) {
            let (mount, problems) = expanded(written, |word| state.words.one(word, &state.env))?;
            if let Some(mut problem) =
                problems.into_iter().find(|problem| problem.severity == Severity::Error)
            {
                problem.span = state.words.place(problem.span);
                return Err(problem);
            }
            let origin = if mount.kind == MountKind::Cache && mount.from.is_none() {
                &Origin::Scratch
            } else {
                origin
            };
            let Some(input) = self.input(origin, &state.platform) else {
                waiting = true;
                continue;
            };
            let source = self.source(&mount, input, origin);
            let target = mount_target(state, &mount, ssh);
            ssh += usize::from(mount.kind == MountKind::Ssh);
            if target == "/" {
                let place = state.words.place(mount.span);
                return Err(Diagnostic::error("bad-mount", place, "a mount cannot be put on `/`")
                    .help("give it a target below the root"));
            }
            out.push(RunMount { target, source });
        }
        Ok(if waiting { None } else { Some(out) })
    }

    fn source(&self, mount: &Mount, input: Input, origin: &Origin) -> MountSource {
        let path = paths::clean(text(mount.source.as_ref()));
        let number = |word: &Option<Word>| word.as_ref().and_then(|word| word.text.parse::<u32>().ok());
        let (uid, gid) = (number(&mount.uid), number(&mount.gid));
        let mode = mount.mode.as_ref().and_then(|word| u32::from_str_radix(&word.text, 8).ok());
        let required = mount.required.unwrap_or(false);
        match mount.kind {
            MountKind::Bind => MountSource::Bind { input, path, writable: mount.readonly == Some(false) },
            MountKind::Cache => MountSource::Cache {
                id: self.cache_id(mount, origin),
                sharing: match text(mount.sharing.as_ref()).to_ascii_lowercase().as_str() {
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => Sharing::Shared,
                },
                from: input,
                path,
                readonly: mount.readonly == Some(true),
                uid,
                gid,
                mode,
            },
            MountKind::Tmpfs => {
                let size =
                    mount.size.as_ref().and_then(|word| parse_size(&word.text)).filter(|size| *size > 0);
                MountSource::Tmpfs { size }
            }
            MountKind::Secret => MountSource::Secret {
                id: secret_id(mount),
                required,
                uid: uid.unwrap_or(0),
                gid: gid.unwrap_or(0),
                mode: mode.unwrap_or(0o400),
                env: mount.env.as_ref().map(|word| word.text.clone()),
            },
            MountKind::Ssh => MountSource::Ssh {
                id: mount.id.as_ref().map_or_else(|| "default".to_owned(), |word| word.text.clone()),
                required,
                uid: uid.unwrap_or(0),
                gid: gid.unwrap_or(0),
                mode: mode.unwrap_or(0o600),
            },
        }
    }

    /// Returns the name of a cache mount: its id, or its target as written; apart for each namespace and each origin.
    fn cache_id(&self, mount: &Mount, origin: &Origin) -> String {
        let named = text(mount.id.as_ref());
        let mut id = if named.is_empty() { go_clean(text(mount.target.as_ref())) } else { named.to_owned() };
        if !self.request.cache_namespace.is_empty() {
            id = format!("{}/{id}", self.request.cache_namespace);
        }
        match origin {
            Origin::Scratch | Origin::Remote(_) => id,
            Origin::Stage(stage) => format!("{id}:{}", self.resolved.outline.label(*stage)),
            Origin::Image(name) | Origin::Context(name) => format!("{id}:{name}"),
        }
    }
}

/// Returns the arguments of a RUN, and the file of a here-document that is a script of its own.
fn command(state: &State, run: &Run) -> (Vec<String>, Option<(String, String)>) {
    let shell = &state.config.config.shell;
    let Command::Shell(line) = &run.command else { return (with_shell(shell, &run.command), None) };
    match run.heredocs.as_slice() {
        [] => (shell_words(shell, line.clone()), None),
        [only] if is_heredoc_alone(line) => {
            if only.body.starts_with("#!") && state.platform.os != "windows" {
                let script = (only.name.clone(), only.body.clone());
                return (shell_words(shell, format!("/dev/pipes/{}", only.name)), Some(script));
            }
            (shell_words(shell, only.body.clone()), None)
        }
        // The shell reads the here-documents itself.
        heredocs => {
            let mut text = line.clone();
            for heredoc in heredocs {
                text.push('\n');
                text.push_str(&heredoc.body);
                text.push_str(&heredoc.name);
            }
            (shell_words(shell, text), None)
        }
    }
}

/// Tells whether a line is one here-document and nothing else: `<<EOF`, `3<<-"EOF"`.
fn is_heredoc_alone(line: &str) -> bool {
    let line = line.trim();
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix("<<").is_some_and(|word| !word.contains('<') && !word.contains(char::is_whitespace))
}

/// Returns a RUN's command as the history shows it: the declared ARGs and their values first.
fn history_of(state: &State, args: &[String]) -> String {
    let value = |name: &str, declared: &Option<String>| {
        state.env.get(name).map(ToOwned::to_owned).or_else(|| declared.clone()).unwrap_or_default()
    };
    let mut words: Vec<String> =
        state.args.iter().map(|(name, declared)| format!("{name}={}", value(name, declared))).collect();
    if !words.is_empty() {
        words.insert(0, format!("|{}", words.len()));
    }
    words.extend(args.iter().cloned());
    words.join(" ")
}

fn mount_target(state: &State, mount: &Mount, ssh: usize) -> String {
    let target = text(mount.target.as_ref());
    match mount.kind {
        MountKind::Secret if target.is_empty() && mount.env.is_some() => String::new(),
        MountKind::Secret if target.is_empty() => format!("/run/secrets/{}", base_name(&secret_id(mount))),
        MountKind::Ssh if target.is_empty() => format!("/run/buildkit/ssh_agent.{ssh}"),
        _ => paths::join(&state.cwd(), target),
    }
}

fn secret_id(mount: &Mount) -> String {
    let named = [text(mount.source.as_ref()), text(mount.id.as_ref())];
    match named.into_iter().find(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => base_name(text(mount.target.as_ref())).to_owned(),
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Cleans a path but leaves it relative where it is: cache ids come from targets as they are written.
fn go_clean(path: &str) -> String {
    if path.starts_with('/') {
        paths::clean(path)
    } else {
        paths::clean(path).trim_start_matches('/').to_owned()
    }
}

fn text(word: Option<&Word>) -> &str {
    word.map_or("", |word| word.text.as_str())
}
