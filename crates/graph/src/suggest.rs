//! "Did you mean": the nearest of some names, if one is near enough to be a slip of the fingers.

/// Returns the candidate with the fewest edits to `wrong`, if few enough.
pub(crate) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    // Longer than this is no slip, and the table below is quadratic.
    if wrong.is_empty() || wrong.len() > 64 {
        return None;
    }
    let limit = (wrong.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(1000)
        .filter(|name| name.len() <= 64)
        .map(|name| (distance(&wrong, &name.to_lowercase()), name))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Counts insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_and_nothing_else() {
        let names = ["builder", "runtime", "deps", "a"];
        assert_eq!(nearest("bulider", names), Some("builder"));
        assert_eq!(nearest("RUNTIM", names), Some("runtime"));
        assert_eq!(nearest("dep", names), Some("deps"));
        assert_eq!(nearest("production", names), None);
        assert_eq!(nearest("", names), None);
    }
}
