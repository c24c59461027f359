//! `--annotation` and `annotation.…` of outputs: notes on manifests, on the index, and on the index's entries.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use slipway_executor::assemble::bundle::IndexNotes;
use slipway_oci::Platform;

/// What a note is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Manifest,
    ManifestDescriptor,
    Index,
}

/// Notes as they were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Vec<Note>);

#[derive(Clone, Debug)]
struct Note {
    place: Place,
    /// For this platform's image alone.
    platform: Option<Platform>,
    name: String,
    value: String,
}

impl Notes {
    /// Takes `[TYPE[PLATFORM],…:]NAME=VALUE`, where types are those of docker: manifest, index, manifest-descriptor.
    pub(super) fn of_flag(&mut self, text: &str) -> anyhow::Result<()> {
        let (name, value) = text.split_once('=').context("it is not NAME=VALUE")?;
        let (places, name) = match name.split_once(':') {
            // A name may hold a colon of its own: only known types are taken for types.
            Some((places, name)) if places.split(',').all(is_kind) => (places, name),
            _ => ("manifest", name),
        };
        for one in places.split(',') {
            let (place, platform) = place(one)?;
            self.add(place, platform, name, value)?;
        }
        Ok(())
    }

    /// Takes `annotation[-TYPE][[PLATFORM]].NAME` of an output.
    pub(super) fn of_output(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        let rest = key.strip_prefix("annotation").unwrap_or(key);
        // Platforms have no points, names have.
        let (kind, name) = rest.split_once('.').with_context(|| format!("`{key}` names no annotation"))?;
        let (place, platform) = match kind.strip_prefix('-') {
            Some(kind) => place(kind)?,
            None => place(&format!("manifest{kind}"))?,
        };
        self.add(place, platform, name, value)
    }

    fn add(
        &mut self,
        place: Place,
        platform: Option<Platform>,
        name: &str,
        value: &str,
    ) -> anyhow::Result<()> {
        if name.is_empty() {
            bail!("the annotation has no name");
        }
        self.0.push(Note { place, platform, name: name.to_owned(), value: value.to_owned() });
        Ok(())
    }

    /// Tells whether a note has no place without an index.
    pub(super) fn needs_index(&self) -> bool {
        self.0.iter().any(|note| note.place != Place::Manifest)
    }

    /// Returns the notes on the manifest for a platform.
    pub(super) fn manifest(&self, platform: &Platform) -> BTreeMap<String, String> {
        self.at(Place::Manifest, platform)
    }

    /// Returns the notes on the index, and on its entries.
    pub(super) fn index(&self, platforms: &[Platform]) -> IndexNotes {
        let entries = platforms
            .iter()
            .map(|platform| (platform.clone(), self.at(Place::ManifestDescriptor, platform)))
            .collect();
        let index = self.0.iter().filter(|note| note.place == Place::Index);
        IndexNotes { index: index.map(|note| (note.name.clone(), note.value.clone())).collect(), entries }
    }

    fn at(&self, place: Place, platform: &Platform) -> BTreeMap<String, String> {
        self.0
            .iter()
            .filter(|note| note.place == place && note.platform.as_ref().is_none_or(|own| own == platform))
            .map(|note| (note.name.clone(), note.value.clone()))
            .collect()
    }
}

/// Tells whether a word is a type of annotations, with or without a platform.
fn is_kind(text: &str) -> bool {
    let kind = text.split_once('[').map_or(text, |(kind, _)| kind);
    matches!(kind, "manifest" | "manifest-descriptor" | "index" | "index-descriptor")
}

/// Reads `manifest`, `manifest[linux/arm64]`, `index`.
fn place(text: &str) -> anyhow::Result<(Place, Option<Platform>)> {
    let (kind, platform) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((kind, platform)) => (kind, Some(platform.parse::<Platform>()?)),
        None => (text, None),
    };
    let place = match kind {
        "manifest" => Place::Manifest,
        "manifest-descriptor" => Place::ManifestDescriptor,
        "index" => Place::Index,
        "index-descriptor" => bail!("annotations of `index-descriptor` have no place in a registry"),
        _ => bail!("`{kind}` is neither manifest, manifest-descriptor nor index"),
    };
    if platform.is_some() && place == Place::Index {
        bail!("an index is of no platform");
    }
    Ok((place, platform))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(texts: &[&str]) -> Notes {
        let mut notes = Notes::default();
        for text in texts {
            notes.of_flag(text).expect(text);
        }
        notes
    }

    fn platform(text: &str) -> Platform {
        text.parse().expect(text)
    }

    #[test]
    fn a_note_goes_where_its_type_says() {
        let notes = notes(&["a=1", "index:b=2", "manifest[linux/arm64],index:c=3", "x:y=4"]);
        let (amd, arm) = (platform("linux/amd64"), platform("linux/arm64"));
        let names = |map: BTreeMap<String, String>| map.into_keys().collect::<Vec<_>>();
        assert_eq!(names(notes.manifest(&amd)), ["a", "x:y"]);
        assert_eq!(names(notes.manifest(&arm)), ["a", "c", "x:y"]);
        assert_eq!(names(notes.index(&[amd, arm]).index), ["b", "c"]);
        assert!(notes.needs_index());
    }

    #[test]
    fn outputs_have_their_own_spelling() {
        let mut notes = Notes::default();
        notes.of_output("annotation.org.example.a", "1").expect("a manifest's");
        notes.of_output("annotation[linux/arm64].b", "2").expect("one manifest's");
        assert!(!notes.needs_index());
        notes.of_output("annotation-manifest-descriptor[linux/arm64].c", "3").expect("an entry's");
        let arm = platform("linux/arm64");
        assert_eq!(notes.manifest(&arm).len(), 2);
        assert_eq!(notes.manifest(&platform("linux/amd64")).len(), 1);
        assert_eq!(notes.index(std::slice::from_ref(&arm)).entries[&arm]["c"], "3");
        assert!(notes.of_output("annotation-colour.a", "1").is_err());
    }
}
