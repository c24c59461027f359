//! Keys against a model: two steps have one key exactly when the model says that their results are the same.
//!
//! The model knows nothing of hashing. It writes down the whole history of a file system as a term and compares terms, so
//! it tells at once whether equal inputs have equal keys, whether a change reaches all that is downstream and nothing
//! else, and whether two different histories share a key.

#![allow(clippy::unwrap_used)] // helpers of tests are tests too

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use slipway_graph::facts::{ContentFact, ImageFact, KnownFacts};
use slipway_graph::ir::Op;
use slipway_graph::{Graph, Key, Lowered, Request, lower};
use slipway_oci::{Digest, ImageConfig};

/// A file: its stages in order.
#[derive(Clone, Debug)]
struct File {
    stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
struct Stage {
    /// An image, or with `upon` an earlier stage.
    base: usize,
    upon: bool,
    steps: Vec<Step>,
}

/// Small numbers stand for commands, paths and values, so that chance makes things equal often enough.
#[derive(Clone, Debug)]
enum Step {
    Run(u8),
    Copy { path: u8, dest: u8, link: bool },
    CopyFrom { stage: usize, path: u8 },
    Workdir(u8),
    User(u8),
    Arg { name: u8, value: u8 },
    Env { name: u8, value: u8 },
    Label(u8),
    Mount { stage: usize },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Step::Run),
        3 => (0..3_u8, 0..2_u8, any::<bool>()).prop_map(|(path, dest, link)| Step::Copy { path, dest, link }),
        2 => (0..8_usize, 0..2_u8).prop_map(|(stage, path)| Step::CopyFrom { stage, path }),
        1 => (0..2_u8).prop_map(Step::Workdir),
        1 => (0..2_u8).prop_map(Step::User),
        2 => (0..2_u8, 0..2_u8).prop_map(|(name, value)| Step::Arg { name, value }),
        2 => (0..2_u8, 0..2_u8).prop_map(|(name, value)| Step::Env { name, value }),
        1 => (0..3_u8).prop_map(Step::Label),
        1 => (0..8_usize).prop_map(|stage| Step::Mount { stage }),
    ]
}

fn files() -> impl Strategy<Value = File> {
    let stage = (0..8_usize, any::<bool>(), prop::collection::vec(steps(), 0..7))
        .prop_map(|(base, upon, steps)| Stage { base, upon, steps });
    prop::collection::vec(stage, 1..6).prop_map(|stages| File { stages })
}

impl File {
    /// Writes the Dockerfile. `noise` adds what has no meaning: comments, blanks, other cases of keywords.
    fn text(&self, noise: bool) -> String {
        let mut out = String::new();
        for (at, stage) in self.stages.iter().enumerate() {
            let base = if stage.upon && at > 0 {
                format!("s{}", stage.base % at)
            } else {
                format!("image{}", stage.base % 2)
            };
            if noise {
                out.push_str("\n# a comment\n");
            }
            let _ = writeln!(out, "{} {base} AS s{at}", if noise { "from" } else { "FROM" });
            for step in &stage.steps {
                if noise {
                    out.push_str("  # another\n\n");
                }
                out.push_str(&step.text(at));
            }
        }
        out
    }

    /// Asks for every stage, so that none is pruned.
    fn graph(&self, noise: bool) -> Graph {
        let text = self.text(noise);
        let parsed = slipway_dockerfile::parse(text.as_bytes());
        assert!(parsed.is_ok(), "{text}\n{:?}", parsed.diagnostics);
        let mut request = Request::new("linux/amd64".parse().unwrap());
        request.targets = (0..self.stages.len()).map(|at| format!("s{at}")).collect();
        if noise {
            request.build_args.insert("http_proxy".into(), "http://proxy".into());
            request.shm_size = Some(1 << 26);
        }
        let mut facts = KnownFacts::default();
        loop {
            match lower(&parsed.file, &parsed.source, &request, &facts).unwrap() {
                Lowered::Ready(graph) => return *graph,
                Lowered::Needs(needs) => {
                    for need in needs.images {
                        let digest = Digest::of(&need.reference);
                        let mut config = ImageConfig::default();
                        config.rootfs.diff_ids.push(digest);
                        facts.images.insert(need, ImageFact { digest, config });
                    }
                    for need in needs.contents {
                        let digest = Digest::of(format!("{need:?}"));
                        facts.contents.insert(need, ContentFact { digest, files: vec![] });
                    }
                }
            }
        }
    }

    /// Returns the term of every step that changes files, by stage.
    fn terms(&self) -> Vec<Vec<String>> {
        let mut terms = Terms::default();
        let mut ends: Vec<End> = vec![];
        let mut out = vec![];
        for (at, stage) in self.stages.iter().enumerate() {
            let mut end = if stage.upon && at > 0 {
                ends[stage.base % at].clone()
            } else {
                End { fs: terms.short(&format!("image{}", stage.base % 2)), ..End::default() }
            };
            let mut made = vec![];
            for step in &stage.steps {
                if let Some(term) = step.term(at, &mut end, &ends) {
                    end.fs = terms.short(&term);
                    made.push(end.fs.clone());
                }
            }
            ends.push(end);
            out.push(made);
        }
        // Numbers would differ from file to file; the full terms do not.
        out.into_iter().map(|made| made.into_iter().map(|term| terms.full(&term)).collect()).collect()
    }
}

/// Names terms by number while they are built, since a written-out term can be exponentially long.
#[derive(Default)]
struct Terms {
    numbers: HashMap<String, usize>,
    /// A digest of the written-out term: only here, to keep the comparison cheap, and of another kind than any key.
    digests: Vec<String>,
}

impl Terms {
    fn short(&mut self, term: &str) -> String {
        let next = self.numbers.len();
        let number = *self.numbers.entry(term.to_owned()).or_insert(next);
        if number == next {
            let mut full = String::new();
            for (at, part) in term.split('#').enumerate() {
                let (reference, rest) = part.split_once(';').unwrap_or(("", part));
                match reference.parse::<usize>() {
                    Ok(number) if at > 0 => full.push_str(&self.digests[number]),
                    _ => full.push_str(reference),
                }
                full.push_str(rest);
            }
            self.digests.push(Digest::of(format!("model {full}")).hex());
        }
        format!("#{number};")
    }

    fn full(&self, short: &str) -> String {
        let number: usize = short.trim_start_matches('#').trim_end_matches(';').parse().unwrap();
        self.digests[number].clone()
    }
}

/// What a stage passes on.
#[derive(Clone, Default)]
struct End {
    fs: String,
    env: Vec<(String, u8)>,
    cwd: u8,
    user: u8,
}

impl Step {
    fn text(&self, at: usize) -> String {
        match self {
            Self::Run(n) => format!("RUN command {n}\n"),
            Self::Copy { path, dest, link } => {
                format!("COPY {}file{path} /to{dest}/\n", if *link { "--link " } else { "" })
            }
            Self::CopyFrom { stage, path } if at > 0 => {
                format!("COPY --from=s{} /file{path} /\n", stage % at)
            }
            Self::CopyFrom { path, .. } => format!("RUN own {path}\n"),
            Self::Workdir(n) => format!("WORKDIR /w{n}\n"),
            Self::User(n) => format!("USER u{n}\n"),
            Self::Arg { name, value } => format!("ARG A{name}=v{value}\n"),
            Self::Env { name, value } => format!("ENV A{name}=v{value}\n"),
            Self::Label(n) => format!("LABEL l={n}\nEXPOSE {}\n", 80 + n),
            Self::Mount { stage } if at > 0 => format!("RUN --mount=from=s{},target=/m x\n", stage % at),
            Self::Mount { .. } => "RUN x\n".to_owned(),
        }
    }

    /// Returns what the step makes of the file system; nothing where it changes only the configuration.
    fn term(&self, at: usize, end: &mut End, ends: &[End]) -> Option<String> {
        let run = |end: &End, what: String| {
            Some(format!("run({} {what} {:?} {} {})", end.fs, end.env, end.cwd, end.user))
        };
        match self {
            Self::Run(n) => run(end, format!("command {n}")),
            Self::Copy { path, dest, link } => {
                Some(format!("copy({} context file{path} to{dest} {link})", end.fs))
            }
            Self::CopyFrom { stage, path } if at > 0 => {
                Some(format!("copy({} {} /file{path})", end.fs, ends[stage % at].fs))
            }
            Self::CopyFrom { path, .. } => run(end, format!("own {path}")),
            Self::Workdir(n) => {
                end.cwd = n + 1;
                Some(format!("workdir({} {n} {})", end.fs, end.user))
            }
            Self::User(n) => {
                end.user = n + 1;
                None
            }
            Self::Arg { name, value } | Self::Env { name, value } => {
                let name = format!("A{name}");
                match end.env.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known = *value,
                    None => end.env.push((name, *value)),
                }
                None
            }
            Self::Label(_) => None,
            Self::Mount { stage } if at > 0 => run(end, format!("x with {}", ends[stage % at].fs)),
            Self::Mount { .. } => run(end, "x".to_owned()),
        }
    }
}

fn keys(graph: &Graph) -> Vec<Vec<Key>> {
    graph.stages.iter().map(|s| s.steps.iter().filter(|s| s.op.is_some()).map(|s| s.key).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn one_key_for_one_history(many in prop::collection::vec(files(), 1..5)) {
        let mut key_of: HashMap<String, Key> = HashMap::new();
        let mut term_of: HashMap<Key, String> = HashMap::new();
        for file in &many {
            let (keys, terms) = (keys(&file.graph(false)), file.terms());
            prop_assert_eq!(keys.iter().map(Vec::len).collect::<Vec<_>>(), terms.iter().map(Vec::len).collect::<Vec<_>>());
            for (key, term) in keys.into_iter().flatten().zip(terms.into_iter().flatten()) {
                let known = key_of.entry(term.clone()).or_insert(key);
                prop_assert_eq!(*known, key, "one history, two keys:\n{}", file.text(false));
                let known = term_of.entry(key).or_insert_with(|| term.clone());
                prop_assert_eq!(&*known, &term, "two histories, one key:\n{}", file.text(false));
            }
        }
    }

    #[test]
    fn what_has_no_meaning_has_no_key(file in files()) {
        prop_assert_eq!(keys(&file.graph(false)), keys(&file.graph(true)));
    }

    #[test]
    fn a_change_reaches_all_that_is_downstream_and_nothing_else(
        file in files(), stage in any::<prop::sample::Index>(), step in any::<prop::sample::Index>(), new in steps(),
    ) {
        let stage = stage.index(file.stages.len());
        prop_assume!(!file.stages[stage].steps.is_empty());
        let mut changed = file.clone();
        let step = step.index(file.stages[stage].steps.len());
        changed.stages[stage].steps[step] = new;
        let (old_terms, new_terms) = (file.terms(), changed.terms());
        let (old_keys, new_keys) = (keys(&file.graph(false)), keys(&changed.graph(false)));
        for at in 0..file.stages.len() {
            for step in 0..old_keys[at].len().min(new_keys[at].len()) {
                let same = old_terms[at][step] == new_terms[at][step];
                prop_assert_eq!(same, old_keys[at][step] == new_keys[at][step], "stage {} step {}", at, step);
            }
        }
    }

    #[test]
    fn an_arg_of_one_sibling_is_nothing_to_the_other(file in files(), name in 0..2_u8, value in 2..9_u8) {
        let with = |value: u8| {
            let mut file = file.clone();
            let count = file.stages.len();
            let steps = |mark: u8| vec![Step::Run(mark), Step::Run(0)];
            let mut left = Stage { base: 0, upon: true, steps: steps(1) };
            left.steps.insert(0, Step::Arg { name, value });
            let right = Stage { base: 0, upon: true, steps: steps(2) };
            file.stages.extend([left, right]);
            let keys = keys(&file.graph(false));
            (keys[count].clone(), keys[count + 1].clone())
        };
        let ((left, right), (other_left, other_right)) = (with(value), with(value + 1));
        prop_assert_eq!(right, other_right);
        prop_assert!(left.iter().zip(&other_left).all(|(a, b)| a != b));
    }
}

#[test]
fn steps_that_are_cached_need_no_content_of_stages() {
    let file = File {
        stages: vec![
            Stage { base: 0, upon: false, steps: vec![Step::Run(0)] },
            Stage { base: 1, upon: false, steps: vec![Step::CopyFrom { stage: 0, path: 0 }] },
        ],
    };
    let graph = file.graph(false);
    let step = &graph.stages[1].steps[0];
    assert!(matches!(&step.op, Some(Op::Copy(_))));
    assert_eq!(step.trees, [slipway_graph::key::Tree::Key(graph.stages[0].key)]);
}
