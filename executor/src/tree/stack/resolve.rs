//! Paths in a union: links are resolved here, each below the tree's root, whatever they say.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use super::{LayerStack, Node, UnionDir};
use crate::tree::TreeError;
use crate::tree::meta::{Kind, Meta};

/// As many links as one path may go through: the kernel's number for paths would be 40, other builders allow 255.
const MAX_LINKS: usize = 255;

/// Something that was found: a name in a directory, or the root.
#[derive(Clone, Debug)]
pub struct Place {
    parent: UnionDir,
    /// None for the root: then `parent` is the root itself.
    name: Option<(OsString, Node)>,
    meta: Meta,
}

impl Place {
    /// Returns what is known of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns its path, absolute and without links (but for its own name, if that is one).
    pub fn path(&self) -> PathBuf {
        match &self.name {
            Some((name, _)) => self.parent.path().join(name),
            None => PathBuf::from("/"),
        }
    }

    /// Returns the directory that has it, its name there and its node; none for the root.
    pub fn in_parent(&self) -> Option<(&UnionDir, &OsStr, &Node)> {
        self.name.as_ref().map(|(name, node)| (&self.parent, name.as_os_str(), node))
    }

    /// Opens it as a directory; none where it is none.
    pub fn into_dir(self) -> Result<Option<UnionDir>, TreeError> {
        match self.name {
            None => Ok(Some(self.parent)),
            Some((name, node)) if node.meta.is_dir() => self.parent.enter_node(&name, &node).map(Some),
            Some(_) => Ok(None),
        }
    }

    /// Opens it as a regular file.
    pub fn open(&self) -> Result<File, TreeError> {
        match &self.name {
            Some((name, node)) => self.parent.open_file(name, node),
            None => Err(TreeError::io("open", "/", std::io::ErrorKind::IsADirectory)),
        }
    }
}

pub(super) fn find(stack: &LayerStack, path: &Path, follow: bool) -> Result<Option<Place>, TreeError> {
    let mut walk = Walk::new(stack, path)?;
    loop {
        match walk.step(follow)? {
            Step::Done(place) => return Ok(*place),
            Step::Missing(_) => return Ok(None),
            Step::Further => {}
        }
    }
}

pub(super) fn canonical(stack: &LayerStack, path: &Path) -> Result<PathBuf, TreeError> {
    let mut walk = Walk::new(stack, path)?;
    loop {
        match walk.step(true)? {
            Step::Done(place) => return Ok(place.map_or_else(|| PathBuf::from("/"), |place| place.path())),
            Step::Missing(name) => {
                // Nothing is below what is not there, so the rest is only text.
                let mut path = walk.here().path().join(name);
                for rest in walk.pending {
                    match rest {
                        Part::Up => {
                            path.pop();
                        }
                        Part::Name(name) => path.push(name),
                    }
                }
                return Ok(path);
            }
            Step::Further => {}
        }
    }
}

enum Part {
    Up,
    Name(OsString),
}

enum Step {
    /// The end: what is there. None only for the root of an empty tree.
    Done(Box<Option<Place>>),
    /// This name is not there; what is pending was to come after it.
    Missing(OsString),
    Further,
}

struct Walk<'a> {
    asked: &'a Path,
    /// The directories from the root to here.
    trail: Vec<UnionDir>,
    pending: VecDeque<Part>,
    links: usize,
}

impl<'a> Walk<'a> {
    fn new(stack: &LayerStack, asked: &'a Path) -> Result<Self, TreeError> {
        let mut walk = Self { asked, trail: vec![stack.root()?], pending: VecDeque::new(), links: 0 };
        walk.prepend(asked);
        Ok(walk)
    }

    fn here(&self) -> &UnionDir {
        // The root is never popped.
        &self.trail[self.trail.len() - 1]
    }

    fn prepend(&mut self, path: &Path) {
        if path.is_absolute() {
            self.trail.truncate(1);
        }
        for component in path.components().rev() {
            match component {
                Component::ParentDir => self.pending.push_front(Part::Up),
                Component::Normal(name) => self.pending.push_front(Part::Name(name.to_owned())),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
    }

    fn step(&mut self, follow: bool) -> Result<Step, TreeError> {
        let name = match self.pending.pop_front() {
            None => return self.done(),
            Some(Part::Up) => {
                if self.trail.len() > 1 {
                    self.trail.pop();
                }
                return Ok(Step::Further);
            }
            Some(Part::Name(name)) => name,
        };
        let Some(node) = self.here().get(&name)? else { return Ok(Step::Missing(name)) };
        let last = self.pending.is_empty();
        match node.meta.kind {
            Kind::Symlink if follow || !last => {
                self.links += 1;
                if self.links > MAX_LINKS {
                    return Err(TreeError::Loop { path: self.asked.to_owned() });
                }
                let target = self.here().read_link(&name, &node)?;
                self.prepend(&target);
                Ok(Step::Further)
            }
            _ if last => {
                let parent = self.here().clone();
                Ok(Step::Done(Box::new(Some(Place { parent, meta: node.meta, name: Some((name, node)) }))))
            }
            Kind::Directory => {
                let dir = self.here().enter_node(&name, &node)?;
                self.trail.push(dir);
                Ok(Step::Further)
            }
            // `file/x` is not there, and neither is `file/..`.
            _ => Ok(Step::Missing(name)),
        }
    }

    /// The path ended in a directory: at the root, after `..`, or after a link to one.
    fn done(&mut self) -> Result<Step, TreeError> {
        if let [.., parent, dir] = &self.trail[..] {
            let name = dir.path().file_name().unwrap_or_default().to_owned();
            let node = parent.get(&name)?;
            let place =
                node.map(|node| Place { parent: parent.clone(), meta: node.meta, name: Some((name, node)) });
            return Ok(Step::Done(Box::new(place)));
        }
        let root = self.here().clone();
        let place = root.meta()?.map(|meta| Place { parent: root, name: None, meta });
        Ok(Step::Done(Box::new(place)))
    }
}
