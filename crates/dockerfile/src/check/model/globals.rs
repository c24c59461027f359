//! The arguments that FROM lines see: the predefined ones and the `ARG`s above the first FROM.

use std::collections::HashSet;

use crate::{
    Parsed,
    ast::{ArgDecl, Kind, Word},
    diagnostic::Diagnostic,
    expand::{Env, Expanded, Expander},
};

use super::{super::input::CheckInput, Vars, steps::expansion_error};

/// The arguments of the file.
pub(in crate::check) struct Globals {
    /// With the values that the caller gives.
    pub(in crate::check) vars: Vars,
    /// The same, and what the caller gives though it is not declared: FROM takes that too, see `docs/language.md`.
    pub(super) for_from: Vars,
    /// With the defaults alone; nothing where they cannot be expanded.
    pub(in crate::check) defaults: Option<Vars>,
    /// What `ARG`s above the first FROM declare, and no predefined ones.
    pub(in crate::check) declared: HashSet<String>,
}

impl Globals {
    pub(super) fn new(parsed: &Parsed, input: &CheckInput<'_>, errors: &mut Vec<Diagnostic>) -> Self {
        let mut vars = predefined(parsed, input);
        let mut defaults = Some(vars.clone());
        let mut declared = HashSet::new();
        let expander = Expander::new(parsed.file.escape);
        for arg in parsed
            .file
            .global_args
            .iter()
            .filter_map(|i| if let Kind::Arg(args) = &i.kind { Some(args) } else { None })
            .flatten()
        {
            let name = &arg.name.text;
            declared.insert(name.clone());
            if let Some(value) = input.build_arg(name) {
                vars.set(name, value);
            } else {
                match value_of(expander, arg, &vars) {
                    Some((_, Ok(value))) => vars.set(name, &value.text),
                    Some((word, Err(error))) => errors.push(expansion_error(word, &error, &parsed.source)),
                    None => vars.declare(name),
                }
            }
            if let Some(so_far) = &mut defaults {
                match value_of(expander, arg, so_far) {
                    Some((_, Ok(value))) => so_far.set(name, &value.text),
                    Some((_, Err(_))) => defaults = None,
                    None => so_far.declare(name),
                }
            }
        }
        let mut for_from = vars.clone();
        for (name, value) in input.build_args {
            for_from.set(name, value);
        }
        Self { vars, for_from, defaults, declared }
    }
}

type Value<'w> = (&'w Word, Result<Expanded, crate::expand::Error>);

fn value_of<'w>(expander: Expander, arg: &'w ArgDecl, vars: &Vars) -> Option<Value<'w>> {
    arg.default.as_ref().map(|word| (word, expander.word(&word.text, vars)))
}

/// The platform's arguments and the target's name; `--build-arg` may change them.
fn predefined(parsed: &Parsed, input: &CheckInput<'_>) -> Vars {
    let mut vars = Vars::empty();
    for (prefix, platform) in [("BUILD", &input.build_platform), ("TARGET", &input.platform)] {
        vars.set(&format!("{prefix}PLATFORM"), &platform.to_string());
        vars.set(&format!("{prefix}OS"), &platform.os);
        vars.set(&format!("{prefix}OSVERSION"), "");
        vars.set(&format!("{prefix}ARCH"), &platform.arch);
        vars.set(&format!("{prefix}VARIANT"), &platform.variant);
    }
    let last = parsed.file.stages.last().and_then(|stage| stage.name.as_deref());
    vars.set("TARGETSTAGE", input.target.or(last).unwrap_or("default"));
    for (name, value) in input.build_args {
        if vars.get(name).is_some() {
            vars.set(name, value);
        }
    }
    vars
}
