//! The lists of cases: the blocks of the documents, and the examples.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{bases, host::folders};

/// One Dockerfile with a project, and what comes of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Case {
    /// The folder of the Dockerfile: one of the documents' blocks, or `examples/…`, which is its own context.
    pub(super) block: String,
    /// What tells several cases of one block apart.
    variant: String,
    /// The folder of the context; without one it is empty.
    project: String,
    /// Lines that complete a fragment.
    pub(super) before: String,
    /// How lines begin that are left out.
    pub(super) without: String,
    /// The stages to build; the last one gives the image.
    pub(super) targets: Vec<String>,
    /// Build arguments.
    pub(super) args: BTreeMap<String, String>,
    /// The command of the container, in place of the image's.
    pub(super) run: Vec<String>,
    /// The image speaks FastCGI, so a web server runs beside it.
    pub(super) fastcgi: bool,
    /// Whether a test run has it.
    pub(super) short: bool,
    /// Why the Dockerfile does not do what its document says.
    pub(super) why: String,
    serves: Option<Answer>,
    prints: Option<String>,
    refuses: Option<String>,
    fails: Option<String>,
    planned: Option<String>,
}

/// What a server must answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The port inside the pod.
    pub(super) port: u16,
    /// The path, without the slash at its beginning.
    #[serde(default)]
    pub(super) path: String,
    /// Words of the answer.
    pub(super) says: String,
}

/// What must come of a case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expectation<'a> {
    Serves(&'a Answer),
    Prints(&'a str),
    Refuses(&'a str),
    Fails(&'a str),
    Planned(&'a str),
}

impl Case {
    /// A name for people, and for `--only`.
    pub(super) fn name(&self) -> String {
        if self.variant.is_empty() {
            self.block.clone()
        } else {
            format!("{} ({})", self.block, self.variant)
        }
    }

    /// The one thing that must come of it; failures have a reason.
    pub(super) fn expectation(&self) -> Result<Expectation<'_>> {
        let all = [
            self.serves.as_ref().map(Expectation::Serves),
            self.prints.as_deref().map(Expectation::Prints),
            self.refuses.as_deref().map(Expectation::Refuses),
            self.fails.as_deref().map(Expectation::Fails),
            self.planned.as_deref().map(Expectation::Planned),
        ];
        let mut stated = all.into_iter().flatten();
        match (stated.next(), stated.next()) {
            (Some(Expectation::Refuses(_) | Expectation::Fails(_)), None) if self.why.is_empty() => {
                bail!("{}: a block that does not work needs a `why`", self.name())
            }
            (Some(only), None) => Ok(only),
            _ => bail!("{}: exactly one thing must come of a case", self.name()),
        }
    }

    fn is_example(&self) -> bool {
        self.block.starts_with("examples/")
    }

    /// Where the Dockerfile lies.
    pub(super) fn dockerfile(&self) -> PathBuf {
        let folder = if self.is_example() { "." } else { "tests/fixtures/seeds" };
        folders::checkout().join(folder).join(&self.block).join("Dockerfile")
    }

    /// The folder that is the context; none where it is empty.
    pub(super) fn context(&self) -> Option<PathBuf> {
        if self.is_example() {
            return Some(folders::checkout().join(&self.block));
        }
        let projects = super::folder().join("projects");
        (!self.project.is_empty()).then(|| projects.join(&self.project))
    }

    /// Tells whether the Dockerfile is built as it lies there.
    pub(super) fn is_verbatim(&self) -> bool {
        self.before.is_empty() && self.without.is_empty()
    }

    /// The Dockerfile's text, completed where it is a fragment.
    pub(super) fn text(&self) -> Result<String> {
        let file = self.dockerfile();
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let left_out = |line: &&str| !self.without.is_empty() && line.starts_with(&self.without);
        let lines = text.split_inclusive('\n').filter(|line| !left_out(line));
        Ok(lines.fold(self.before.clone(), |text, line| text + line))
    }
}

/// Reads both lists.
pub(super) fn read() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for name in ["blocks.yaml", "examples.yaml"] {
        let file = super::folder().join(name);
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let list: Vec<Case> = serde_yaml::from_str(&text)
            .with_context(|| format!("failed to understand {}", file.display()))?;
        cases.extend(list);
    }
    Ok(cases)
}

/// The names of all bases that the Dockerfiles of these cases may ask for.
pub(super) fn bases(cases: &[Case]) -> Result<Vec<&'static str>> {
    let mut names = Vec::new();
    for case in cases.iter().filter(|case| case.planned.is_none()) {
        let text = case.text()?;
        for image in text.lines().filter_map(image_of) {
            names.extend(bases::holding(image.split(['@', ':']).next().unwrap_or(image)));
        }
        if case.fastcgi {
            names.extend(bases::holding("nginx"));
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The image that a line takes files or a stage from; a stage's name looks the same and is no base's.
fn image_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    match words.next()? {
        "FROM" => words.find(|word| !word.starts_with("--")),
        "COPY" => words.find_map(|word| word.strip_prefix("--from=")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The folders in a folder of the checkout.
    fn folders_in(name: &str) -> BTreeSet<String> {
        fs::read_dir(folders::checkout().join(name))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn every_block_and_every_example_has_a_case() {
        let cases = read().unwrap();
        let listed: BTreeSet<String> = cases.iter().map(|case| case.block.clone()).collect();
        let examples = folders_in("examples").into_iter().map(|name| format!("examples/{name}"));
        let all: BTreeSet<String> = folders_in("tests/fixtures/seeds").into_iter().chain(examples).collect();
        assert_eq!(listed, all);
    }

    #[test]
    fn every_case_has_one_outcome_a_name_of_its_own_and_a_context() {
        let cases = read().unwrap();
        for case in &cases {
            case.expectation().unwrap();
            assert!(case.context().is_none_or(|folder| folder.is_dir()), "{case:?}");
        }
        let names: BTreeSet<String> = cases.iter().map(Case::name).collect();
        assert_eq!(names.len(), cases.len(), "two cases have the same name");
        assert!(cases.iter().any(|case| case.short), "a test run would have no case");
    }

    /// The text with the defaults of its arguments in the place of their names.
    fn with_defaults(text: &str) -> String {
        let defaults = text.lines().filter_map(|line| line.strip_prefix("ARG ")?.split_once('='));
        defaults.fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    #[test]
    fn every_image_that_is_asked_for_has_a_base_of_that_tag() {
        for case in read().unwrap().iter().filter(|case| case.planned.is_none()) {
            let text = with_defaults(&case.text().unwrap());
            let stages: BTreeSet<&str> = text
                .lines()
                .filter(|line| line.starts_with("FROM"))
                .filter_map(|line| line.split_whitespace().nth(3))
                .collect();
            for image in text.lines().filter_map(image_of) {
                let inner = stages.contains(image) || matches!(image, "scratch" | "0");
                let chosen = image.starts_with("deps-$");
                assert!(inner || chosen || bases::has(image), "{}: there is no base {image}", case.name());
            }
        }
        // What the documents name in their tables, .NET left out: no Debian package has it.
        for image in
            ["golang:1.22", "maven:3.9", "openjdk:21-jre", "python:3.11", "python:slim", "alpine:3.18"]
        {
            assert!(bases::has(image), "there is no base {image}");
        }
    }

    #[test]
    fn lines_are_put_before_and_left_out() {
        let block = "27-optimized-rust-build-with-alpine".to_owned();
        let whole = Case { block: block.clone(), ..Case::default() };
        assert!(whole.is_verbatim());
        let verbatim = whole.text().unwrap();
        assert_eq!(verbatim, fs::read_to_string(whole.dockerfile()).unwrap());
        let less =
            Case { block, before: "ARG A\n".into(), without: "ENV RUSTFLAGS".into(), ..Case::default() };
        let text = less.text().unwrap();
        assert!(!less.is_verbatim() && text.starts_with("ARG A\n") && !text.contains("RUSTFLAGS"));
        assert_eq!(text.lines().count(), verbatim.lines().count());
    }

    #[test]
    fn images_are_found_in_lines() {
        assert_eq!(image_of("FROM --platform=linux/amd64 node:20 AS base"), Some("node:20"));
        assert_eq!(image_of("COPY --chown=1 --from=busybox:uclibc /a /b"), Some("busybox:uclibc"));
        assert_eq!(image_of("RUN --mount=from=x true"), None);
        assert_eq!(bases::holding("gcr.io/distroless/static"), ["distroless", "distroless-nonroot"]);
        assert!(bases::has("gcr.io/distroless/static") && !bases::has("node:1"));
    }
}
