//! The arguments before the first `FROM`, and those that every build has.

use std::collections::HashMap;

use slipway_dockerfile::ast::{Dockerfile, Kind, Word};
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_dockerfile::expand::Env;

use crate::request::Request;
use crate::words::Words;

/// Values that only `FROM` lines see, and that a stage's `ARG NAME` takes over.
#[derive(Clone, Debug, Default)]
pub(crate) struct GlobalArgs {
    values: HashMap<String, String>,
}

impl Env for GlobalArgs {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// What `FROM` lines see: the global arguments, and build arguments that the file does not declare.
///
/// BuildKit ignores the latter. Documents that people learn from pass them all the same, and an argument that is given
/// and named can only be meant; a warning asks for the `ARG`.
pub(super) struct FromEnv<'a> {
    pub(super) global: &'a GlobalArgs,
    pub(super) request: &'a Request,
}

impl Env for FromEnv<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.global.get(name).or_else(|| self.request.build_args.get(name).map(String::as_str))
    }
}

impl FromEnv<'_> {
    /// Expands a word of a `FROM` line, and warns where an undeclared argument made a difference.
    pub(super) fn expand(
        &self,
        words: &Words,
        word: &Word,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<String, Diagnostic> {
        let value = words.one(word, self);
        let undeclared =
            || self.request.build_args.keys().find(|name| names(&word.text, name) && !self.declares(name));
        if let (true, Some(name)) = (word.text.contains('$'), undeclared())
            && words.one(word, self.global) != value
        {
            let message =
                format!("`{name}` is given and used here, but no ARG above the first FROM declares it");
            let help = format!("add `ARG {name}` at the top: other builders ignore --build-arg without it");
            warnings.push(Diagnostic::warning("undeclared-arg-in-from", word.span, message).help(help));
        }
        value
    }

    fn declares(&self, name: &str) -> bool {
        self.global.get(name).is_some()
    }
}

/// Tells whether a text may read a variable.
fn names(text: &str, name: &str) -> bool {
    text.contains(&format!("${name}")) || text.contains(&format!("${{{name}"))
}

impl GlobalArgs {
    /// Evaluates the global `ARG`s; what cannot be expanded goes to `problems`.
    pub(crate) fn evaluate(
        file: &Dockerfile,
        words: &Words,
        request: &Request,
        target: &str,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut this = Self::predefined(request, target);
        for instruction in &file.global_args {
            let Kind::Arg(declarations) = &instruction.kind else { continue };
            for declaration in declarations {
                let name = &declaration.name.text;
                let value = match (request.arg(name), &declaration.default) {
                    (Some(given), _) => Some(given),
                    (None, Some(default)) => match words.one(default, &this) {
                        Ok(value) => Some(value),
                        Err(problem) => {
                            problems.push(problem);
                            None
                        }
                    },
                    (None, None) => None,
                };
                if let Some(value) = value {
                    this.values.insert(name.clone(), value);
                }
            }
        }
        this
    }

    /// Returns the arguments that every build has; a build argument of the same name wins.
    fn predefined(request: &Request, target: &str) -> Self {
        let mut values = HashMap::new();
        let (build, run) = (&request.build_platform, &request.platform);
        for (name, value) in [
            ("BUILDPLATFORM", build.to_string()),
            ("BUILDOS", build.os.clone()),
            ("BUILDOSVERSION", String::new()),
            ("BUILDARCH", build.architecture.clone()),
            ("BUILDVARIANT", build.variant.clone().unwrap_or_default()),
            ("TARGETPLATFORM", run.to_string()),
            ("TARGETOS", run.os.clone()),
            ("TARGETOSVERSION", String::new()),
            ("TARGETARCH", run.architecture.clone()),
            ("TARGETVARIANT", run.variant.clone().unwrap_or_default()),
            ("TARGETSTAGE", if target.is_empty() { "default".to_owned() } else { target.to_owned() }),
        ] {
            values.insert(name.to_owned(), request.arg(name).unwrap_or(value));
        }
        Self { values }
    }
}
