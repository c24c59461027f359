//! Collects findings, leaves out what is not wanted, and raises what counts as an error.

use crate::{
    ast::Word,
    diagnostic::{Diagnostic, Severity},
};

use super::{
    config::Config,
    rules::{Id, Origin},
};

/// The findings of one file.
#[derive(Debug, Default)]
pub(super) struct Report {
    config: Config,
    findings: Vec<Diagnostic>,
}

impl Report {
    /// Starts with what the file and the caller ask for.
    pub(super) fn new(config: Config) -> Self {
        Self { config, findings: vec![] }
    }

    /// Takes a finding of a rule about an instruction, whose comments may ask to skip it.
    pub(super) fn push(&mut self, comments: &[Word], mut finding: Diagnostic) {
        if let Some(id) = Id::find(finding.code) {
            let above = Config::from_comments(comments).and_then(|(config, _)| config.ok());
            let wanted = match above {
                Some(above) => {
                    let mut config = self.config.clone();
                    config.merge(&above);
                    config.wants(id)
                }
                None => self.config.wants(id),
            };
            if !wanted {
                return;
            }
            // Files say `error=true` with BuildKit's rules in mind; ours must not break their builds.
            if self.config.error
                && id.rule().origin == Origin::BuildKit
                && finding.severity == Severity::Warning
            {
                finding.severity = Severity::Error;
            }
        }
        self.findings.push(finding);
    }

    /// Returns the findings in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.findings.sort_by_key(|finding| (finding.span.start, finding.span.end));
        self.findings
    }
}
