//! One stage: what it starts with, its instructions in order, and what its children inherit.

use slipway_dockerfile::ast::Kind;
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_dockerfile::span::Span;
use slipway_oci::{History, ImageConfig, Platform};

use super::parts::{base_part, op_parts};
use super::variables::Variables;
use super::{Lowering, metadata, paths};
use crate::facts::ContentFact;
use crate::ir::{Base, CopyItem, CopyOp, Input, Op, Stage, StageId, Step, Unpack, WorkdirOp};
use crate::key::step::Read;
use crate::key::{Key, KeyPart, Tree, image_key, scratch_key, step_key};
use crate::outline::{Origin, Outline};
use crate::request::DEFAULT_PATH;
use crate::words::{TOO_LARGE, Words};

/// What every entry of the history says about who made it; other tools know images of this language by it.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// What children of a stage inherit.
#[derive(Clone)]
pub(super) struct End {
    pub(super) key: Key,
    pub(super) config: ImageConfig,
    pub(super) image_env: Variables,
    pub(super) env: Variables,
    pub(super) args: Vec<(String, Option<String>)>,
}

/// A stage while it is evaluated.
pub(super) struct State {
    /// The configuration; its environment is in `image_env` until the end.
    pub(super) config: ImageConfig,
    /// What the image's environment will be.
    pub(super) image_env: Variables,
    /// What commands and expansion see: the image's environment and the declared ARGs.
    pub(super) env: Variables,
    /// The declared ARGs, for the history.
    pub(super) args: Vec<(String, Option<String>)>,
    /// True after a CMD of this very stage.
    pub(super) cmd_set: bool,
    pub(super) platform: Platform,
    pub(super) words: Words,
    key: Key,
    parent: KeyPart,
    steps: Vec<Step>,
    no_cache: bool,
}

/// Where the step that is being made stands.
#[derive(Clone, Copy)]
pub(super) struct At {
    stage: usize,
    step: usize,
}

impl<'l> Lowering<'l> {
    fn outline(&self) -> &Outline {
        &self.resolved.outline
    }

    /// Lowers a stage; nothing where it waits for a fact about its base.
    pub(super) fn stage(&mut self, index: usize) -> Option<Stage> {
        let resolved = self.resolved;
        let outline = &resolved.outline.stages[index];
        let Some((base, start)) = self.base(index) else {
            self.ask_for_images(index);
            return None;
        };
        let parent = base_part(outline, &resolved.outline, start.key);
        let mut state = State {
            config: start.config,
            image_env: start.image_env,
            env: start.env,
            args: start.args,
            cmd_set: false,
            platform: outline.platform.clone(),
            words: resolved.words.clone(),
            key: start.key,
            parent,
            steps: vec![],
            no_cache: self.request.ignores_cache(outline.name.as_deref()),
        };
        if let Origin::Context(context) = &outline.base {
            self.context_as_base(&mut state, context, index);
        }
        for (number, step) in resolved.plans[index].iter().enumerate() {
            state.words =
                if step.foreign { resolved.words.reporting_at(step.span) } else { resolved.words.clone() };
            let at = At { stage: index, step: number };
            let done = self.instruction(&mut state, at).and_then(|()| state.pay_step(step.span));
            if let Err(problem) = done {
                let enough = problem.code == TOO_LARGE;
                self.problems.push(problem);
                if enough {
                    self.exhausted = true;
                    return None;
                }
            }
        }
        if let Err(problem) =
            state.pay_end(resolved.plans[index].last().map_or(Span::default(), |step| step.span))
        {
            self.problems.push(problem);
            self.exhausted = true;
            return None;
        }
        let mut config = state.config;
        let end = End {
            key: state.key,
            config: config.clone(),
            image_env: state.image_env,
            env: state.env,
            args: state.args,
        };
        config.config.env = end.image_env.to_config();
        self.ends.insert(index, end);
        Some(Stage {
            id: self.ids[&index],
            name: outline.label(),
            index,
            base,
            steps: state.steps,
            config,
            key: state.key,
            line: outline.line,
            platform: outline.platform.clone(),
        })
    }

    /// Returns what a stage starts with.
    fn base(&mut self, index: usize) -> Option<(Base, End)> {
        let outline = &self.resolved.outline.stages[index];
        let platform = &outline.platform;
        match &outline.base {
            Origin::Stage(parent) => {
                let mut start = self.ends.get(parent)?.clone();
                start.config.config.on_build.clear();
                Some((Base::Stage(self.ids[parent]), start))
            }
            Origin::Image(reference) => {
                let id = self.image(reference, platform)?;
                let config = &self.images[id.0].config;
                let key = image_key(config);
                let base = if config.rootfs.diff_ids.is_empty() { Base::Scratch } else { Base::Image(id) };
                Some((base, start_of_image(config.clone(), key, platform)))
            }
            Origin::Scratch | Origin::Context(_) | Origin::Remote(_) => {
                let mut config = ImageConfig::default();
                "/".clone_into(&mut config.config.working_dir);
                Some((Base::Scratch, start_of_image(config, scratch_key(), platform)))
            }
        }
    }

    /// Asks for the images of a stage that cannot be lowered yet, to ask for all of them at once.
    fn ask_for_images(&mut self, index: usize) {
        let resolved = self.resolved;
        let platform = &resolved.outline.stages[index].platform;
        for origin in resolved.plans[index].iter().flat_map(|step| &step.origins) {
            if let Origin::Image(reference) = origin {
                self.image(reference, platform);
            }
        }
    }

    /// Makes a context the base of a stage: all of it is copied into nothing.
    fn context_as_base(&mut self, state: &mut State, context: &str, index: usize) {
        let input = Input::Context(context.to_owned());
        let op = Op::Copy(Box::new(CopyOp {
            items: vec![CopyItem::Path { input, pattern: "/".to_owned() }],
            dest: "/".to_owned(),
            owner: None,
            mode: None,
            link: false,
            parents: false,
            exclude: vec![],
            unpack: Unpack::Never,
        }));
        let line = self.outline().stages[index].line;
        self.push_op(state, format!("FROM {context}"), (line, line), op, format!("FROM {context}"));
    }

    /// Evaluates one instruction.
    fn instruction(&mut self, state: &mut State, at: At) -> Result<(), Diagnostic> {
        let step = &self.resolved.plans[at.stage][at.step];
        let outline = &self.resolved.outline.stages[at.stage].steps[at.step];
        let lines = (outline.line, outline.end_line);
        let title = outline.title.clone();
        match &step.instruction.kind {
            Kind::Run(run) => {
                if let Some((op, history)) = self.run(state, run, step)? {
                    self.push_op(state, title, lines, op, history);
                }
            }
            Kind::Copy(copy) => {
                if let Some((op, history)) = self.copy(state, copy, step, false)? {
                    self.push_op(state, title, lines, op, history);
                }
            }
            Kind::Add(copy) => {
                if let Some((op, history)) = self.copy(state, copy, step, true)? {
                    self.push_op(state, title, lines, op, history);
                }
            }
            Kind::Workdir(word) => {
                let path = state.words.one(word, &state.env)?;
                let path = paths::workdir(&state.config.config.working_dir, &path);
                let history = format!("WORKDIR {path}");
                path.clone_into(&mut state.config.config.working_dir);
                let path = paths::clean(&path);
                if path == "/" {
                    state.push_config(title, lines, history);
                } else {
                    let op = Op::Workdir(WorkdirOp { path, user: state.config.config.user.clone() });
                    self.push_op(state, title, lines, op, history);
                }
            }
            Kind::Onbuild { text, .. } => state.config.config.on_build.push(text.clone()),
            kind => {
                let history = metadata::apply(state, kind, self.request, &self.resolved.global)?;
                state.push_config(title, lines, history);
            }
        }
        Ok(())
    }

    /// Turns an origin into an input; nothing where an image is not known yet.
    pub(super) fn input(&mut self, origin: &Origin, platform: &Platform) -> Option<Input> {
        match origin {
            Origin::Scratch | Origin::Remote(_) => Some(Input::Empty),
            Origin::Context(name) => Some(Input::Context(name.clone())),
            Origin::Image(reference) => self.image(reference, platform).map(Input::Image),
            Origin::Stage(stage) => Some(Input::Stage(self.ids[stage])),
        }
    }

    /// Adds a step that changes files, with its key.
    fn push_op(&mut self, state: &mut State, title: String, lines: (usize, usize), op: Op, history: String) {
        let (trees, facts) = self.trees(&op);
        let key = step_key(&op, &state.key, &state.platform, &trees);
        let parts = op_parts(&op, &state.parent, &state.platform, &state.env, &trees, &facts, &|input| {
            self.input_name(input)
        });
        state.steps.push(Step {
            title,
            line: lines.0,
            end_line: lines.1,
            op: Some(op),
            key,
            parts,
            trees,
            history: History {
                created_by: Some(history),
                comment: Some(HISTORY_COMMENT.to_owned()),
                ..History::default()
            },
            no_cache: state.no_cache,
        });
        state.key = key;
        state.parent = KeyPart { name: "step before".to_owned(), value: key.0.short() };
    }

    /// Returns how each read of an operation enters its key, asking for contents that are not known.
    fn trees(&mut self, op: &Op) -> (Vec<Tree>, Vec<Option<ContentFactRef<'l>>>) {
        let mut trees = vec![];
        let mut known = vec![];
        for read in op.reads() {
            let mut fact = None;
            let tree = match read.need() {
                Some(need) => {
                    fact = self.facts.content(&need);
                    if fact.is_none() && self.asked.insert(need.clone()) {
                        self.needs.contents.push(need);
                    }
                    // Without the fact there will be no graph, so this stand-in is never seen.
                    fact.map_or(Tree::Key(scratch_key()), |fact| Tree::Content(fact.digest))
                }
                None => self.tree_of(&read),
            };
            trees.push(tree);
            known.push(fact);
        }
        (trees, known)
    }

    fn tree_of(&self, read: &Read<'_>) -> Tree {
        match read {
            Read::Tree { input: Input::Stage(id), .. } => {
                let index = self.outline().order[id.0];
                Tree::Key(self.ends.get(&index).map_or_else(scratch_key, |end| end.key))
            }
            Read::Tree { input: Input::Image(id), .. } => Tree::Key(image_key(&self.images[id.0].config)),
            Read::Url { checksum: Some(checksum), .. } => {
                checksum.parse().map_or(Tree::Key(scratch_key()), Tree::Content)
            }
            _ => Tree::Key(scratch_key()),
        }
    }

    fn input_name(&self, input: &Input) -> String {
        match input {
            Input::Context(name) => format!("context {name}"),
            Input::Stage(StageId(id)) => format!("stage {}", self.outline().label(self.outline().order[*id])),
            Input::Image(id) => format!("image {}", super::parts::familiar(&self.images[id.0].reference)),
            Input::Empty => "nothing".to_owned(),
        }
    }
}

/// A content fact that outlives the borrow of the lowering.
pub(super) type ContentFactRef<'f> = &'f ContentFact;

impl State {
    /// Takes what the last step keeps from the budget.
    fn pay_step(&self, span: Span) -> Result<(), Diagnostic> {
        let Some(step) = self.steps.last() else { return Ok(()) };
        // Environments are kept twice: in the operation and in the parts that explain it.
        let env = if matches!(step.op, Some(Op::Run(_))) { 2 * self.env.bytes() } else { 0 };
        self.words.spend(env + step.history.created_by.as_ref().map_or(0, String::len), span)
    }

    /// Takes what children inherit from the budget.
    fn pay_end(&self, span: Span) -> Result<(), Diagnostic> {
        const ENTRY: usize = 64;
        let config = &self.config.config;
        let labels: usize = config.labels.iter().map(|(name, value)| ENTRY + name.len() + value.len()).sum();
        let entries = ENTRY * (config.exposed_ports.len() + config.volumes.len() + self.args.len());
        self.words.spend(2 * self.env.bytes() + self.image_env.bytes() + labels + entries, span)
    }
    /// Adds a step that changes the configuration alone.
    pub(super) fn push_config(&mut self, title: String, lines: (usize, usize), history: String) {
        self.steps.push(Step {
            title,
            line: lines.0,
            end_line: lines.1,
            op: None,
            key: self.key,
            parts: vec![],
            trees: vec![],
            history: History {
                created_by: Some(history),
                comment: Some(HISTORY_COMMENT.to_owned()),
                empty_layer: true,
                ..History::default()
            },
            no_cache: false,
        });
    }

    /// Returns the working directory, clean.
    pub(super) fn cwd(&self) -> String {
        paths::clean(&self.config.config.working_dir)
    }
}

/// Prepares an image's configuration for a stage on top of it.
fn start_of_image(mut config: ImageConfig, key: Key, platform: &Platform) -> End {
    config.created = None;
    config.history.clear();
    config.rootfs.diff_ids.clear();
    config.config.on_build.clear();
    if config.os.is_empty() {
        config.os.clone_from(&platform.os);
    }
    if config.architecture.is_empty() {
        config.architecture.clone_from(&platform.architecture);
        config.variant.clone_from(&platform.variant);
    }
    let mut image_env = Variables::from_config(&config.config.env);
    config.config.env.clear();
    if !image_env.contains("PATH") {
        image_env.set("PATH", DEFAULT_PATH.to_owned(), false);
    }
    if !config.config.working_dir.is_empty() {
        config.config.working_dir = paths::workdir("", &config.config.working_dir);
    }
    End { key, config, env: image_env.clone(), image_env, args: vec![] }
}
