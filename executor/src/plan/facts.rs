//! Answers what a graph asks: images from registries, contents by digesting them, all at once.

use std::thread;

use slipway_graph::{ContentFact, ContentNeed, KnownFacts, Needs, Selection};
use slipway_oci::Digest;

use super::Planner;
use crate::engine::Cause;
use crate::event::Event;
use crate::fetch::{git, url};
use crate::images::resolve;
use crate::local::{ignore_of, tree_cause};
use crate::tree::content;
use crate::tree::source::Source;
use crate::tree::{LayerStack, Owner};

impl Planner<'_> {
    /// Finds out what is needed.
    pub(super) fn learn(&self, needs: &Needs, known: &mut KnownFacts) -> Result<(), Cause> {
        let (images, contents) = thread::scope(|scope| {
            let images = scope.spawn(|| self.images(needs));
            let contents: Vec<_> =
                needs.contents.iter().map(|need| scope.spawn(move || self.content(need))).collect();
            let contents: Vec<_> =
                contents.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(died()))).collect();
            (images.join().unwrap_or_else(|_| Err(died())), contents)
        });
        known.images.extend(images?);
        for (need, fact) in needs.contents.iter().zip(contents) {
            known.contents.insert(need.clone(), fact?);
        }
        Ok(())
    }

    fn images(
        &self,
        needs: &Needs,
    ) -> Result<Vec<(slipway_graph::ImageNeed, slipway_graph::ImageFact)>, Cause> {
        let asked = needs.images.iter().map(|need| async move {
            let (fact, note) = resolve(&self.registry, self.store, need, self.freshness).await?;
            if let Some(text) = note {
                self.events.event(Event::Note { text });
            }
            Ok::<_, Cause>((need.clone(), fact))
        });
        self.remotes.block_on(futures::future::join_all(asked)).into_iter().collect()
    }

    fn content(&self, need: &ContentNeed) -> Result<ContentFact, Cause> {
        match need {
            ContentNeed::Tree(selection) => self.tree(selection),
            ContentNeed::Url { url } => {
                let headers =
                    self.lent.headers(url).map_err(|error| Cause::Instruction(Cause::text(&error)))?;
                let found = self.remotes.block_on(url::fetch(self.store, url, None, &headers));
                let found = found.map_err(|error| Cause::Fetch(Cause::text(&error)))?;
                // The server's time becomes the file's.
                let digest = Digest::of(format!("{}\n{}", found.digest, found.modified()));
                Ok(ContentFact { digest, files: vec![] })
            }
            ContentNeed::Git { url, checksum, keep_git_dir } => {
                let wrong = |error| Cause::Fetch(Cause::text(&error));
                let mut source = git::Source::parse(url).map_err(wrong)?;
                source.keep_git_dir |= keep_git_dir;
                source.checksum = checksum.clone().or(source.checksum);
                let commit = self
                    .remotes
                    .block_on(git::resolve(&source, &git::Credentials::default()))
                    .map_err(wrong)?;
                Ok(ContentFact { digest: *source.layer(&commit).digest(), files: vec![] })
            }
        }
    }

    /// Digests a part of a context, as a copy would see it.
    fn tree(&self, selection: &Selection) -> Result<ContentFact, Cause> {
        let Some(context) = self.contexts.get(&selection.context) else {
            return Err(Cause::Instruction(format!("there is no build context `{}`", selection.context)));
        };
        let stack = if context.path.as_os_str().is_empty() {
            LayerStack::empty()
        } else {
            LayerStack::plain(&context.path).map_err(tree_cause)?
        };
        let ignore = ignore_of(context)?;
        let source = Source { stack: &stack, ignore: ignore.as_ref(), owner: Some(Owner::default()) };
        content::digest_with(&source, selection, &self.hashes).map_err(tree_cause)
    }
}

fn died() -> Cause {
    Cause::Infrastructure("finding out what the build needs failed without a word".to_owned())
}
