//! The ports of EXPOSE.

use crate::{ast::Kind, suggest::shown};

use super::{model::Model, report::Report, rules::Id};

/// Runs the rules of this family.
pub(super) fn check(model: &Model<'_>, report: &mut Report) {
    for step in model.stages.iter().flat_map(|stage| &stage.steps) {
        if !matches!(step.instruction.kind, Kind::Expose(_)) {
            continue;
        }
        for (port, span) in &step.words {
            let (address, protocol) = port.split_once('/').unwrap_or((port, ""));
            let container = address.rsplit(':').next().unwrap_or(address);
            if protocol != protocol.to_lowercase() {
                let finding = Id::ExposeProtoCasing
                    .finding(*span, format!("the protocol in `{}` should be lowercase", shown(port)))
                    .help(format!("write `{address}/{}`", protocol.to_lowercase()));
                report.push(&step.instruction.comments, finding);
            }
            if address.contains(':') {
                let own = if protocol.is_empty() {
                    container.to_owned()
                } else {
                    format!("{container}/{protocol}")
                };
                let finding = Id::ExposeInvalidFormat
                    .finding(
                        *span,
                        format!(
                            "`{port}` names an address or a port of the host, which an image does not choose"
                        ),
                    )
                    .help(format!("write `{own}`; where it is published is said when the container is run"));
                report.push(&step.instruction.comments, finding);
            }
        }
    }
}
