//! Deterministic names: the same build, run and part always give the same name, so that making an object twice makes it once.

use std::fmt::Write;

/// The longest name of a pod, which is also its host name.
const LIMIT: usize = 63;

/// Returns the name of an object of a run: `shop-3-build`, `shop-3-compile`, with `-2` behind it for a second try.
pub fn part(build: &str, run: i64, part: &str, attempt: i32) -> String {
    let mut tail = String::new();
    let _ = write!(tail, "-{run}-");
    let suffix = if attempt > 1 { format!("-{attempt}") } else { String::new() };
    let room = LIMIT.saturating_sub(build.len() + tail.len() + suffix.len());
    format!("{build}{tail}{}{suffix}", shorten(&dns(part), room))
}

/// Returns the name of the ConfigMap of a run's request.
pub fn request(build: &str, run: i64, attempt: i32) -> String {
    part(build, run, "request", attempt)
}

/// Returns the id of one try, which names its folder in the store.
pub fn build_id(uid: &str, run: i64, attempt: i32) -> String {
    format!("{uid}-{run}-{attempt}")
}

/// Makes a stage's name fit for a DNS label.
fn dns(text: &str) -> String {
    let mapped: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let trimmed = mapped.trim_matches('-');
    if trimmed.is_empty() { "x".to_owned() } else { trimmed.to_owned() }
}

/// Cuts a name to the room that there is, a digest of the whole behind it so that two long names stay two.
fn shorten(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let digest = slipway_oci::Digest::of(text).hex();
    let keep = room.saturating_sub(7);
    format!("{}-{}", text[..keep.min(text.len())].trim_end_matches('-'), &digest[..6.min(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_valid() {
        assert_eq!(part("shop", 3, "build", 1), "shop-3-build");
        assert_eq!(part("shop", 3, "Build_Deps.x", 2), "shop-3-build-deps-x-2");
        let long = part(&"b".repeat(40), 12345, &"stage-".repeat(20), 3);
        assert!(long.len() <= LIMIT, "{long}");
        assert_ne!(long, part(&"b".repeat(40), 12345, &("stage-".repeat(20) + "other"), 3));
        assert_eq!(part("a", 1, "___", 1), "a-1-x");
    }
}
