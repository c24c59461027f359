//! Finding the directory that an entry goes into: links are followed, but never above the place that is unpacked into.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::tree::TreeError;
use crate::tree::meta::Kind;
use crate::tree::upper::{Fresh, Spot, Upper};

/// As many links as one path may go through.
const MAX_LINKS: usize = 255;

/// The directories of one archive.
pub(super) struct Parents {
    root: Spot,
    fresh: Fresh,
    /// The directory found last: archives list what is in a directory together.
    last: Option<(Vec<u8>, Spot)>,
    /// Whether a directory was needed that the archive did not bring.
    pub(super) implied: bool,
}

impl Parents {
    pub(super) fn new(root: Spot, fresh: Fresh) -> Self {
        Self { root, fresh, last: None, implied: false }
    }

    /// Forgets what was found: something was replaced, and paths may lead elsewhere now.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Takes note of a directory that was just unpacked. Its path has no link in its last part.
    pub(super) fn remember(&mut self, path: &[u8], spot: Spot) {
        self.last = Some((path.to_vec(), spot));
    }

    /// Returns the directory of a path, with what is missing made.
    pub(super) fn find(&mut self, upper: &mut Upper, path: &[u8]) -> Result<Spot, TreeError> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        if let Some((known, spot)) = &self.last
            && known == path
        {
            return Ok(spot.clone());
        }
        let spot = self.walk(upper, Path::new(OsStr::from_bytes(path)))?;
        self.last = Some((path.to_vec(), spot.clone()));
        Ok(spot)
    }

    fn walk(&mut self, upper: &mut Upper, path: &Path) -> Result<Spot, TreeError> {
        let mut trail = vec![self.root.clone()];
        let mut pending: VecDeque<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let here = trail[trail.len() - 1].clone();
            let there = here.get(&name)?;
            let next = match there {
                Some(there) if there.meta.is_dir() => {
                    self.implied |= !there.in_upper();
                    upper.enter(&here, &name, &there)?
                }
                Some(there) if there.meta.kind == Kind::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(TreeError::Loop { path: path.to_owned() });
                    }
                    let target = here.read_link(&name)?;
                    if target.is_absolute() {
                        trail.truncate(1);
                    }
                    for name in names(&target).into_iter().rev() {
                        pending.push_front(name);
                    }
                    continue;
                }
                Some(_) => return Err(TreeError::NotADirectory { path: here.path().join(&name) }),
                None => {
                    self.implied = true;
                    upper.make_dir(&here, &name, self.fresh)?
                }
            };
            trail.push(next);
        }
        Ok(trail.pop().unwrap_or_else(|| self.root.clone()))
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}
