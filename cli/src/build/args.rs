//! The flags of `slipway build`: those that a docker user already knows.

use std::path::PathBuf;

use clap::ValueEnum;

const EXAMPLES: &str = "Examples:
  slipway build .                                        build the last stage, keep the result in the cache
  slipway build -t registry.example/shop:1 --push .      build and push
  slipway build --target test --target prod -t shop .    build two targets in one go, the last one gets the name
  slipway build -o type=oci,dest=shop.oci -t shop .      write an OCI layout (also: docker, tar, local)
  slipway build --platform linux/amd64,linux/arm64 -t registry.example/shop:1 --push .
                                                         build for several platforms and push an index
  slipway build --build-context base=oci-layout://base .  `FROM base` is the image in a folder
  slipway build --secret id=npm,src=$HOME/.npmrc .       lend a file to RUN --mount=type=secret,id=npm
  slipway build --cache-from shop:latest -t shop .       take what an image with an inline cache was built of
  slipway build -f- . < Dockerfile                       read the Dockerfile from standard input
  slipway build https://git.example/shop.git#main:web    build a folder of a git repository";

/// Builds images from a Dockerfile, on this machine, without a daemon.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The context: a folder, a git or http(s) URL, or `-` for a tar archive (or a lone Dockerfile) on standard input.
    pub(crate) context: String,

    /// The Dockerfile: a path, or `-` for standard input. [default: `Dockerfile` in the context]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Option<String>,

    /// Names the image, `name[:tag]`; may be given several times. `TARGET=name` names the image of one of several targets.
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,

    /// Builds this stage instead of the last one; several make several images.
    #[arg(long = "target", value_name = "STAGE")]
    pub(crate) targets: Vec<String>,

    /// Sets a build argument; without a value, takes it from the environment.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    #[allow(clippy::struct_field_names)] // the name of the flag
    pub(crate) build_args: Vec<String>,

    /// Adds a named context: a folder, `docker-image://REF`, `oci-layout://PATH[:TAG|@DIGEST]`, or a git or http(s) URL.
    #[arg(long = "build-context", value_name = "NAME=VALUE")]
    pub(crate) build_contexts: Vec<String>,

    /// Lends a secret to `RUN --mount=type=secret`: `id=ID,src=FILE` or `id=ID,env=VARIABLE`.
    #[arg(long = "secret", value_name = "SPEC")]
    pub(crate) secrets: Vec<String>,

    /// Lends an SSH agent to `RUN --mount=type=ssh`: `default`, or `ID=SOCKET`.
    #[arg(long = "ssh", value_name = "SPEC")]
    pub(crate) ssh: Vec<String>,

    /// The platform to build for; several, in a list or one by one, give an index of images. [default: this machine's]
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT],…", value_delimiter = ',')]
    pub(crate) platforms: Vec<String>,

    /// Takes nothing from the cache; with a list, only for these stages.
    #[arg(long, value_name = "STAGE,…", num_args = 0..=1, require_equals = true, default_missing_value = "", value_delimiter = ',')]
    pub(crate) no_cache: Option<Vec<String>>,

    /// Takes nothing from the cache for these stages; the same as `--no-cache=STAGE`.
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,

    /// Reads a cache that another build wrote: `NAME` (a cache, or an image with an inline cache), `type=registry,ref=NAME`
    /// or `type=local,src=FOLDER`; may be given several times.
    #[arg(long = "cache-from", value_name = "SPEC")]
    pub(crate) cache_from: Vec<String>,

    /// Writes a cache for other builds: `type=registry,ref=NAME[,mode=min|max]`, `type=local,dest=FOLDER[,mode=min|max]` or
    /// `type=inline`; may be given several times.
    #[arg(long = "cache-to", value_name = "SPEC")]
    pub(crate) cache_to: Vec<String>,

    /// Asks the registry for base images again, even where the cache knows a digest.
    #[arg(long)]
    pub(crate) pull: bool,

    /// Adds a label to the image.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,

    /// Adds an annotation to the manifest.
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    pub(crate) annotations: Vec<String>,

    /// Adds a line to /etc/hosts of every RUN.
    #[arg(long = "add-host", value_name = "NAME:IP")]
    pub(crate) add_hosts: Vec<String>,

    /// The network of RUN where the Dockerfile does not say.
    #[arg(long, value_enum, default_value = "default")]
    pub(crate) network: NetworkMode,

    /// Limits of every RUN: `nofile=1024:2048`.
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimits: Vec<String>,

    /// The size of /dev/shm of every RUN, for example `128m`.
    #[arg(long, value_name = "BYTES")]
    pub(crate) shm_size: Option<String>,

    /// Pushes every named image.
    #[arg(long)]
    pub(crate) push: bool,

    /// Writes the result: `type=registry|oci|docker|tar|local[,dest=PATH][,compression=gzip|zstd|none]…`, or a folder.
    #[arg(short, long = "output", value_name = "SPEC")]
    pub(crate) outputs: Vec<String>,

    /// How to show progress.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) progress: Progress,

    /// Writes digests and names of the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,

    /// Writes the image's digest, by which a registry knows it.
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,

    /// How RUN is isolated.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) isolation: Isolation,

    /// Prints nothing but the image's digest.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// The most steps that run at once.
    #[arg(long, value_name = "N")]
    pub(crate) max_parallelism: Option<usize>,

    #[command(flatten)]
    pub(crate) registry: crate::build::settings::RegistryArgs,

    #[command(flatten)]
    pub(crate) home: crate::build::settings::HomeArgs,
}

/// `--network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkMode {
    Default,
    None,
    Host,
}

/// `--progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// A live view.
    Tty,
    /// Lines.
    Plain,
    /// One JSON object a line.
    Json,
}

/// `--isolation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Isolation {
    /// The best that works here.
    Auto,
    /// Namespaces and overlayfs.
    Overlay,
    /// No namespaces: inside a container of its own only.
    Root,
}
