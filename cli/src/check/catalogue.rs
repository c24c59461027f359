//! What there is to say about the rules themselves.

use std::fmt::Write as _;

use anyhow::bail;
use slipway_dockerfile::{
    check::{Id, Origin, RULES},
    diagnostic::Severity,
};

/// Puts the pages of docs/checks into the program. A rule without a page does not compile.
macro_rules! pages {
    ($($id:ident)*) => {
        fn page(id: Id) -> &'static str {
            match id {
                $(Id::$id => include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/checks/", stringify!($id), ".md")),)*
            }
        }
    };
}

pages! {
    StageNameCasing
    FromAsCasing
    NoEmptyContinuation
    ConsistentInstructionCasing
    DuplicateStageName
    ReservedStageName
    JSONArgsRecommended
    MaintainerDeprecated
    UndefinedArgInFrom
    WorkdirRelativePath
    UndefinedVar
    MultipleInstructionsDisallowed
    LegacyKeyValueFormat
    InvalidBaseImagePlatform
    RedundantTargetPlatform
    SecretsUsedInArgOrEnv
    InvalidDefaultArgInFrom
    FromPlatformFlagConstDisallowed
    CopyIgnoredFile
    InvalidDefinitionDescription
    ExposeProtoCasing
    ExposeInvalidFormat
    BaseImageTag
    BaseImageDigest
    MissingUser
    CopyFromIndex
    UnnamedStage
    UnreachableStage
    PackageCacheInLayer
    BuildToolsInFinalStage
    DevDependencies
    DependenciesAfterSources
    ConsecutiveRuns
    MissingIgnoreFile
    SecretFileCopied
    UnknownCheck
}

/// Lists all rules, one a line.
pub(super) fn list() -> String {
    let width = RULES.iter().map(|rule| rule.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for rule in RULES {
        let severity = match rule.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let state = if rule.on { severity } else { "off" };
        let origin = if rule.origin == Origin::BuildKit { "BuildKit" } else { "Slipway" };
        let _ = writeln!(out, "{:width$}  {state:7}  {origin:8}  {}", rule.name, rule.summary);
    }
    out
}

/// Returns the page about a rule.
pub(super) fn explain(name: &str) -> anyhow::Result<String> {
    let found = Id::find(name)
        .or_else(|| RULES.iter().find(|rule| rule.name.eq_ignore_ascii_case(name)).map(|rule| rule.id));
    match found.map(page) {
        Some(page) => Ok(page.to_owned()),
        None => bail!("there is no rule `{name}`; `slipway check --rules` lists them"),
    }
}
