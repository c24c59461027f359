//! Where values of variables come from.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
};

/// Variables and their values.
pub trait Env {
    /// Returns a variable's value, or nothing where it is not set.
    fn get(&self, name: &str) -> Option<&str>;
}

impl<S: BuildHasher> Env for HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// In the order of setting: the last of a name counts.
impl Env for [(String, String)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Env for Vec<(String, String)> {
    fn get(&self, name: &str) -> Option<&str> {
        Env::get(self.as_slice(), name)
    }
}

/// For tests and constants.
impl<const N: usize> Env for [(&str, &str); N] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// No variable at all.
impl Env for () {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}
