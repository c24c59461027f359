//! `COPY` and `ADD`: files of a tree, here-documents and archives into a layer in the making.
//!
//! Where things go and what they look like there follows BuildKit to the letter (see `docs` on COPY): a directory gives its
//! contents, an existing destination directory keeps its metadata, existing directories *below* it take those of the source,
//! a file never replaces a directory nor a directory a file.
//!
//! Downloads and checkouts are not fetched here: the caller has them in a directory and passes that as a source.

mod archive;
mod file;
mod parents;
mod tree;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use slipway_dockerfile::pattern::IgnoreFile;
use slipway_graph::ir::{CopyOp, Unpack};
use slipway_oci::archive::Limits;

use file::Batch;
pub(crate) use file::copy_content;

use super::meta::{Meta, Time};
use super::mode::ModeChange;
use super::names::Seen;
use super::pool::{self, Pool};
use super::source::Source;
use super::stack::LayerStack;
use super::upper::{Fresh, Upper};
use super::{Owner, TreeError, users};

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyStats {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One thing to copy.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// What a pattern selects in a tree.
    Path {
        /// The tree.
        source: Source<'a>,
        /// The path or pattern.
        pattern: &'a str,
        /// Whether a file that is an archive is unpacked.
        unpack: bool,
    },
    /// A here-document.
    Inline {
        /// The file's name.
        name: &'a str,
        /// Its content.
        data: &'a str,
    },
}

/// How to copy.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who owns what is copied; else what the source says.
    pub owner: Option<Owner>,
    /// What becomes of the permissions.
    pub mode: Option<ModeChange>,
    /// Keep the sources' parent directories.
    pub parents: bool,
    /// What to leave out, relative to each source's directory.
    pub exclude: IgnoreFile,
    /// The time of directories that are made on the way, and of here-documents.
    pub now: Time,
    /// Give files of the source a second name instead of copying them, where nothing about them changes.
    ///
    /// Only right where neither source nor layer is ever written to again, as for a stage's layers in the store.
    pub share: bool,
    /// How many threads copy files.
    pub threads: usize,
    /// Limits on archives.
    pub limits: Limits,
}

impl Options {
    /// Plain copying at a time.
    pub fn new(now: Time) -> Self {
        Self {
            owner: None,
            mode: None,
            parents: false,
            exclude: IgnoreFile::default(),
            now,
            share: false,
            threads: pool::threads(),
            limits: Limits::default(),
        }
    }

    /// Reads the flags of an instruction. Names in `--chown` are looked up in `base`.
    pub fn of(op: &CopyOp, base: &LayerStack, now: Time) -> Result<Self, TreeError> {
        let mut options = Self::new(now);
        if let Some(spec) = &op.owner {
            if op.is_on_its_own() && !users::is_numeric(spec) {
                let text = format!(
                    "`--link` copies without looking at the image below, so `--chown={spec}` needs numbers"
                );
                return Err(TreeError::User(text));
            }
            if base.is_empty() && !users::is_numeric(spec) {
                let text = format!(
                    "nothing is below this instruction, so nobody is named in `--chown={spec}`; use numbers"
                );
                return Err(TreeError::User(text));
            }
            options.owner = Some(users::owner(base, spec)?);
        }
        options.mode = op.mode.as_deref().map(ModeChange::parse).transpose()?;
        options.parents = op.parents;
        for pattern in &op.exclude {
            let one = IgnoreFile::from_patterns([pattern.as_str()]);
            one.map_err(|error| TreeError::Exclude { pattern: pattern.clone(), reason: error.to_string() })?;
        }
        options.exclude =
            IgnoreFile::from_patterns(op.exclude.iter().map(String::as_str)).map_err(|error| {
                TreeError::Exclude { pattern: op.exclude.join(","), reason: error.to_string() }
            })?;
        Ok(options)
    }

    fn owner_of(&self, meta: &Meta, forced: Option<Owner>) -> Owner {
        self.owner.or(forced).unwrap_or(Owner { uid: meta.uid, gid: meta.gid })
    }

    fn mode_of(&self, meta: &Meta) -> u32 {
        self.mode.as_ref().map_or(meta.mode, |change| change.apply(meta.mode, meta.is_dir()))
    }

    /// What directories on the way to the destination look like.
    fn on_the_way(&self) -> Fresh {
        let mode = self.mode.as_ref().and_then(ModeChange::octal).unwrap_or(0o755);
        Fresh { owner: self.owner.unwrap_or_default(), mode, time: self.now }
    }
}

/// What this module asks of an instruction.
pub trait CopyFlags {
    /// Tells whether nothing of the base is read or followed: `--link`, which `--chmod` takes back.
    fn is_on_its_own(&self) -> bool;
    /// Tells whether a local archive is unpacked.
    fn unpacks_local(&self) -> bool;
    /// Tells whether a downloaded archive is unpacked.
    fn unpacks_downloads(&self) -> bool;
}

impl CopyFlags for CopyOp {
    fn is_on_its_own(&self) -> bool {
        self.link && self.mode.is_none()
    }

    fn unpacks_local(&self) -> bool {
        self.unpack != Unpack::Never
    }

    fn unpacks_downloads(&self) -> bool {
        self.unpack == Unpack::Always
    }
}

/// Copies items to `dest` in `upper` over `base`. For `--link` the base is [`LayerStack::empty`].
///
/// The destination is absolute; a slash at its end says that it is a directory.
pub fn copy(
    upper: &Path,
    base: &LayerStack,
    items: &[Item<'_>],
    dest: &str,
    options: &Options,
) -> Result<CopyStats, TreeError> {
    let mut upper = Upper::open(upper, base)?;
    let stats = pool::with_pool(options.threads, |pool| {
        let mut copier =
            Copier { upper: &mut upper, options, pool, shared: Seen::default(), stats: CopyStats::default() };
        for item in items {
            copier.item(item, dest)?;
        }
        Ok(copier.stats)
    })?;
    upper.finish()?;
    Ok(stats)
}

/// The state of one instruction.
struct Copier<'a, 'p> {
    upper: &'a mut Upper,
    options: &'a Options,
    pool: &'p Pool<Batch>,
    /// Source files that were given a second name already: a third one would make one file of two copies.
    shared: Seen,
    stats: CopyStats,
}

impl Copier<'_, '_> {
    fn item(&mut self, item: &Item<'_>, dest: &str) -> Result<(), TreeError> {
        match item {
            Item::Inline { name, data } => self.inline(name, data, dest),
            Item::Path { source, pattern, .. } if self.options.parents => {
                self.with_parents(source, pattern, dest)
            }
            Item::Path { source, pattern, unpack } => {
                for selected in source.select(pattern)? {
                    if *unpack && self.unpacked(&selected, dest)? {
                        continue;
                    }
                    self.selected(source, &selected, dest)?;
                }
                Ok(())
            }
        }
    }

    /// Makes the destination's directory, and returns where a source goes: the path itself, or a name in it.
    ///
    /// The rules: a destination with a slash at its end is made as a directory first; a directory's contents go to the destination;
    /// a file goes into a destination that is a directory, and else becomes it.
    fn place(&mut self, dest: &str, name: &Path, is_dir: bool) -> Result<PathBuf, TreeError> {
        let on_the_way = self.options.on_the_way();
        let view = self.upper.view()?;
        let ensure = if dest.ends_with('/') {
            Path::new(dest)
        } else {
            Path::new(dest).parent().unwrap_or(Path::new("/"))
        };
        let ensure = view.canonical(ensure)?;
        self.upper.make_path(&ensure, on_the_way)?;
        // Links at the end of the destination are followed too; those inside a copied tree are not.
        let mut target = view.canonical(Path::new(dest))?;
        let there = view.metadata(&target)?;
        if !is_dir && there.is_some_and(|meta| meta.is_dir()) {
            target.push(name);
        }
        let directory = if is_dir { target.as_path() } else { target.parent().unwrap_or(Path::new("/")) };
        if is_dir && there.is_some_and(|meta| !meta.is_dir()) {
            return Err(TreeError::DirectoryOverFile { path: target });
        }
        self.upper.make_path(directory, on_the_way)?;
        Ok(target)
    }
}
