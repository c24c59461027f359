//! "Did you mean": the nearest of a few known words; and words of the file as they are quoted in messages.

use std::borrow::Cow;

/// A word this far away is no longer a typing error.
const TOO_FAR: usize = 3;

/// Longer words are not compared: nothing that we know is near them.
const TOO_LONG: usize = 64;

/// More of a word than this is not repeated in a message: the excerpt shows it.
const LONGEST_QUOTE: usize = 60;

/// Returns a word of the file as a message quotes it, cut where it is very long.
pub(crate) fn shown(word: &str) -> Cow<'_, str> {
    match word.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => Cow::Owned(format!("{}\u{2026}", &word[..end])),
        None => Cow::Borrowed(word),
    }
}

/// Returns the nearest option that is less than three edits away, ignoring case; the first of several.
pub(crate) fn nearest<'o>(word: &str, options: impl IntoIterator<Item = &'o str>) -> Option<&'o str> {
    if word.len() > TOO_LONG {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let mut best = None;
    let mut best_distance = TOO_FAR;
    for option in options {
        let distance = distance(&word, &option.to_lowercase().chars().collect::<Vec<_>>());
        // Of a word of two letters, two edits leave nothing.
        if distance > 0 && distance < best_distance && distance < word.len().max(2) {
            best_distance = distance;
            best = Some(option);
        }
    }
    best
}

/// Counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0; (a.len() + 1) * width];
    for (at, cell) in rows.iter_mut().take(width).enumerate() {
        *cell = at;
    }
    for i in 1..=a.len() {
        rows[i * width] = i;
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut cost = (rows[(i - 1) * width + j] + 1)
                .min(rows[i * width + j - 1] + 1)
                .min(rows[(i - 1) * width + j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(rows[(i - 2) * width + j - 2] + 1);
            }
            rows[i * width + j] = cost;
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    fn between(a: &str, b: &str) -> usize {
        distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
    }

    #[test]
    fn swapped_neighbours_are_one_edit() {
        assert_eq!(between("CPOY", "COPY"), 1);
        assert_eq!(between("RNU", "RUN"), 1);
        assert_eq!(between("", "RUN"), 3);
        assert_eq!(between("kitten", "sitting"), 3);
    }

    #[test]
    fn far_words_have_no_neighbour() {
        assert_eq!(nearest("FETCH", ["RUN", "COPY", "FROM"]), None);
        assert_eq!(nearest("X", ["FROM", "AB"]), None);
        assert_eq!(nearest("frmo", ["RUN", "FROM"]), Some("FROM"));
        assert_eq!(nearest(&"a".repeat(100_000), ["RUN"]), None);
    }
}
