//! Instructions that change the configuration alone. Each returns its line of the image's history.

use slipway_dockerfile::ast::{ArgDecl, Command, Healthcheck, KeyValue, Kind, Word};
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_oci::config::HealthConfig;
use std::fmt::Write as _;

use super::stage::State;
use super::values::{duration, ports, quoted, signal_is_known, strings};
use crate::outline::GlobalArgs;
use crate::request::Request;

/// ARGs that speak to the builder and are not seen by commands.
const BUILDER_ARGS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// How many ports there are: 65,536 for each of three protocols.
const MAX_PORTS: usize = 3 << 16;

/// Applies an instruction and returns its history.
pub(super) fn apply(
    state: &mut State,
    kind: &Kind,
    request: &Request,
    global: &GlobalArgs,
) -> Result<String, Diagnostic> {
    let config = &mut state.config.config;
    match kind {
        Kind::Env(pairs) => env(state, pairs),
        Kind::Label(pairs) => {
            let pairs = expanded(state, pairs)?;
            let shown =
                pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
            state.config.config.labels.extend(pairs);
            Ok(format!("LABEL {shown}"))
        }
        Kind::Arg(declarations) => arg(state, declarations, request, global),
        Kind::Cmd(command) => {
            let args = with_shell(&config.shell, command);
            let history = format!("CMD {}", quoted(&args));
            config.cmd = Some(args);
            config.args_escaped = true;
            state.cmd_set = true;
            Ok(history)
        }
        Kind::Entrypoint(command) => {
            let args = with_shell(&config.shell, command);
            let history = format!("ENTRYPOINT {}", quoted(&args));
            config.entrypoint = if args.is_empty() { None } else { Some(args) };
            if !state.cmd_set {
                config.cmd = None;
            }
            Ok(history)
        }
        Kind::Shell(shell) => {
            config.shell.clone_from(shell);
            Ok(format!("SHELL {}", strings(shell)))
        }
        Kind::User(word) => {
            let user = state.words.one(word, &state.env)?;
            state.config.config.user.clone_from(&user);
            Ok(format!("USER {user}"))
        }
        Kind::Volume(words) => volume(state, words),
        Kind::Expose(words) => expose(state, words),
        Kind::StopSignal(word) => {
            let signal = state.words.one(word, &state.env)?;
            if !signal_is_known(&signal) {
                let place = state.words.place(word.span);
                return Err(Diagnostic::error("bad-signal", place, format!("`{signal}` is not a signal"))
                    .help("a name such as SIGTERM, or a number"));
            }
            state.config.config.stop_signal.clone_from(&signal);
            Ok(format!("STOPSIGNAL {signal}"))
        }
        Kind::Healthcheck(check) => {
            let check = health(check);
            let history = format!("HEALTHCHECK {}", health_history(&check));
            config.healthcheck = Some(check);
            Ok(history)
        }
        Kind::Maintainer(word) => {
            state.config.author = Some(word.text.clone());
            Ok(format!("MAINTAINER {}", word.text))
        }
        // These change files, or are kept for children; the stage's own loop has them.
        Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_) | Kind::Onbuild { .. } => {
            Ok(String::new())
        }
    }
}

/// Returns a command's words: the shell form goes to the image's shell.
pub(super) fn with_shell(shell: &[String], command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) if text.is_empty() => vec![],
        Command::Shell(text) => shell_words(shell, text.clone()),
    }
}

/// Puts the image's shell before a script.
pub(super) fn shell_words(shell: &[String], script: String) -> Vec<String> {
    let mut words =
        if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell.to_vec() };
    words.push(script);
    words
}

/// Expands keys and values, all with the environment as it was before the instruction.
fn expanded(state: &State, pairs: &[KeyValue]) -> Result<Vec<(String, String)>, Diagnostic> {
    let one = |word| state.words.one(word, &state.env);
    pairs.iter().map(|pair| Ok((one(&pair.key)?, one(&pair.value)?))).collect()
}

fn env(state: &mut State, pairs: &[KeyValue]) -> Result<String, Diagnostic> {
    let mut history = "ENV".to_owned();
    for (key, value) in expanded(state, pairs)? {
        let _ = write!(history, " {key}={value}");
        state.env.set(&key, value.clone(), false);
        state.image_env.set(&key, value, false);
    }
    Ok(history)
}

fn arg(
    state: &mut State,
    declarations: &[ArgDecl],
    request: &Request,
    global: &GlobalArgs,
) -> Result<String, Diagnostic> {
    use slipway_dockerfile::expand::Env;
    let mut history = "ARG".to_owned();
    // Not a snapshot, other than everywhere else: in `ARG a=1 b=$a`, `b` is 1.
    for declaration in declarations {
        let name = &declaration.name.text;
        let value = match (request.arg(name), &declaration.default) {
            (Some(given), _) => Some(given),
            (None, Some(default)) => Some(state.words.one(default, &state.env)?),
            (None, None) => global.get(name).map(ToOwned::to_owned),
        };
        history.push(' ');
        history.push_str(name);
        if let Some(value) = &value {
            history.push('=');
            history.push_str(value);
            if !BUILDER_ARGS.contains(&name.as_str()) {
                state.env.set(name, value.clone(), true);
            }
        }
        match state.args.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => state.args.push((name.clone(), value)),
        }
    }
    Ok(history)
}

fn volume(state: &mut State, words: &[Word]) -> Result<String, Diagnostic> {
    let mut volumes = vec![];
    for word in words {
        let volume = state.words.one(word, &state.env)?;
        if volume.is_empty() {
            let place = state.words.place(word.span);
            return Err(Diagnostic::error("empty-volume", place, "a volume's path is empty"));
        }
        volumes.push(volume);
    }
    for volume in &volumes {
        state.config.config.volumes.insert(volume.clone(), serde_json::json!({}));
    }
    Ok(format!("VOLUME {}", strings(&volumes)))
}

fn expose(state: &mut State, words: &[Word]) -> Result<String, Diagnostic> {
    let mut sorted: Vec<&Word> = words.iter().collect();
    sorted.sort_by(|a, b| a.text.cmp(&b.text));
    let mut all = vec![];
    for word in sorted {
        for text in state.words.many(word, &state.env)? {
            let found = ports(&text).map_err(|reason| {
                Diagnostic::error(
                    "bad-port",
                    state.words.place(word.span),
                    format!("`{text}` is not a port: {reason}"),
                )
                .help("for example 8080, 53/udp or 3000-3010/tcp")
            })?;
            state.words.spend(64 * found.len(), word.span)?;
            all.extend(found);
            if all.len() > MAX_PORTS {
                let place = state.words.place(word.span);
                return Err(Diagnostic::error("bad-port", place, "more ports than there are")
                    .help("name the ports that the program listens on"));
            }
        }
    }
    for port in &all {
        state.config.config.exposed_ports.insert(port.clone(), serde_json::json!({}));
    }
    Ok(format!("EXPOSE {}", strings(&all)))
}

fn health(check: &Healthcheck) -> HealthConfig {
    match check {
        Healthcheck::None => HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() },
        Healthcheck::Cmd { command, interval, timeout, start_period, start_interval, retries } => {
            HealthConfig {
                test: match command {
                    Command::Exec(words) => {
                        std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect()
                    }
                    Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                },
                // Zero means what is not said means, and Docker does not write it.
                interval: interval.filter(|time| *time > 0),
                timeout: timeout.filter(|time| *time > 0),
                start_period: start_period.filter(|time| *time > 0),
                start_interval: start_interval.filter(|time| *time > 0),
                retries: retries.filter(|count| *count > 0),
            }
        }
    }
}

fn health_history(check: &HealthConfig) -> String {
    let time = |nanoseconds: Option<u64>| duration(nanoseconds.unwrap_or(0));
    format!(
        "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        strings(&check.test),
        time(check.interval),
        time(check.timeout),
        time(check.start_period),
        time(check.start_interval),
        check.retries.unwrap_or(0)
    )
}
