//! What lowering would refuse, told before anything is fetched: with base images and contents that nothing is known of.

use std::collections::BTreeSet;

use slipway_dockerfile::ast::Dockerfile;
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_oci::{Digest, ImageConfig};

use crate::facts::{ContentFact, ImageFact, KnownFacts};
use crate::lower::{Lowered, lower};
use crate::request::Request;

#[cfg(test)]
mod tests;

/// Problems that may be gone once a base image is known, because its environment may set what is missing.
const OF_THE_BASE: [&str; 1] = ["required-variable"];

/// Returns the problems that keep the targets of a request from being built, as far as the file alone tells.
///
/// A stage's first problem hides later ones of the same file: lowering stops there.
pub fn preview(file: &Dockerfile, source: &str, request: &Request) -> Vec<Diagnostic> {
    let mut facts = KnownFacts::default();
    // Each round answers all questions of the last one; triggers of base images are not known, so two rounds do.
    for _ in 0..4 {
        match lower(file, source, request, &facts) {
            Ok(Lowered::Ready(_)) => return vec![],
            Ok(Lowered::Needs(needs)) => {
                for need in needs.images {
                    let digest = Digest::of(&need.reference);
                    facts.images.insert(need, ImageFact { digest, config: ImageConfig::default() });
                }
                for need in needs.contents {
                    facts.contents.insert(need, ContentFact { digest: Digest::of(""), files: vec![] });
                }
            }
            Err(problems) => {
                let unsure: BTreeSet<&str> = OF_THE_BASE.into();
                return problems.into_iter().filter(|problem| !unsure.contains(problem.code)).collect();
            }
        }
    }
    vec![]
}
