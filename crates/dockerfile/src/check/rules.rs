//! The table of rules: what can be found, how bad it is, and whether it is looked for unasked.
//!
//! The first 22 are BuildKit's, with its ids and meaning. The rest are Slipway's own.

use crate::{
    diagnostic::{Diagnostic, Severity},
    span::Span,
};

/// Who made a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// BuildKit has it under the same id.
    BuildKit,
    /// Only Slipway has it.
    Slipway,
}

/// What there is to know of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule.
    pub id: Id,
    /// Its id as users write it.
    pub name: &'static str,
    /// What it asks for, in one sentence without a full stop.
    pub summary: &'static str,
    /// How bad a finding is.
    pub severity: Severity,
    /// Who made it.
    pub origin: Origin,
    /// False for a rule that must be asked for: `# check=experimental=<id>`.
    pub on: bool,
}

impl Rule {
    /// Returns the page about the rule, relative to the root of the repository.
    pub fn page(&self) -> String {
        format!("docs/checks/{}.md", self.name)
    }
}

macro_rules! rules {
    ($($origin:ident $severity:ident $on:ident $id:ident $summary:literal)*) => {
        /// The id of a rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Id {
            $(#[doc = $summary] $id,)*
        }

        /// All rules, in the order of their ids' declaration.
        pub static RULES: &[Rule] = &[$(Rule {
            id: Id::$id,
            name: stringify!($id),
            summary: $summary,
            severity: Severity::$severity,
            origin: Origin::$origin,
            on: rules!(@$on),
        },)*];
    };
    (@on) => { true };
    (@off) => { false };
}

rules! {
    BuildKit Warning on  StageNameCasing "Stage names should be lowercase"
    BuildKit Warning on  FromAsCasing "The `as` keyword should match the case of the `from` keyword"
    BuildKit Warning on  NoEmptyContinuation "An instruction should not be continued over an empty line"
    BuildKit Warning on  ConsistentInstructionCasing "All instructions should be in the same case, upper or lower"
    BuildKit Warning on  DuplicateStageName "Stage names should be unique"
    BuildKit Warning on  ReservedStageName "`scratch` and `context` should not name a stage"
    BuildKit Warning on  JSONArgsRecommended "CMD and ENTRYPOINT should be JSON arrays, so that the program gets signals"
    BuildKit Warning on  MaintainerDeprecated "MAINTAINER is deprecated; use a label"
    BuildKit Warning on  UndefinedArgInFrom "FROM should use only arguments that are declared above it"
    BuildKit Warning on  WorkdirRelativePath "WORKDIR should be absolute before it is relative"
    BuildKit Warning on  UndefinedVar "Variables should be defined before they are used"
    BuildKit Warning on  MultipleInstructionsDisallowed "CMD, ENTRYPOINT and HEALTHCHECK should stand once in a stage"
    BuildKit Warning on  LegacyKeyValueFormat "ENV and LABEL should be written `key=value`"
    BuildKit Warning on  InvalidBaseImagePlatform "The base image should be of the platform that is built for"
    BuildKit Warning on  RedundantTargetPlatform "`--platform=$TARGETPLATFORM` is what FROM does anyway"
    BuildKit Warning on  SecretsUsedInArgOrEnv "Secrets should not be given by ARG or ENV"
    BuildKit Warning on  InvalidDefaultArgInFrom "A base image should be valid with the defaults of its arguments"
    BuildKit Warning on  FromPlatformFlagConstDisallowed "`FROM --platform` should not be a constant"
    BuildKit Warning on  CopyIgnoredFile "A copied file should not be left out by .dockerignore"
    BuildKit Warning off InvalidDefinitionDescription "A comment above a stage or an argument should start with its name"
    BuildKit Warning on  ExposeProtoCasing "The protocol in EXPOSE should be lowercase"
    BuildKit Warning on  ExposeInvalidFormat "EXPOSE should name no address and no port of the host"
    Slipway  Warning on  BaseImageTag "A base image should name a version, not `latest`"
    Slipway  Warning off BaseImageDigest "A base image should be pinned to a digest"
    Slipway  Warning on  MissingUser "The image should not run as root"
    Slipway  Warning on  CopyFromIndex "A stage should be named, not counted, where it is copied from"
    Slipway  Warning on  UnnamedStage "A stage that others use should have a name"
    Slipway  Info    on  UnreachableStage "A stage should be needed by something"
    Slipway  Warning on  PackageCacheInLayer "What a package manager downloads should not stay in the image"
    Slipway  Warning on  BuildToolsInFinalStage "Compilers should stay in a build stage"
    Slipway  Warning on  DevDependencies "An image for production should hold no development dependencies"
    Slipway  Warning on  DependenciesAfterSources "Dependencies should be installed before the sources are copied"
    Slipway  Info    on  ConsecutiveRuns "Consecutive RUNs could be one layer"
    Slipway  Warning on  MissingIgnoreFile "A context that is copied whole should have a .dockerignore"
    Slipway  Warning on  SecretFileCopied "Files that hold secrets should not be copied"
    Slipway  Warning on  UnknownCheck "`# check=` should name rules that exist"
}

impl Id {
    /// Returns the table's row.
    pub fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }

    /// Finds a rule by its id as users write it.
    pub fn find(name: &str) -> Option<Self> {
        RULES.iter().find(|rule| rule.name == name).map(|rule| rule.id)
    }

    /// Makes a finding of this rule.
    pub(super) fn finding(self, span: Span, message: impl Into<String>) -> Diagnostic {
        let rule = self.rule();
        Diagnostic { severity: rule.severity, ..Diagnostic::warning(rule.name, span, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, Origin, RULES};

    #[test]
    fn rows_stand_at_their_own_place() {
        for (place, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.id as usize, place);
            assert_eq!(rule.id.rule().name, rule.name);
            assert_eq!(Id::find(rule.name), Some(rule.id));
            assert!(!rule.summary.ends_with('.'), "{}", rule.name);
        }
        assert_eq!(RULES.iter().filter(|rule| rule.origin == Origin::BuildKit).count(), 22);
    }
}
