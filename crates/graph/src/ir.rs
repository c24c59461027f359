//! The graph below which nothing knows of Dockerfiles: stages of steps, each step an operation on file trees with a cache key.
//!
//! It is what `plan` writes and what build and stage pods read, so it is plain data with a version.

use serde::{Deserialize, Serialize};
use slipway_oci::{Digest, History, ImageConfig, Platform};

use crate::key::{Key, KeyPart, Tree};

/// The version of this format; a reader refuses another one.
pub const VERSION: u32 = 2;

/// A stage's number in [`Graph::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageId(pub usize);

/// An image's number in [`Graph::images`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub usize);

/// Everything that a build does, for all of its platforms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// [`VERSION`].
    pub version: u32,
    /// What the images run on, each once, in the order asked for.
    pub platforms: Vec<Platform>,
    /// The stages that a target needs, each after all that it depends on.
    pub stages: Vec<Stage>,
    /// The images that a stage starts from or copies from, pinned.
    pub images: Vec<Image>,
    /// What comes out: target by target in the order asked for, and for each an entry a platform.
    pub outputs: Vec<Output>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The target as the user named it; the last stage's name or number where none was named.
    pub target: String,
    /// The stage that makes it.
    pub stage: StageId,
    /// What the image runs on.
    pub platform: Platform,
}

impl Graph {
    /// Returns the outputs of each target, one a platform.
    pub fn targets(&self) -> impl DoubleEndedIterator<Item = &[Output]> + ExactSizeIterator {
        self.outputs.chunks(self.platforms.len().max(1))
    }

    /// Returns the platforms in one line.
    pub fn platforms_line(&self) -> String {
        let all: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
        all.join(", ")
    }
}

/// An image that the build reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The reference as resolved, for example `docker.io/library/debian:bookworm`.
    pub reference: String,
    /// The digest of the manifest for this platform.
    pub digest: Digest,
    /// Its configuration.
    pub config: ImageConfig,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its place in [`Graph::stages`].
    pub id: StageId,
    /// Its name, or its number in the file where it has none. A stage that several platforms have in different forms has
    /// the platform behind it: `build@linux/arm64`.
    pub name: String,
    /// Its number in the file.
    pub index: usize,
    /// What it starts from.
    pub base: Base,
    /// Its steps in order, those that only change the configuration included.
    pub steps: Vec<Step>,
    /// The configuration after the last step, without layers and history.
    pub config: ImageConfig,
    /// The key of the file system after the last step.
    pub key: Key,
    /// The line of its `FROM`.
    pub line: usize,
    /// What its commands run on: the platform that is built for, unless its `FROM` says `--platform=`.
    pub platform: Platform,
}

impl Stage {
    /// Returns the name that it has in the file, without a platform.
    pub fn file_name(&self) -> &str {
        self.name.split_once('@').map_or(&self.name, |(name, _)| name)
    }
}

/// What a stage starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Base {
    /// Nothing.
    Scratch,
    /// A pulled image.
    Image(ImageId),
    /// Another stage.
    Stage(StageId),
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The instruction on one line, as written, for people.
    pub title: String,
    /// Its first line in the Dockerfile.
    pub line: usize,
    /// Its last line.
    pub end_line: usize,
    /// What it does to the file system; none for steps that only change the configuration.
    pub op: Option<Op>,
    /// The key of the file system after it: equal keys, equal results.
    pub key: Key,
    /// What went into the key, for [`crate::explain`].
    pub parts: Vec<KeyPart>,
    /// How each tree that `op` reads entered the key, in the order of [`Op::reads`].
    pub trees: Vec<Tree>,
    /// What it adds to the image's history (`created` is filled in later).
    pub history: History,
    /// True where the user asked not to take it from the cache.
    pub no_cache: bool,
}

/// What a step does to the file system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Op {
    /// Runs user code.
    Run(Box<RunOp>),
    /// Copies files.
    Copy(Box<CopyOp>),
    /// Makes a directory where there is none.
    Workdir(WorkdirOp),
}

/// `WORKDIR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkdirOp {
    /// The absolute path.
    pub path: String,
    /// Who owns what is made, as `USER` names it; empty for root.
    pub user: String,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyOp {
    /// What to copy, in order.
    pub items: Vec<CopyItem>,
    /// The absolute destination; a trailing slash says that it is a directory.
    pub dest: String,
    /// `--chown`, expanded: `user[:group]`.
    pub owner: Option<String>,
    /// `--chmod`, expanded: octal or symbolic.
    pub mode: Option<String>,
    /// Do not read or follow anything of the base.
    pub link: bool,
    /// Keep the sources' parent directories.
    pub parents: bool,
    /// Patterns to leave out, relative to each source's directory.
    pub exclude: Vec<String>,
    /// What to do with archives.
    pub unpack: Unpack,
}

/// What a copy does with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unpack {
    /// COPY, and `ADD --unpack=false`.
    Never,
    /// ADD: local archives, told by content.
    Local,
    /// `ADD --unpack`: downloaded ones too.
    Always,
}

/// One source of a copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CopyItem {
    /// Paths of a file tree; wildcards in `pattern` as Go's `filepath.Match`.
    Path {
        /// The tree.
        input: Input,
        /// The path or pattern: absolute and clean. With `parents`, `/./` marks where the kept part begins.
        pattern: String,
    },
    /// A here-document.
    Inline {
        /// The file's name.
        name: String,
        /// Its content.
        data: String,
    },
    /// A download.
    Url {
        /// Where from.
        url: String,
        /// `sha256:…` that it must have.
        checksum: Option<String>,
    },
    /// A git repository.
    Git {
        /// The reference as written, fragment and query included.
        url: String,
        /// The commit that it must be.
        checksum: Option<String>,
        /// Keep `.git`.
        keep_git_dir: bool,
    },
}

/// A file tree that a step reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    /// A build context by name; the main one is `context`.
    Context(String),
    /// A stage's result.
    Stage(StageId),
    /// An image.
    Image(ImageId),
    /// Nothing (an empty directory).
    Empty,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunOp {
    /// The program and its arguments, the shell included.
    pub args: Vec<String>,
    /// A script of a `#!` heredoc: its name below `/dev/pipes` and its content.
    pub script: Option<(String, String)>,
    /// The environment, declared ARGs included, in order.
    pub env: Vec<(String, String)>,
    /// Environment that is not part of the key and not recorded: proxies.
    pub hidden_env: Vec<(String, String)>,
    /// The working directory, absolute.
    pub cwd: String,
    /// As `USER` names it; empty for root.
    pub user: String,
    /// Extra mounts.
    pub mounts: Vec<RunMount>,
    /// `--network`.
    pub network: Network,
    /// The host name inside.
    pub hostname: String,
    /// Lines of `/etc/hosts`: name and address.
    pub add_hosts: Vec<(String, String)>,
    /// `--ulimit name=soft:hard`.
    pub ulimits: Vec<(String, u64, u64)>,
    /// The size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
}

/// The network of a RUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// One `--mount` of a RUN, expanded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunMount {
    /// The absolute target; empty for a secret that is only an environment variable.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
}

/// What a `--mount` mounts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum MountSource {
    /// A tree's path; writes, where allowed, are thrown away.
    Bind {
        input: Input,
        path: String,
        writable: bool,
    },
    /// A directory that lives on between builds.
    Cache {
        id: String,
        sharing: Sharing,
        from: Input,
        path: String,
        readonly: bool,
        uid: Option<u32>,
        gid: Option<u32>,
        mode: Option<u32>,
    },
    Tmpfs {
        size: Option<u64>,
    },
    Secret {
        id: String,
        required: bool,
        uid: u32,
        gid: u32,
        mode: u32,
        env: Option<String>,
    },
    Ssh {
        id: String,
        required: bool,
        uid: u32,
        gid: u32,
        mode: u32,
    },
}

/// How a cache mount is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}
