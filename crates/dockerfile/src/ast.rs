//! The typed form of a Dockerfile: every instruction with its flags and arguments, nothing expanded, every part with its span.
//!
//! Text that the builder expands later (see `expand`) is kept as written, quotes and escapes included.

use crate::span::Span;

/// A piece of source text and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The text as written, line continuations removed, quotes kept.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// `# syntax=`, `# escape=`, `# check=`.
    pub directives: Directives,
    /// The escape character: `\` or a backtick.
    pub escape: char,
    /// The `ARG`s before the first `FROM`.
    pub global_args: Vec<Instruction>,
    /// The stages in the order of the file.
    pub stages: Vec<Stage>,
}

/// The parser directives at the top of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The value of `# syntax=`: recorded, never run.
    pub syntax: Option<Word>,
    /// The value of `# escape=`.
    pub escape: Option<Word>,
    /// The value of `# check=`.
    pub check: Option<Word>,
}

/// One stage: a `FROM` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its place in the file, from 0.
    pub index: usize,
    /// The name after `AS`, lowercased.
    pub name: Option<String>,
    /// The `FROM` line.
    pub from: From,
    /// The instructions after it.
    pub instructions: Vec<Instruction>,
    /// From the first byte of `FROM` to the last byte of the last instruction.
    pub span: Span,
}

/// A `FROM` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// The keyword as written.
    pub keyword: Word,
    /// `--platform=`.
    pub platform: Option<Word>,
    /// An image reference, a stage's name, or `scratch`.
    pub image: Word,
    /// The word `AS` as written.
    pub as_keyword: Option<Word>,
    /// The name after `AS` as written.
    pub alias: Option<Word>,
    /// Comment lines directly above.
    pub comments: Vec<Word>,
    /// The whole line.
    pub span: Span,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it says.
    pub kind: Kind,
    /// The keyword as written.
    pub keyword: Word,
    /// Comment lines directly above, without `#`.
    pub comments: Vec<Word>,
    /// The logical line as one string: continuations joined, heredoc bodies left out.
    pub text: String,
    /// The whole instruction, heredoc bodies included.
    pub span: Span,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Run(Run),
    Cmd(Command),
    Entrypoint(Command),
    Copy(Copy),
    Add(Copy),
    /// `ENV`, also in its legacy form.
    Env(Vec<KeyValue>),
    Label(Vec<KeyValue>),
    Arg(Vec<ArgDecl>),
    Workdir(Word),
    User(Word),
    Volume(Vec<Word>),
    Expose(Vec<Word>),
    Shell(Vec<String>),
    StopSignal(Word),
    Healthcheck(Healthcheck),
    /// The instruction to run in children; its raw text is what the image config keeps.
    Onbuild {
        text: String,
        instruction: Box<Instruction>,
    },
    Maintainer(Word),
}

/// A command in its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A JSON array.
    Exec(Vec<String>),
    /// A string for the shell.
    Shell(String),
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command. With heredocs, the shell form holds the line as written.
    pub command: Command,
    /// Here-documents in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount=` in order.
    pub mounts: Vec<Mount>,
    /// `--network=`.
    pub network: Option<Word>,
    /// `--security=`.
    pub security: Option<Word>,
    /// `--device=` in order.
    pub devices: Vec<Word>,
}

/// A `--mount` with its keys typed; values are unexpanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Where the flag stands.
    pub span: Span,
    /// The type.
    pub kind: MountKind,
    /// `from=`, never expanded.
    pub from: Option<Word>,
    /// `source=`.
    pub source: Option<Word>,
    /// `target=`.
    pub target: Option<Word>,
    /// `id=`.
    pub id: Option<Word>,
    /// `sharing=`: shared, private or locked.
    pub sharing: Option<Word>,
    /// `ro`/`rw` if said: true is read-only.
    pub readonly: Option<bool>,
    /// `required`.
    pub required: Option<bool>,
    /// `size=`.
    pub size: Option<Word>,
    /// `mode=`.
    pub mode: Option<Word>,
    /// `uid=`.
    pub uid: Option<Word>,
    /// `gid=`.
    pub gid: Option<Word>,
    /// `env=`.
    pub env: Option<Word>,
    /// Every field in order where a value holds a variable, a quote or an escape; otherwise none. From these,
    /// `mount::expanded` makes the mount again: whether a key is allowed depends on the type before it, and the type can be
    /// a variable too.
    pub fields: Vec<MountField>,
}

/// One field of a `--mount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountField {
    /// The key as written.
    pub key: Word,
    /// What follows `=`, if anything.
    pub value: Option<Word>,
}

/// The type of a `--mount`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MountKind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// Sources in order, heredocs excepted.
    pub sources: Vec<Word>,
    /// Sources given inline.
    pub heredocs: Vec<Heredoc>,
    /// The destination.
    pub dest: Word,
    /// `--from=` (COPY only), never expanded.
    pub from: Option<Word>,
    /// `--chown=`.
    pub chown: Option<Word>,
    /// `--chmod=`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents` (COPY only).
    pub parents: bool,
    /// `--exclude=` in order.
    pub exclude: Vec<Word>,
    /// `--checksum=` (ADD only).
    pub checksum: Option<Word>,
    /// `--keep-git-dir` (ADD only).
    pub keep_git_dir: Option<bool>,
    /// `--unpack` (ADD only).
    pub unpack: Option<bool>,
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter word without quotes.
    pub name: String,
    /// The body, leading tabs removed if `<<-`.
    pub body: String,
    /// True unless the word was quoted.
    pub expand: bool,
    /// True for `<<-`.
    pub strip_tabs: bool,
    /// The file descriptor before `<<`, 0 where none.
    pub fd: u32,
    /// Where the redirection word stands.
    pub span: Span,
    /// Where the body stands.
    pub body_span: Span,
}

/// A `key=value` pair; both parts unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Word,
    /// The value.
    pub value: Word,
    /// True for the legacy form `ENV key value`.
    pub legacy: bool,
}

/// One name of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDecl {
    /// The name.
    pub name: Word,
    /// The default, unexpanded.
    pub default: Option<Word>,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`.
    None,
    /// `HEALTHCHECK … CMD …`; durations in nanoseconds.
    #[allow(missing_docs)]
    Cmd {
        command: Command,
        interval: Option<u64>,
        timeout: Option<u64>,
        start_period: Option<u64>,
        start_interval: Option<u64>,
        retries: Option<u32>,
    },
}
