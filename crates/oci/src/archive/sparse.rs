//! Sparse files as GNU tar stores them: maps of what is not a hole, in four forms.

use super::header::{self, Block};
use super::pax::decimal;

/// What the records' keys begin with.
pub(super) const PREFIX: &[u8] = b"GNU.sparse.";

/// The most pieces a file may be in.
pub(super) const MAX_SEGMENTS: usize = 1 << 16;

/// A piece of a file that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// What of a file is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    pub(super) segments: Vec<Segment>,
    pub(super) size: u64,
}

impl Map {
    /// Checks that the pieces are in order, apart, inside the file, and as long together as what is stored.
    pub(super) fn is_sound(&self, stored: u64) -> bool {
        let mut end = 0;
        let mut sum = 0_u64;
        for segment in &self.segments {
            let Some(next) = segment.offset.checked_add(segment.length) else { return false };
            if segment.offset < end || next > self.size {
                return false;
            }
            end = next;
            sum += segment.length;
        }
        sum == stored && self.segments.len() <= MAX_SEGMENTS
    }
}

/// Reads the old form's map out of the header; also says whether blocks with more of it follow.
pub(super) fn from_block(block: &Block) -> Option<(Map, bool)> {
    let size = u64::try_from(header::number(block, 483..495)?).ok()?;
    let mut map = Map { segments: vec![], size };
    read_pairs(&mut map, block, 386, 4)?;
    Some((map, block[482] != 0))
}

/// Reads a further block of the old form's map; also says whether another follows.
pub(super) fn extend(map: &mut Map, block: &Block) -> Option<bool> {
    read_pairs(map, block, 0, 21)?;
    Some(block[504] != 0)
}

fn read_pairs(map: &mut Map, block: &Block, start: usize, count: usize) -> Option<()> {
    for at in (start..).step_by(24).take(count) {
        if block[at] == 0 {
            break;
        }
        let offset = u64::try_from(header::number(block, at..at + 12)?).ok()?;
        let length = u64::try_from(header::number(block, at + 12..at + 24)?).ok()?;
        map.segments.push(Segment { offset, length });
    }
    Some(())
}

/// Returns true for records that the 0.0 form repeats.
pub(super) fn repeats(key: &[u8]) -> bool {
    matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes")
}

/// What PAX records say about a sparse file.
#[derive(Default)]
pub(super) struct Records {
    pub(super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    numbers: Option<Vec<u64>>,
}

impl Records {
    /// Takes a record; none if its value makes no sense.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match &key[PREFIX.len()..] {
            b"name" if value.is_empty() || value.contains(&0) => return None,
            b"name" => self.name = Some(value.to_vec()),
            b"major" => self.major = Some(decimal(value)?),
            b"minor" => self.minor = Some(decimal(value)?),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"map" => {
                let parts = value.split(|b| *b == b',').filter(|_| !value.is_empty());
                self.numbers = Some(parts.map(decimal).collect::<Option<_>>()?);
            }
            b"offset" | b"numbytes" => {
                // The 0.0 form: offset and length in turn.
                let numbers = self.numbers.get_or_insert_with(Vec::new);
                if numbers.len().is_multiple_of(2) != key.ends_with(b"offset") {
                    return None;
                }
                numbers.push(decimal(value)?);
            }
            b"numblocks" => {
                decimal(value)?;
            }
            _ => return None,
        }
        Some(())
    }

    /// Returns true if the file is sparse.
    pub(super) fn is_used(&self) -> bool {
        self.size.is_some() || self.numbers.is_some() || self.major.is_some()
    }

    /// Returns true if the map stands before the content (the 1.0 form).
    pub(super) fn in_content(&self) -> bool {
        self.major == Some(1) && self.minor == Some(0)
    }

    /// Returns the map of the 0.0 and 0.1 forms.
    pub(super) fn map(&self) -> Option<Map> {
        if self.major.unwrap_or(0) != 0 {
            return None;
        }
        pairs(self.numbers.as_ref()?, self.size?)
    }

    /// Reads the map of the 1.0 form.
    pub(super) fn map_from(&self, content: &[u8]) -> Option<Map> {
        let (count, numbers) = lines(content)?;
        (numbers.len() as u64 == count.checked_mul(2)?).then(|| pairs(&numbers, self.size?)).flatten()
    }
}

/// Returns true once all numbers that a 1.0 map announces are there.
pub(super) fn is_complete(content: &[u8]) -> bool {
    match lines(content) {
        Some((count, numbers)) => numbers.len() as u64 >= count.saturating_mul(2),
        // A malformed map never gets complete by reading on.
        None => content.contains(&b'\n'),
    }
}

/// Reads the lines of a 1.0 map: how many pieces, then their numbers, as far as they are there.
fn lines(content: &[u8]) -> Option<(u64, Vec<u64>)> {
    let end = content.iter().rposition(|b| *b == b'\n')?;
    let mut lines = content[..end].split(|b| *b == b'\n');
    let count = decimal(lines.next()?)?;
    if count > MAX_SEGMENTS as u64 {
        return None;
    }
    let numbers = lines.take(count as usize * 2).map(decimal).collect::<Option<_>>()?;
    Some((count, numbers))
}

fn pairs(numbers: &[u64], size: u64) -> Option<Map> {
    if !numbers.len().is_multiple_of(2) {
        return None;
    }
    let segments = numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect();
    Some(Map { segments, size })
}
