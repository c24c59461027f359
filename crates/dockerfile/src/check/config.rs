//! What `# check=skip=A,B;error=true;experimental=C` says, at the top of a file or above an instruction.

use crate::ast::Word;

use super::rules::Id;

/// Which rules count, and how much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Rules that are not wanted.
    pub skip: Vec<String>,
    /// No rule is wanted.
    pub skip_all: bool,
    /// Rules that are wanted though they are off by default.
    pub experimental: Vec<String>,
    /// All rules that are off by default are wanted.
    pub experimental_all: bool,
    /// A warning of BuildKit's rules counts as an error.
    pub error: bool,
}

/// Why a `check` directive cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConfigError {
    #[error("`{0}` is not `name=value`")]
    NoValue(String),
    #[error("there is no option `{0}`; there are `skip`, `experimental` and `error`")]
    Unknown(String),
    #[error("`error` is `true` or `false`, not `{0}`")]
    NotBool(String),
}

impl Config {
    /// Reads the value of a `check` directive.
    pub fn parse(value: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let value = value.trim();
        if value.is_empty() {
            return Ok(config);
        }
        for option in value.splitn(3, ';') {
            let (name, value) =
                option.split_once('=').ok_or_else(|| ConfigError::NoValue(option.trim().to_owned()))?;
            let value = value.trim();
            let names = || {
                value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
            };
            match name.trim() {
                "skip" if value == "all" => config.skip_all = true,
                "skip" => config.skip = names(),
                "experimental" if value == "all" => config.experimental_all = true,
                "experimental" => config.experimental = names(),
                "error" => {
                    config.error = boolean(value).ok_or_else(|| ConfigError::NotBool(value.to_owned()))?;
                }
                other => return Err(ConfigError::Unknown(other.to_owned())),
            }
        }
        Ok(config)
    }

    /// Reads the comments above an instruction. The first `check=` counts; what follows a space is prose.
    pub fn from_comments(comments: &[Word]) -> Option<(Result<Self, ConfigError>, &Word)> {
        let (value, word) = comments.iter().find_map(|comment| Some((directive(&comment.text)?, comment)))?;
        let value = value.split_once(' ').map_or(value, |(value, _)| value);
        Some((Self::parse(value), word))
    }

    /// Adds what another says.
    pub fn merge(&mut self, other: &Self) {
        self.skip.extend_from_slice(&other.skip);
        self.skip_all |= other.skip_all;
        self.experimental.extend_from_slice(&other.experimental);
        self.experimental_all |= other.experimental_all;
        self.error |= other.error;
    }

    /// Tells whether findings of a rule are wanted.
    pub fn wants(&self, id: Id) -> bool {
        let rule = id.rule();
        let named = |names: &[String]| names.iter().any(|name| name == rule.name);
        let on = rule.on || self.experimental_all || named(&self.experimental);
        on && !self.skip_all && !named(&self.skip)
    }

    /// Returns the names that are no rule.
    pub fn unknown_names(&self) -> impl Iterator<Item = &str> {
        self.skip.iter().chain(&self.experimental).map(String::as_str).filter(|name| Id::find(name).is_none())
    }
}

/// Returns the value if a comment is a `check` directive.
pub(super) fn directive(comment: &str) -> Option<&str> {
    let (name, value) = comment.trim().split_once('=')?;
    (name.trim().eq_ignore_ascii_case("check") && !value.trim().is_empty()).then(|| value.trim())
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, ConfigError};
    use crate::{ast::Word, check::rules::Id, span::Span};

    #[test]
    fn options_are_read() {
        let config = Config::parse("skip=StageNameCasing, UndefinedVar;error=true;experimental=all").unwrap();
        assert_eq!(config.skip, ["StageNameCasing", "UndefinedVar"]);
        assert!(config.error && config.experimental_all && !config.skip_all);
        assert!(
            !config.wants(Id::UndefinedVar)
                && config.wants(Id::BaseImageDigest)
                && config.wants(Id::FromAsCasing)
        );
        assert!(!Config::parse("skip=all").unwrap().wants(Id::FromAsCasing));
        assert!(!Config::default().wants(Id::BaseImageDigest));
        assert_eq!(Config::parse(" "), Ok(Config::default()));
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(Config::parse("all"), Err(ConfigError::NoValue("all".into())));
        assert_eq!(Config::parse("skp=all"), Err(ConfigError::Unknown("skp".into())));
        assert_eq!(Config::parse("error=yes"), Err(ConfigError::NotBool("yes".into())));
        let config = Config::parse("skip=Nope,UndefinedVar").unwrap();
        assert_eq!(config.unknown_names().collect::<Vec<_>>(), ["Nope"]);
    }

    #[test]
    fn comments_above_an_instruction_count() {
        let word = |text: &str| Word { text: text.to_owned(), span: Span::default() };
        let comments =
            [word(" a note"), word(" Check = skip=UndefinedVar because of X"), word(" check=skip=all")];
        let (config, at) = Config::from_comments(&comments).unwrap();
        assert_eq!(config.unwrap().skip, ["UndefinedVar"]);
        assert_eq!(at, &comments[1]);
        assert!(Config::from_comments(&[word("checked=skip=all"), word("check it")]).is_none());
    }
}
