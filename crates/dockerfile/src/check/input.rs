//! What a check may know beside the file itself. All of it is optional: the less is known, the less is found.

use std::collections::HashMap;

use crate::pattern::IgnoreFile;

use super::{config::Config, platform::Platform};

/// What the caller knows.
#[derive(Clone, Debug)]
pub struct CheckInput<'a> {
    /// `--build-arg`; the last of a name counts.
    pub build_args: &'a [(String, String)],
    /// `--target`. With it, only the stages that it needs are looked at.
    pub target: Option<&'a str>,
    /// The ignore file of the context.
    pub ignore: Ignore<'a>,
    /// What is built for.
    pub platform: Platform,
    /// What is built on.
    pub build_platform: Platform,
    /// What is known of base images, by their name as `FROM` has it after expansion.
    pub images: &'a HashMap<String, BaseImage>,
    /// Which rules count; the file's own `# check=` is added to it.
    pub config: Config,
}

/// The ignore file of a context.
#[derive(Clone, Copy, Debug, Default)]
pub enum Ignore<'a> {
    /// There is no context, or nobody looked.
    #[default]
    Unknown,
    /// The context has none.
    Missing,
    /// This one.
    Present(&'a IgnoreFile),
}

/// What a base image brings along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// Its platform, where the manifest says it.
    pub platform: Option<Platform>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its user; empty for root.
    pub user: String,
    /// True if it names a shell for the shell form.
    pub has_shell: bool,
}

impl CheckInput<'_> {
    /// Returns the value that `--build-arg` gives a name.
    pub(super) fn build_arg(&self, name: &str) -> Option<&str> {
        self.build_args.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Default for CheckInput<'_> {
    fn default() -> Self {
        static NONE: std::sync::LazyLock<HashMap<String, BaseImage>> = std::sync::LazyLock::new(HashMap::new);
        Self {
            build_args: &[],
            target: None,
            ignore: Ignore::default(),
            platform: Platform::default(),
            build_platform: Platform::default(),
            images: &NONE,
            config: Config::default(),
        }
    }
}
