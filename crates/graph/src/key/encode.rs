//! Typed values to bytes, injectively: every value says its type and its length before itself, so that no two
//! sequences of values have the same bytes.

use slipway_oci::Digest;

use super::Key;

/// The version of all keys. A new one makes every cached result unknown, so it changes only when a key's meaning does.
pub const KEY_VERSION: u64 = 1;

/// Collects typed values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoder {
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Tag {
    Text = 1,
    Number = 2,
    Flag = 3,
    Digest = 4,
    Absent = 5,
    Present = 6,
    List = 7,
    Key = 8,
}

impl Encoder {
    /// Starts the encoding of a kind of thing; kinds never share an encoding.
    pub fn new(kind: &str) -> Self {
        let mut this = Self { bytes: Vec::with_capacity(256) };
        this.number(KEY_VERSION).text(kind);
        this
    }

    fn put(&mut self, tag: Tag, bytes: &[u8]) -> &mut Self {
        self.bytes.push(tag as u8);
        self.bytes.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.put(Tag::Text, text.as_bytes())
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.put(Tag::Number, &number.to_le_bytes())
    }

    /// Adds a truth value.
    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.put(Tag::Flag, &[u8::from(flag)])
    }

    /// Adds a digest.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.put(Tag::Digest, digest.bytes())
    }

    /// Adds a key.
    pub fn key(&mut self, key: &Key) -> &mut Self {
        self.put(Tag::Key, key.0.bytes())
    }

    /// Adds a value that may be absent.
    pub fn option<T>(&mut self, value: Option<T>, add: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            None => self.put(Tag::Absent, &[]),
            Some(value) => {
                self.put(Tag::Present, &[]);
                add(self, value);
                self
            }
        }
    }

    /// Adds values in order, after their number.
    pub fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut add: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.put(Tag::List, &(values.len() as u64).to_le_bytes());
        for value in values {
            add(self, value);
        }
        self
    }

    /// Returns what was collected.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the key of what was collected.
    pub fn finish(&self) -> Key {
        Key(Digest::of(&self.bytes))
    }
}
