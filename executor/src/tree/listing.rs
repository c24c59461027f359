//! The names in a directory, in two pieces of memory: there may be a million of them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::meta::Kind;

/// Names with what the listing says of their kind, sorted by bytes.
///
/// The kind is a hint: a name may be gone or another thing by the time it is looked at.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    text: Vec<u8>,
    names: Vec<Name>,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    start: u32,
    length: u16,
    kind: Option<Kind>,
}

impl Listing {
    /// Adds a name, which need not be in order yet.
    pub(super) fn push(&mut self, name: &[u8], kind: Option<Kind>) -> io::Result<()> {
        let too_many = |_| io::Error::new(io::ErrorKind::FileTooLarge, "too many names in one directory");
        let start = u32::try_from(self.text.len()).map_err(too_many)?;
        let length = u16::try_from(name.len()).map_err(too_many)?;
        self.text.extend_from_slice(name);
        self.names.push(Name { start, length, kind });
        Ok(())
    }

    /// Sorts the names.
    pub(super) fn sort(&mut self) {
        let text = &self.text;
        self.names.sort_unstable_by(|a, b| a.bytes(text).cmp(b.bytes(text)));
    }

    /// Leaves out the names of which `keep` says no.
    pub(super) fn retain<E>(
        &mut self,
        mut keep: impl FnMut(&OsStr, Option<Kind>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let (text, mut failed) = (&self.text, None);
        self.names.retain(|name| match keep(OsStr::from_bytes(name.bytes(text)), name.kind) {
            Ok(keep) => keep,
            Err(error) => {
                failed = Some(error);
                true
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// Goes through the names.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, Option<Kind>)> {
        self.names.iter().map(|name| (OsStr::from_bytes(name.bytes(&self.text)), name.kind))
    }

    /// Tells whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Name {
    fn bytes(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..][..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_bytes_and_left_out() {
        let mut listing = Listing::default();
        for name in ["b", "a", "\u{e4}", "aa"] {
            listing.push(name.as_bytes(), Some(Kind::File)).unwrap();
        }
        listing.sort();
        listing.retain(|name, _| Ok::<_, ()>(name != "aa")).unwrap();
        let names: Vec<_> = listing.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["a", "b", "\u{e4}"]);
        assert_eq!(size_of::<Name>(), 8);
    }
}
