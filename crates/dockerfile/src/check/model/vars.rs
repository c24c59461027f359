//! The variables of a stage while its instructions are gone through.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use crate::{expand::Env, suggest::nearest};

/// What a container's `PATH` is where nobody says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Values beyond this many bytes in a stage are forgotten: a file of doubling variables is not worth the memory.
const MAX_BYTES: usize = 16 << 20;
/// With more names than this there is no "did you mean".
const MAX_NAMES: usize = 400;

/// The variables of one stage. Copies are cheap until one changes.
#[derive(Clone, Debug)]
pub(in crate::check) struct Vars {
    values: Rc<HashMap<String, String>>,
    /// Arguments that were declared and have no value.
    declared: Rc<HashSet<String>>,
    bytes: usize,
    /// True if no variable can come from somewhere that is not known.
    pub(in crate::check) complete: bool,
}

impl Vars {
    /// Starts with nothing.
    pub(super) fn empty() -> Self {
        Self { values: Rc::default(), declared: Rc::default(), bytes: 0, complete: true }
    }

    /// Starts with what a base image brings, or with an unknown one's `PATH`.
    pub(super) fn of_image(env: Option<&[(String, String)]>) -> Self {
        let mut vars = Self::empty();
        vars.complete = env.is_some();
        vars.set("PATH", PATH);
        for (name, value) in env.unwrap_or_default() {
            vars.set(name, value);
        }
        vars
    }

    /// Sets a variable.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let value = if self.bytes + value.len() > MAX_BYTES { "" } else { value };
        self.bytes += value.len();
        Rc::make_mut(&mut self.values).insert(name.to_owned(), value.to_owned());
    }

    /// Declares an argument that has no value.
    pub(super) fn declare(&mut self, name: &str) {
        Rc::make_mut(&mut self.declared).insert(name.to_owned());
    }

    /// Tells whether a name is set or declared.
    pub(in crate::check) fn knows(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.declared.contains(name)
    }

    /// Returns the name that somebody who wrote another may have meant.
    pub(in crate::check) fn near(&self, name: &str) -> Option<String> {
        if self.values.len() + self.declared.len() > MAX_NAMES {
            return None;
        }
        let mut names: Vec<&str> =
            self.values.keys().chain(self.declared.iter()).map(String::as_str).collect();
        names.sort_unstable();
        nearest(name, names).map(str::to_owned)
    }
}

impl Env for Vars {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}
