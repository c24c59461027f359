//! `--parents`: the source's directories are made again below the destination, from the pivot `/./` on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Copier;
use super::tree::{Descent, Level};
use crate::tree::TreeError;
use crate::tree::listing::Listing;
use crate::tree::source::{Front, Here, Rules, Source, Wanted};

impl Copier<'_, '_> {
    /// Copies what a pattern selects, with its parents. `**` stands for any number of directories here.
    pub(super) fn with_parents(
        &mut self,
        source: &Source<'_>,
        pattern: &str,
        dest: &str,
    ) -> Result<(), TreeError> {
        let wanted = Wanted::new(source, pattern)?;
        let (base, literal) = (wanted.base.clone(), wanted.is_literal());
        let missing = || source.not_found(pattern, &base.join(&wanted.pattern).to_string_lossy());
        let Some(place) = source.stack.find(&base, false)? else {
            return if literal { Err(missing()) } else { Ok(()) };
        };
        let meta = *place.meta();
        let Some(from) = place.into_dir()? else { return Err(TreeError::NotADirectory { path: base }) };

        let target = self.place(dest, Path::new(""), true)?;
        let spot = self.upper.make_path(&target, self.options.on_the_way())?;
        let in_tree = base.strip_prefix("/").unwrap_or(&base).to_owned();
        let ignore = Rules::new(source.ignore).descend(&in_tree);
        let exclude = Rules::new(Some(&self.options.exclude));
        let here = Here { in_tree, ignore, below: PathBuf::new(), exclude };
        let mut descent = Descent::new(source.owner);
        descent.levels.push(Level::at(from, meta, spot));
        let found = match wanted.include()? {
            None => {
                self.contents(&mut descent, &here)?;
                true
            }
            Some(include) => {
                self.included(&mut descent, &here, &Rules::new(Some(&include)), &Front::of(&wanted.pattern))?
            }
        };
        self.flush(&mut descent)?;
        self.pool.drain()?;
        if literal && !found { Err(missing()) } else { Ok(()) }
    }

    /// Goes down to what the pattern matches; from there on everything is copied.
    fn included(
        &mut self,
        descent: &mut Descent,
        here: &Here<'_>,
        include: &Rules<'_>,
        front: &Front<'_>,
    ) -> Result<bool, TreeError> {
        let from = descent.levels[descent.levels.len() - 1].from.clone();
        let mut names = Listing::default();
        match front.only() {
            Some(name) => names
                .push(name.as_bytes(), None)
                .map_err(|source| TreeError::at("look at", from.path(), OsStr::new(name), source))?,
            None => names = from.list()?,
        }
        let mut found = false;
        for (name, _) in names.iter() {
            let child = here.down(name);
            let matched = include.down(&child.below);
            let left_out = child.left_out();
            if left_out && child.can_skip() {
                continue;
            }
            let Some(node) = from.get(name)? else { continue };
            if node.meta.is_dir() {
                let below = from.enter_node(name, &node)?;
                // Parents on the way keep what an existing destination has; what is matched overwrites it.
                descent.levels.push(Level::new(below, name.to_owned(), node.meta, matched.ignored()));
                if matched.ignored() {
                    found = true;
                    if !left_out {
                        self.realize(descent)?;
                    }
                    self.contents(descent, &child)?;
                } else {
                    found |= self.included(descent, &child, &matched, &front.next())?;
                }
                self.flush(descent)?;
                descent.levels.pop();
            } else if matched.ignored() && !left_out {
                found = true;
                self.realize(descent)?;
                self.file(descent, name, &node, name)?;
            }
        }
        Ok(found)
    }
}
