//! `COPY` and `ADD`: brings what is remote, opens what is local, and hands both to the tree's copy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use slipway_dockerfile::pattern::IgnoreFile;
use slipway_graph::Selection;
use slipway_graph::ir::{CopyItem, CopyOp, Input, Op};
use slipway_graph::key::Tree;
use slipway_graph::key::step::Read;
use slipway_oci::Digest;
use slipway_sandbox::Cancel;
use slipway_store::LayerMeta;

use super::{LocalHands, measure, tree_cause};
use crate::engine::{Cause, Task};
use crate::fetch::{FetchError, git, url};
use crate::inputs::ContextTree;
use crate::tree::Time;
use crate::tree::content;
use crate::tree::copy::{self, CopyFlags, Item, Options};
use crate::tree::dir::{self, Dir};
use crate::tree::source::Source;
use crate::tree::stack::UnionDir;
use crate::tree::{LayerStack, Owner, TreeError};

/// A source that is open.
struct Opened<'a> {
    stack: LayerStack,
    ignore: Option<IgnoreFile>,
    owner: Option<Owner>,
    pattern: std::borrow::Cow<'a, str>,
    unpack: bool,
}

const ROOT: Owner = Owner { uid: 0, gid: 0 };

impl LocalHands<'_> {
    /// Copies into `upper`.
    pub(super) fn copy(
        &self,
        task: &Task<'_>,
        op: &CopyOp,
        upper: &Path,
        cancel: &Cancel,
    ) -> Result<LayerMeta, Cause> {
        let base = if op.is_on_its_own() { LayerStack::empty() } else { self.below(task)? };
        let mut options = Options::of(op, &base, Time::now()).map_err(tree_cause)?;
        options.share = op.items.iter().all(|item| match item {
            CopyItem::Path { input, .. } => matches!(input, Input::Stage(_) | Input::Image(_)),
            _ => false,
        });
        let downloads = upper.with_file_name("downloads");
        let opened = op.items.iter().enumerate().map(|(number, item)| {
            if cancel.is_cancelled() {
                return Err(Cause::Cancelled);
            }
            self.open(task, op, item, &downloads.join(number.to_string()))
        });
        let opened: Vec<Option<Opened<'_>>> = opened.collect::<Result<_, _>>()?;
        let items: Vec<Item<'_>> = op
            .items
            .iter()
            .zip(&opened)
            .filter_map(|(item, opened)| as_item(item, opened.as_ref()))
            .collect();
        let copied = copy::copy(upper, &base, &items, &op.dest, &options).map_err(tree_cause);
        drop(items);
        if downloads.exists() {
            fs::remove_dir_all(&downloads).map_err(|error| Cause::Infrastructure(error.to_string()))?;
        }
        copied?;
        measure(upper)
    }

    /// Opens a source; none for a here-document.
    fn open<'i>(
        &self,
        task: &Task<'_>,
        op: &CopyOp,
        item: &'i CopyItem,
        place: &Path,
    ) -> Result<Option<Opened<'i>>, Cause> {
        Ok(Some(match item {
            CopyItem::Inline { .. } => return Ok(None),
            CopyItem::Path { input, pattern } => {
                let stack = self.inputs.open(input, task.inputs)?;
                let context = match input {
                    Input::Context(name) => Some(self.inputs.context(name)?),
                    _ => None,
                };
                let ignore = context.map(ignore_of).transpose()?.flatten();
                let owner = context.map(|_| ROOT);
                Opened {
                    stack,
                    ignore,
                    owner,
                    pattern: pattern.into(),
                    unpack: op.unpacks_local() && context.is_some(),
                }
            }
            CopyItem::Url { url, checksum } => {
                let name = self.download(url, checksum.as_deref(), place)?;
                let stack = LayerStack::plain(place).map_err(tree_cause)?;
                let unpack = op.unpacks_downloads();
                Opened { stack, ignore: None, owner: Some(ROOT), pattern: escape(&name).into(), unpack }
            }
            CopyItem::Git { url, checksum, keep_git_dir } => {
                let tree = self.checkout(url, checksum.as_deref(), *keep_git_dir)?;
                let stack = LayerStack::plain(&tree).map_err(tree_cause)?;
                Opened { stack, ignore: None, owner: Some(ROOT), pattern: "/".into(), unpack: false }
            }
        }))
    }

    /// Puts a download into a directory as `ADD` wants it: named by the address, 0600, with the server's time.
    fn download(&self, address: &str, checksum: Option<&str>, place: &Path) -> Result<String, Cause> {
        let headers = self.lent.headers(address).map_err(|error| Cause::Instruction(Cause::text(&error)))?;
        let found = self
            .inputs
            .remotes
            .block_on(url::fetch(self.store, address, checksum, &headers))
            .map_err(fetch_cause)?;
        let name = url::file_name(address);
        let laid_out = || -> io::Result<()> {
            fs::create_dir_all(place)?;
            let path = place.join(&name);
            fs::copy(self.store.blob_path(&found.digest), &path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            let modified = u64::try_from(found.modified()).unwrap_or(0);
            File::options()
                .write(true)
                .open(&path)?
                .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified))
        };
        laid_out().map_err(|error| {
            Cause::Infrastructure(format!("cannot lay out the download `{address}`: {error}"))
        })?;
        Ok(name)
    }

    fn checkout(&self, address: &str, checksum: Option<&str>, keep_git_dir: bool) -> Result<PathBuf, Cause> {
        let mut source = git::Source::parse(address).map_err(fetch_cause)?;
        source.keep_git_dir |= keep_git_dir;
        source.checksum = checksum.map(ToOwned::to_owned).or(source.checksum);
        let credentials = git::Credentials::default();
        let layer = self.inputs.remotes.block_on(async {
            let commit = git::resolve(&source, &credentials).await?;
            git::checkout(self.store, &source, &commit, &credentials).await
        });
        Ok(self.store.layer_path(&layer.map_err(fetch_cause)?))
    }

    /// Returns the digests of what a step reads besides the tree below it. What is known already is not read again, and
    /// a mounted tree counts by its key: all of it can be read.
    pub(super) fn content_read(&self, task: &Task<'_>, trees: &[Tree]) -> Result<Option<Vec<Digest>>, Cause> {
        let Some(op) = &task.step.op else { return Ok(None) };
        let reads = op.reads();
        if reads.len() != trees.len() {
            return Ok(None);
        }
        let items: Vec<&CopyItem> = match op {
            Op::Copy(copy) => {
                copy.items.iter().filter(|item| !matches!(item, CopyItem::Inline { .. })).collect()
            }
            _ => vec![],
        };
        let mut contents = Vec::with_capacity(trees.len());
        for (at, (read, tree)) in reads.iter().zip(trees).enumerate() {
            contents.push(match (tree, op, read) {
                (Tree::Content(digest), ..) => *digest,
                (Tree::Key(_), Op::Copy(copy), Read::Tree { parents, exclude, .. }) => {
                    let Some(opened) = items.get(at).map(|item| self.open(task, copy, item, Path::new("")))
                    else {
                        return Ok(None);
                    };
                    let Some(opened) = opened? else { return Ok(None) };
                    let selection = Selection {
                        context: String::new(),
                        pattern: opened.pattern.to_string(),
                        literal: false,
                        parents: *parents,
                        exclude: exclude.to_vec(),
                    };
                    content::sum(&opened.source(), &selection).map_err(tree_cause)?
                }
                (Tree::Key(key), _, Read::Tree { pattern, .. }) => {
                    Digest::of(format!("mounted tree\n{key}\n{pattern}"))
                }
                (Tree::Key(_), ..) => return Ok(None),
            });
        }
        Ok(Some(contents))
    }
}

impl Opened<'_> {
    fn source(&self) -> Source<'_> {
        Source { stack: &self.stack, ignore: self.ignore.as_ref(), owner: self.owner }
    }
}

fn as_item<'a>(item: &'a CopyItem, opened: Option<&'a Opened<'_>>) -> Option<Item<'a>> {
    match (item, opened) {
        (CopyItem::Inline { name, data }, _) => Some(Item::Inline { name, data }),
        (_, Some(opened)) => {
            Some(Item::Path { source: opened.source(), pattern: &opened.pattern, unpack: opened.unpack })
        }
        _ => None,
    }
}

/// Reads the patterns of a context's `.dockerignore`.
pub(crate) fn ignore_of(context: &ContextTree) -> Result<Option<IgnoreFile>, Cause> {
    let Some(text) = &context.ignore else { return Ok(None) };
    let wrong = |error| Cause::Instruction(format!(".dockerignore: {error}"));
    IgnoreFile::parse(text).map(Some).map_err(wrong)
}

/// Tells whether everything in a context belongs to root already. Where somebody else checked it out, a command could carry
/// its owner into the image.
pub(super) fn is_all_of_root(context: &ContextTree) -> Result<bool, Cause> {
    fn below(directory: &UnionDir) -> Result<bool, TreeError> {
        for (name, _) in directory.list()?.iter() {
            // What has gone since the listing is not there.
            let Some(node) = directory.get(name)? else { continue };
            if (node.meta.uid, node.meta.gid) != (ROOT.uid, ROOT.gid) {
                return Ok(false);
            }
            if node.meta.is_dir() && !below(&directory.enter_node(name, &node)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
    if context.path.as_os_str().is_empty() {
        return Ok(true);
    }
    LayerStack::plain(&context.path).and_then(|stack| below(&stack.root()?)).map_err(tree_cause)
}

/// Copies what `.dockerignore` leaves of a context's path into a directory of its own, for a bind mount.
pub(super) fn lay_out_context(context: &ContextTree, path: &str, place: &Path) -> Result<(), Cause> {
    fs::create_dir_all(place).map_err(|error| Cause::Infrastructure(error.to_string()))?;
    let stack = LayerStack::plain(&context.path).map_err(tree_cause)?;
    let ignore = ignore_of(context)?;
    let mut options = Options::new(Time::now());
    options.parents = true;
    let source = Source { stack: &stack, ignore: ignore.as_ref(), owner: Some(ROOT) };
    let item = Item::Path { source, pattern: path, unpack: false };
    copy::copy(place, &LayerStack::empty(), &[item], "/", &options).map(drop).map_err(tree_cause)
}

/// Fills a new cache mount with a path of a tree, whose owner and mode it gets.
pub(super) fn fill(directory: &Path, tree: &LayerStack, path: &str) -> Result<(), TreeError> {
    let source = Source { stack: tree, ignore: None, owner: None };
    let item = Item::Path { source, pattern: path, unpack: false };
    copy::copy(directory, &LayerStack::empty(), &[item], "/", &Options::new(Time::now()))?;
    let meta = match tree.metadata(Path::new(path))? {
        Some(meta) if meta.is_dir() => meta,
        _ => return Ok(()),
    };
    let owner = Owner { uid: meta.uid, gid: meta.gid };
    Dir::open(directory)
        .and_then(|opened| dir::set_owner_and_mode(&opened, owner, meta.mode))
        .map_err(|source| TreeError::io("set the metadata of", directory, source))
}

/// Makes a name mean itself where patterns are read.
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[allow(clippy::needless_pass_by_value)] // the form that `map_err` wants
fn fetch_cause(error: FetchError) -> Cause {
    let text = Cause::text(&error);
    match error {
        FetchError::Store { .. } | FetchError::Io { .. } => Cause::Infrastructure(text),
        FetchError::Address { .. } | FetchError::Checksum { .. } => Cause::Instruction(text),
        _ => Cause::Fetch(text),
    }
}
