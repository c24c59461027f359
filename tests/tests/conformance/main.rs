//! Small Dockerfiles, one folder each in `conformance/`: the tree, the configuration and the history that come out are
//! compared with what another builder makes of them.
//!
//! A case has a `context`; `flags` has arguments of the build; `fails` has words that the error must have, and then the
//! others must fail too; `setup.sh` makes in the context what git cannot keep; `served` is what a server gives, and `repo.sh`
//! makes a git repository in it. `{server}`, `{case}` and `{ssh}` stand for what differs between runs.
//!
//! What decides a run, all set by `cargo xtask conformance`:
//! - `SLIPWAY_CONFORMANCE_REFERENCE`: `stored` (`expected.txt`, written by BuildKit), `buildkit`, `buildah`;
//! - `SLIPWAY_CONFORMANCE_SUBJECT`: who is judged, `slipway` or a peer in its place, which proves the cases themselves;
//! - `SLIPWAY_CONFORMANCE_USER`: the uid of an ordinary user who runs Slipway;
//! - `CASE`: patterns of names, with commas between;
//! - `SLIPWAY_BLESS`: `1` writes `expected.txt` from BuildKit, and from Slipway where the two differ on purpose.
//!
//! Cases whose Dockerfile needs a base are left out where `SLIPWAY_TEST_REGISTRY` names no registry, and counted as such.
#![allow(clippy::print_stdout)] // a report, shown by `--nocapture`

mod builders;
mod case;
mod coverage;
mod differences;
mod listing;
mod user;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::builders::{Builder, Environment, Job, Outcome};
use crate::case::{Case, Words};
use crate::differences::Differences;
use crate::listing::listing;
use crate::user::User;
use slipway_tests::server::{self, Server};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// Everything that stays the same from case to case.
struct Suite {
    subject: Builder,
    reference: Builder,
    bless: bool,
    differences: Differences,
    environment: Environment,
    server: Server,
    /// What each builder makes of the base alone.
    bases: RefCell<HashMap<&'static str, String>>,
}

impl Suite {
    /// Builds a case in a fresh copy; a failure is its text.
    fn build(&self, case: &Case, builder: Builder) -> Result<std::result::Result<String, String>> {
        let place = self.environment.place.join(&case.name);
        // An address of its own for each case, since builders remember what was at an address.
        let server = format!("{}/{}", self.server.url, case.name);
        let words = Words { server: &server, agent: &place.join("agent.sock") };
        case.prepare(&place, &words)?;
        self.server.show(&place.join("served"));
        server::agent(&place.join("agent.sock"))?;
        if let Some(user) = &self.environment.user {
            user.own(&place)?;
        }
        let job = Job { place: &place, flags: case.flags(&place, &words), environment: &self.environment };
        let outcome: Outcome = builders::build(builder, &job)?;
        fs::remove_dir_all(&place)?;
        Ok(match outcome {
            Ok(built) => Ok(listing::without_base(&listing(&built, &server)?, &self.base(case, builder)?)),
            Err(said) => Err(said),
        })
    }

    /// What a builder makes of the base that a case begins with; nothing where it needs none.
    fn base(&self, case: &Case, builder: Builder) -> Result<String> {
        if !case.needs_base() {
            return Ok(String::new());
        }
        if let Some(known) = self.bases.borrow().get(builder.name()) {
            return Ok(known.clone());
        }
        let place = self.environment.place.join("base");
        fs::create_dir_all(place.join("context"))?;
        fs::write(place.join("context/Dockerfile"), "FROM busybox\n")?;
        if let Some(user) = &self.environment.user {
            user.own(&place)?;
        }
        let job = Job { place: &place, flags: Vec::new(), environment: &self.environment };
        let built =
            builders::build(builder, &job)?.map_err(|said| anyhow!("the base cannot be built:\n{said}"))?;
        let listed = listing(&built, &self.server.url)?;
        fs::remove_dir_all(&place)?;
        ensure!(listed.contains(listing::BASE_SIGN), "the base has no busybox:\n{listed}");
        self.bases.borrow_mut().insert(builder.name(), listed.clone());
        Ok(listed)
    }

    /// What the reference makes of a case.
    fn expected(&self, case: &Case) -> Result<std::result::Result<String, String>> {
        let file = case.folder.join("expected.txt");
        if self.reference != Builder::Stored {
            return self.build(case, self.reference);
        }
        if self.bless {
            let own = self.differences.contains_key(&case.name);
            let writer = if own { Builder::Slipway } else { Builder::Buildkit };
            let made = self.build(case, writer)?;
            if let Ok(text) = &made {
                fs::write(&file, text)?;
            }
            return Ok(made);
        }
        if case.fails.is_some() {
            return Ok(Err(String::new()));
        }
        Ok(Ok(fs::read_to_string(&file).context("there is no expected.txt")?))
    }

    /// Runs a case; the error says what is wrong.
    fn check(&self, case: &Case) -> Result<()> {
        let (expected, made) = (self.expected(case)?, self.build(case, self.subject)?);
        let relaxed = |text: String| {
            if self.subject == Builder::Buildah || self.reference == Builder::Buildah {
                without_words(&text)
            } else {
                text
            }
        };
        match (expected.map(relaxed), made.map(relaxed)) {
            (Ok(expected), Ok(made)) => {
                ensure!(case.fails.is_none(), "both build it, though it must fail");
                compare((self.reference.name(), &expected), (self.subject.name(), &made))
            }
            (Err(_), Err(said)) => {
                let words = case.fails.as_deref().with_context(|| format!("both fail:\n{said}"))?;
                // The words are those of our message.
                let ours = self.subject == Builder::Slipway;
                ensure!(!ours || said.contains(words), "the error does not say `{words}`:\n{said}");
                Ok(())
            }
            (Ok(_), Err(said)) => bail!("{} fails:\n{said}", self.subject.name()),
            (Err(said), Ok(_)) => {
                bail!("{} fails, {} does not:\n{said}", self.reference.name(), self.subject.name())
            }
        }
    }
}

/// Leaves of the history what buildah has too: how many entries there are. It words them in another way, and does not
/// count layers as BuildKit does.
fn without_words(text: &str) -> String {
    let mut history = 0;
    let mut kept = String::new();
    for line in text.lines() {
        if line.starts_with("history ") {
            history += 1;
        } else if !line.starts_with("layers ") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let _ = writeln!(kept, "history entries {history}");
    kept
}

/// Compares two listings, each with the name of its builder.
fn compare((one, expected): (&str, &str), (other, made): (&str, &str)) -> Result<()> {
    let (expected, made): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), made.lines().collect());
    let mut wrong = String::new();
    for line in expected.iter().filter(|line| !made.contains(line)) {
        writeln!(wrong, "  {one}: {line}")?;
    }
    for line in made.iter().filter(|line| !expected.contains(line)) {
        writeln!(wrong, "  {other}: {line}")?;
    }
    ensure!(expected == made, "{wrong}{}", if wrong.is_empty() { "  another order" } else { "" });
    Ok(())
}

#[test]
fn every_case_builds_as_the_reference_builds_it() -> Result<()> {
    let (subject, reference) = (
        Builder::of("SLIPWAY_CONFORMANCE_SUBJECT", Builder::Slipway)?,
        Builder::of("SLIPWAY_CONFORMANCE_REFERENCE", Builder::Stored)?,
    );
    let place = std::env::temp_dir().join(format!("slipway-conformance-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let place = place.canonicalize()?;
    let user = match std::env::var("SLIPWAY_CONFORMANCE_USER") {
        Ok(uid) if !uid.is_empty() => Some(User::new(&uid, &place, &slipway_tests::program()?)?),
        _ => None,
    };
    if let Some(user) = &user {
        user.make(&place.join("store"))?;
    }
    let mut differences = differences::between(&cases(), subject, reference)?;
    if user.is_some() {
        // What is stored is what root makes, also where that is our own.
        if reference == Builder::Stored {
            differences.clear();
        }
        differences.extend(differences::read(&cases(), "differences-user.txt")?);
    }
    let suite = Suite {
        subject,
        reference,
        bless: std::env::var("SLIPWAY_BLESS").is_ok_and(|value| value == "1"),
        differences,
        environment: Environment { place: place.clone(), user },
        server: Server::start()?,
        bases: RefCell::default(),
    };
    let outcome = run(&suite);
    // What a builder started last may still tidy up after itself.
    for _ in 0..300 {
        if fs::remove_dir_all(&place).is_ok() {
            return outcome;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    outcome.and_then(|()| Ok(fs::remove_dir_all(&place)?))
}

/// Runs all cases and reports.
fn run(suite: &Suite) -> Result<()> {
    let with_base = std::env::var("SLIPWAY_TEST_REGISTRY").is_ok();
    let (mut equal, mut reasoned, mut left_out) = (0, 0, 0);
    let mut wrong = Vec::new();
    for case in Case::all(&cases(), &std::env::var("CASE").unwrap_or_default())? {
        if case.needs_base() && !with_base {
            left_out += 1;
            continue;
        }
        let reason = suite.differences.get(&case.name);
        // What is stored for a case that differs is our own, and ordinary users differ in cases of their own.
        let live = suite.reference != Builder::Stored || suite.environment.user.is_some();
        let complaint = match (suite.check(&case), reason) {
            (Ok(()), Some(reason)) if live && suite.subject == Builder::Slipway => {
                format!("the two are equal; no longer true is `{reason}`")
            }
            (Ok(()), _) => {
                equal += 1;
                continue;
            }
            (Err(error), Some(reason)) if live => {
                reasoned += 1;
                println!("{} differs: {reason}\n{error:#}", case.name);
                continue;
            }
            (Err(error), _) => format!("{error:#}"),
        };
        // At once, since a whole run against another builder takes a while.
        println!("{}:\n{complaint}", case.name);
        wrong.push(case.name);
    }
    println!(
        "{} against {}: {equal} equal, {reasoned} differ with a reason, {} differ without one, {left_out} left out for want \
         of a registry",
        suite.subject.name(),
        suite.reference.name(),
        wrong.len(),
    );
    ensure!(equal > 0, "no case ran");
    ensure!(wrong.is_empty(), "{} cases differ: {}", wrong.len(), wrong.join(", "));
    Ok(())
}
