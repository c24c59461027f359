//! Finds keys that JSON readers would disagree on: repeated ones, and ones that differ only in case (Go reads `Layers`
//! as `layers`, most others do not).

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use super::ManifestError;

/// Returns the keys of a JSON object's top level, refusing repeated ones.
pub(super) fn unique_keys(bytes: &[u8]) -> Result<Vec<String>, ManifestError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let keys = serde::Deserializer::deserialize_map(&mut reader, Keys)?;
    reader.end()?;
    let mut seen = BTreeSet::new();
    match keys.iter().find(|key| !seen.insert(key.to_ascii_lowercase())) {
        Some(key) => Err(ManifestError::RepeatedKey(key.clone())),
        None => Ok(keys),
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = vec![];
        while let Some(key) = map.next_key::<String>()? {
            if keys.len() > 1000 {
                return Err(A::Error::custom("more than 1000 keys"));
            }
            map.next_value::<IgnoredAny>()?;
            keys.push(key);
        }
        Ok(keys)
    }
}
