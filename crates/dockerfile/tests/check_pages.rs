//! The pages in docs/checks are true: what they call bad is reported, with the text that they show, and what they call good is not.
//!
//! With `SLIPWAY_BLESS=1` the shown text is written anew.

#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests

use std::{collections::HashMap, fs, path::PathBuf};

use slipway_dockerfile::{
    check::{BaseImage, CheckInput, Ignore, Origin, Platform, RULES, Rule, check},
    diagnostic::Diagnostic,
    parse,
    pattern::IgnoreFile,
    render::Renderer,
};

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// A page's code blocks by their language, in order.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let open = format!("```{language}\n");
    let mut found = vec![];
    let mut rest = page;
    while let Some((_, after)) = rest.split_once(open.as_str()) {
        let (block, after) = after.split_once("```").expect("a code block ends");
        found.push(block);
        rest = after;
    }
    found
}

fn find(rule: &Rule, page: &str, dockerfile: &str) -> Vec<Diagnostic> {
    let parsed = parse(dockerfile.as_bytes());
    assert!(parsed.is_ok(), "{}: {:?}", rule.name, parsed.diagnostics);
    let ignore = blocks(page, "dockerignore").first().map(|text| IgnoreFile::parse(text).unwrap());
    let image = |arch: &str| BaseImage { platform: Platform::parse(arch), ..BaseImage::default() };
    let images = HashMap::from([
        ("registry.example/only-arm64:1".to_owned(), image("arm64")),
        ("registry.example/only-amd64:1".to_owned(), image("amd64")),
    ]);
    let ignore = match &ignore {
        Some(file) => Ignore::Present(file),
        None if page.contains("has no `.dockerignore`") => Ignore::Missing,
        None => Ignore::Unknown,
    };
    check(&parsed, &CheckInput { ignore, images: &images, ..CheckInput::default() })
}

#[test]
fn pages_are_true() {
    let update = std::env::var_os("SLIPWAY_BLESS").is_some();
    let mut wrong = vec![];
    for rule in RULES {
        let path = docs().join("checks").join(format!("{}.md", rule.name));
        let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let dockerfiles = blocks(&page, "dockerfile");
        let [bad, good] = dockerfiles.as_slice() else {
            panic!("{} needs a bad and a good example", rule.name)
        };
        assert!(
            page.starts_with(&format!("# {}\n\n{}.\n", rule.name, rule.summary)),
            "the head of {}",
            path.display()
        );
        let state = if rule.on { "on by default" } else { "off by default" };
        assert!(page.contains(state), "{} is {state}", rule.name);

        let findings = find(rule, &page, bad);
        let own: Vec<&Diagnostic> = findings.iter().filter(|finding| finding.code == rule.name).collect();
        if own.is_empty() {
            wrong.push(format!("{}: the bad example is not reported", rule.name));
        }
        for finding in &findings {
            assert!(finding.help.is_some(), "{} gives no help", finding.code);
        }
        let rendered = Renderer::new("Dockerfile", bad).render_all(own);
        let shown = blocks(&page, "text")[0];
        if shown != rendered {
            if update {
                fs::write(
                    &path,
                    page.replacen(&format!("```text\n{shown}```"), &format!("```text\n{rendered}```"), 1),
                )
                .unwrap();
            } else {
                wrong.push(format!("{}: shown\n{shown}\nis now\n{rendered}", rule.name));
            }
        }
        for finding in find(rule, &page, good) {
            wrong.push(format!(
                "{}: the good example is reported by {}: {}",
                rule.name, finding.code, finding.message
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\nrun with SLIPWAY_BLESS=1 if the new texts are right", wrong.join("\n"));
}

#[test]
fn the_overview_lists_every_rule() {
    let overview = fs::read_to_string(docs().join("checks.md")).unwrap();
    for rule in RULES {
        let by = if rule.origin == Origin::BuildKit { "BuildKit" } else { "Slipway" };
        let row = format!("| [{0}](checks/{0}.md) | {1} | {by} |", rule.name, rule.summary);
        assert!(overview.contains(&row), "docs/checks.md lacks the row {row}");
    }
    let pages = fs::read_dir(docs().join("checks")).unwrap().count();
    assert_eq!(pages, RULES.len(), "a page without a rule in docs/checks");
}
