//! The environment of a stage while it is evaluated: variables in the order of their first setting.

use std::collections::HashMap;

use slipway_dockerfile::expand::Env;

/// Ordered variables with fast look-up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    entries: Vec<Variable>,
    index: HashMap<String, usize>,
    /// The length of all names and values.
    bytes: usize,
}

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// True where an `ARG` set it last: it is not part of the image.
    pub(super) is_arg: bool,
}

impl Variables {
    /// Reads `NAME=value` strings, as image configurations keep them.
    pub(super) fn from_config(env: &[String]) -> Self {
        let mut this = Self::default();
        for entry in env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            this.set(name, value.to_owned(), false);
        }
        this
    }

    pub(super) fn set(&mut self, name: &str, value: String, is_arg: bool) {
        if let Some(at) = self.index.get(name) {
            let entry = &mut self.entries[*at];
            self.bytes = self.bytes + value.len() - entry.value.len();
            entry.value = value;
            entry.is_arg = is_arg;
        } else {
            self.bytes += name.len() + value.len();
            self.index.insert(name.to_owned(), self.entries.len());
            self.entries.push(Variable { name: name.to_owned(), value, is_arg });
        }
    }

    /// Returns how long all names and values are together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.entries.iter()
    }

    /// Returns name and value of every variable.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        self.entries.iter().map(|v| (v.name.clone(), v.value.clone())).collect()
    }

    /// Returns `NAME=value` strings.
    pub(super) fn to_config(&self) -> Vec<String> {
        self.entries.iter().map(|v| format!("{}={}", v.name, v.value)).collect()
    }
}

impl Env for Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).map(|at| self.entries[*at].value.as_str())
    }
}
