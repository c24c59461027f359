//! Which parts of an operation decide its result.
//!
//! Every operation is taken apart field by field, so that a new field must be put on one side or the other here. What
//! must not change a result has no way in: titles and lines are not part of an operation, and the fields that are
//! named `_` below (proxies, the size of `/dev/shm`, how a cache mount is shared) are never encoded.

use slipway_oci::{Digest, ImageConfig, Platform};

use super::{Encoder, Key, Tree};
use crate::facts::{ContentNeed, Selection};
use crate::ir::{CopyItem, CopyOp, Input, MountSource, Network, Op, RunMount, RunOp, Unpack, WorkdirOp};

/// Something outside the stage's own file system that an operation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// A part of a file tree.
    Tree {
        /// The tree.
        input: &'a Input,
        /// The path or pattern.
        pattern: &'a str,
        /// True where wildcards have no meaning.
        literal: bool,
        /// `--parents`.
        parents: bool,
        /// Patterns to leave out.
        exclude: &'a [String],
    },
    /// A download.
    Url {
        /// Where from.
        url: &'a str,
        /// The digest that it must have.
        checksum: Option<&'a str>,
    },
    /// A git repository.
    Git {
        /// The reference as written.
        url: &'a str,
        /// The commit that it must be.
        checksum: Option<&'a str>,
        /// Keep `.git`.
        keep_git_dir: bool,
    },
}

impl Read<'_> {
    /// Returns what must be known of its content before there is a key; nothing where a key of its own is enough.
    pub fn need(&self) -> Option<ContentNeed> {
        match *self {
            Read::Tree { input: Input::Context(context), pattern, literal, parents, exclude } => {
                Some(ContentNeed::Tree(Selection {
                    context: context.clone(),
                    pattern: pattern.to_owned(),
                    literal,
                    parents,
                    exclude: exclude.to_vec(),
                }))
            }
            Read::Tree { .. } => None,
            Read::Url { url, checksum } => {
                let known = checksum.is_some_and(|checksum| checksum.parse::<Digest>().is_ok());
                (!known).then(|| ContentNeed::Url { url: url.to_owned() })
            }
            Read::Git { url, checksum, keep_git_dir } => Some(ContentNeed::Git {
                url: url.to_owned(),
                checksum: checksum.map(ToOwned::to_owned),
                keep_git_dir,
            }),
        }
    }
}

impl Op {
    /// Returns what the operation reads beside its own file system, in the order that keys take it.
    pub fn reads(&self) -> Vec<Read<'_>> {
        match self {
            Op::Workdir(_) => vec![],
            Op::Copy(op) => op.items.iter().filter_map(|item| read_of_item(op, item)).collect(),
            Op::Run(op) => op.mounts.iter().filter_map(read_of_mount).collect(),
        }
    }
}

fn read_of_item<'a>(op: &'a CopyOp, item: &'a CopyItem) -> Option<Read<'a>> {
    match item {
        CopyItem::Inline { .. } => None,
        CopyItem::Path { input, pattern } => {
            Some(Read::Tree { input, pattern, literal: false, parents: op.parents, exclude: &op.exclude })
        }
        CopyItem::Url { url, checksum } => Some(Read::Url { url, checksum: checksum.as_deref() }),
        CopyItem::Git { url, checksum, keep_git_dir } => {
            Some(Read::Git { url, checksum: checksum.as_deref(), keep_git_dir: *keep_git_dir })
        }
    }
}

fn read_of_mount(mount: &RunMount) -> Option<Read<'_>> {
    match &mount.source {
        MountSource::Bind { input, path, .. } => {
            Some(Read::Tree { input, pattern: path, literal: true, parents: false, exclude: &[] })
        }
        MountSource::Cache { from, path, .. } if *from != Input::Empty => {
            Some(Read::Tree { input: from, pattern: path, literal: true, parents: false, exclude: &[] })
        }
        MountSource::Cache { .. }
        | MountSource::Tmpfs { .. }
        | MountSource::Secret { .. }
        | MountSource::Ssh { .. } => None,
    }
}

/// Returns the key of an empty file system.
pub fn scratch_key() -> Key {
    Encoder::new("scratch").finish()
}

/// Returns the key of an image's file system: its layers decide, whatever its name, digest or configuration.
pub fn image_key(config: &ImageConfig) -> Key {
    let layers = &config.rootfs.diff_ids;
    if layers.is_empty() {
        return scratch_key();
    }
    let mut encoder = Encoder::new("image");
    encoder.list(layers.iter(), |e, layer| {
        e.digest(layer);
    });
    encoder.finish()
}

/// Returns the key of the file system after an operation.
///
/// `trees` has one entry for each of [`Op::reads`], in that order. What a stage reads of another enters by that stage's
/// key, so that a build that is cached as a whole needs no content at all.
pub fn step_key(op: &Op, parent: &Key, platform: &Platform, trees: &[Tree]) -> Key {
    let mut encoder = Encoder::new("step");
    encoder.key(parent);
    match op {
        Op::Workdir(WorkdirOp { path, user }) => {
            encoder.text("workdir").text(path).text(user);
        }
        Op::Copy(copy) if copy.link => {
            // A linked layer knows nothing of what is below it; only the place of the two together does.
            encoder.text("link").key(&layer_key(copy, trees));
        }
        Op::Copy(copy) => {
            encoder.text("copy");
            put_copy(&mut encoder, copy, trees);
        }
        Op::Run(run) => {
            encoder.text("run");
            put_platform(&mut encoder, platform);
            put_run(&mut encoder, run, trees);
        }
    }
    encoder.finish()
}

/// Returns the key of a step by the content of everything that it reads: the second chance of a step whose
/// [`step_key`] is unknown because a stage that it reads was built anew, perhaps with the same files as before.
///
/// `contents` has one digest for each of [`Op::reads`]. A step that reads nothing has the same key either way.
pub fn content_key(op: &Op, parent: &Key, platform: &Platform, contents: &[Digest]) -> Key {
    let trees: Vec<Tree> = contents.iter().copied().map(Tree::Content).collect();
    step_key(op, parent, platform, &trees)
}

/// Returns the key of the layer that `COPY --link` makes: it does not depend on what is below.
pub fn layer_key(op: &CopyOp, trees: &[Tree]) -> Key {
    let mut encoder = Encoder::new("layer");
    put_copy(&mut encoder, op, trees);
    encoder.finish()
}

fn put_platform(encoder: &mut Encoder, Platform { os, architecture, variant }: &Platform) {
    encoder.text(os).text(architecture).option(variant.as_deref(), |e, variant| {
        e.text(variant);
    });
}

fn put_copy(encoder: &mut Encoder, op: &CopyOp, trees: &[Tree]) {
    let CopyOp { items, dest, owner, mode, link, parents, exclude, unpack } = op;
    let text = |e: &mut Encoder, text: &String| {
        e.text(text);
    };
    encoder.text(dest).option(owner.as_ref(), text).option(mode.as_ref(), text).flag(*link).flag(*parents);
    encoder.number(match unpack {
        Unpack::Never => 0,
        Unpack::Local => 1,
        Unpack::Always => 2,
    });
    let mut trees = trees.iter();
    encoder.list(items.iter(), |e, item| match item {
        CopyItem::Inline { name, data } => {
            e.text("inline").text(name).text(data);
        }
        CopyItem::Path { input: _, pattern } => match trees.next() {
            // Which files, and without which, is in the digest already; the name may become the name of the copy.
            Some(Tree::Content(digest)) if !*parents => {
                e.text("content").text(base_name(pattern)).digest(digest);
            }
            Some(Tree::Content(digest)) => {
                e.text("content").text(pattern).digest(digest);
            }
            Some(Tree::Key(key)) => {
                e.text("tree").text(pattern).key(key).list(exclude.iter(), text);
            }
            None => missing(e),
        },
        CopyItem::Url { url, checksum } => {
            // The checksum is what the bytes must be, so a download that passes it is known beforehand.
            let known = checksum.as_ref().and_then(|checksum| checksum.parse().ok());
            let given = trees.next().copied();
            e.text("url").text(&url_file_name(url));
            match known.map(Tree::Content).or(given) {
                Some(Tree::Content(digest)) => drop(e.digest(&digest)),
                Some(Tree::Key(key)) => drop(e.key(&key)),
                None => missing(e),
            }
        }
        CopyItem::Git { url: _, checksum: _, keep_git_dir } => {
            e.text("git").flag(*keep_git_dir);
            put_tree(e, trees.next());
        }
    });
}

fn put_run(encoder: &mut Encoder, op: &RunOp, trees: &[Tree]) {
    let RunOp {
        args,
        script,
        env,
        hidden_env: _,
        cwd,
        user,
        mounts,
        network,
        hostname,
        add_hosts,
        ulimits,
        shm_size: _,
    } = op;
    encoder.list(args.iter(), |e, arg| {
        e.text(arg);
    });
    encoder.option(script.as_ref(), |e, (name, data)| {
        e.text(name).text(data);
    });
    encoder.list(env.iter(), |e, (name, value)| {
        e.text(name).text(value);
    });
    encoder.text(cwd).text(user).text(hostname);
    encoder.number(match network {
        Network::Default => 0,
        Network::None => 1,
        Network::Host => 2,
    });
    // A program sees the names; the addresses are a matter of where it runs.
    encoder.list(add_hosts.iter(), |e, (name, _address)| {
        e.text(name);
    });
    encoder.list(ulimits.iter(), |e, (name, soft, hard)| {
        e.text(name).number(*soft).number(*hard);
    });
    let mut trees = trees.iter();
    encoder.list(mounts.iter(), |e, RunMount { target, source }| {
        e.text(target);
        let mut tree = || trees.next();
        match source {
            MountSource::Bind { input: _, path, writable } => {
                e.text("bind").flag(*writable);
                put_selected(e, tree(), path);
            }
            MountSource::Cache { id: _, sharing: _, from, path, readonly, uid, gid, mode } => {
                e.text("cache").flag(*readonly);
                for number in [uid, gid, mode] {
                    e.option(*number, |e, number| {
                        e.number(u64::from(number));
                    });
                }
                let tree = if *from == Input::Empty { None } else { tree() };
                e.option(tree, |e, tree| put_selected(e, Some(tree), path));
            }
            MountSource::Tmpfs { size } => {
                e.text("tmpfs").option(*size, |e, size| {
                    e.number(size);
                });
            }
            MountSource::Secret { id, required, uid, gid, mode, env } => {
                put_protected(e.text("secret"), id, *required, [*uid, *gid, *mode]);
                e.option(env.as_deref(), |e, env| {
                    e.text(env);
                });
            }
            MountSource::Ssh { id, required, uid, gid, mode } => {
                put_protected(e.text("ssh"), id, *required, [*uid, *gid, *mode]);
            }
        }
    });
}

fn put_protected(encoder: &mut Encoder, id: &str, required: bool, numbers: [u32; 3]) {
    encoder.text(id).flag(required);
    for number in numbers {
        encoder.number(u64::from(number));
    }
}

/// Adds a tree of which a path is mounted: by content, what is at the path is in the digest already.
fn put_selected(encoder: &mut Encoder, tree: Option<&Tree>, path: &str) {
    if let Some(Tree::Key(_)) = tree {
        encoder.text(path);
    }
    put_tree(encoder, tree);
}

fn put_tree(encoder: &mut Encoder, tree: Option<&Tree>) {
    match tree {
        Some(Tree::Content(digest)) => drop(encoder.digest(digest)),
        Some(Tree::Key(key)) => drop(encoder.key(key)),
        None => missing(encoder),
    }
}

/// Fewer trees than reads: a mistake of the caller, and a key that equals no other.
fn missing(encoder: &mut Encoder) {
    encoder.option(None::<()>, |_, ()| {});
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Returns the name that a download gets: the last part of its address's path, decoded.
pub fn url_file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let name =
        path.trim_end_matches('/').split_once('/').map(|(_, path)| base_name(path)).unwrap_or_default();
    match percent_decoded(name) {
        name if name.is_empty() || name == "." || name.contains('/') => "__unnamed__".to_owned(),
        name => name,
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
