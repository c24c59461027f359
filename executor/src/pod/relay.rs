//! A build pod's plan, said to the kubelet while the build goes on. Last words are those of a container that ends, so a small
//! container beside the build waits for the plan, ends, and leaves it as its own.
//!
//! The two meet in the scratch folder, by files: whatever runs containers has those.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_protocol::paths::ALIVE_FILE;

use super::heart::{Heart, Pulse};

/// What the small container is to say, complete by rename.
const WORDS: &str = "words";

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// The build's end. When it goes out of use without having said a plan, the other end hears that there will be none: the operator
/// tries again then, unless it knows better.
#[derive(Debug)]
pub struct Relay {
    folder: PathBuf,
    _heart: Heart,
}

impl Relay {
    /// Begins in a folder of the pod's own.
    pub fn begin(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _heart: Heart::start(&folder.join(ALIVE_FILE)) }
    }

    /// Says the plan.
    pub fn say(self, words: &str) {
        if let Err(error) = write(&self.folder, words) {
            tracing::warn!(%error, "the kubelet does not hear of the plan before the end of the build");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.folder.join(WORDS).exists() {
            let _ = write(&self.folder, "");
        }
    }
}

fn write(folder: &Path, words: &str) -> io::Result<()> {
    let temporary = folder.join("words.tmp");
    fs::write(&temporary, words)?;
    fs::rename(temporary, folder.join(WORDS))
}

/// Waits for the plan in a folder, and returns it; nothing where there will be none.
pub async fn wait(folder: &Path) -> String {
    let mut pulse = Pulse::of(&folder.join(ALIVE_FILE), Instant::now());
    loop {
        if let Some(words) = heard(folder, &mut pulse, Instant::now()) {
            return words;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the plan, or nothing of a build that does not live; none where that is open.
fn heard(folder: &Path, pulse: &mut Pulse, now: Instant) -> Option<String> {
    // The sign of life first: what was said just before the end counts.
    let lost = pulse.is_lost(now);
    fs::read_to_string(folder.join(WORDS)).ok().or_else(|| lost.then(String::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn hear(folder: &Path, seconds: u64) -> Option<String> {
        let start = Instant::now();
        heard(folder, &mut Pulse::of(&folder.join(ALIVE_FILE), start), start + Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn what_the_build_says_is_heard() {
        let folder = folder();
        let relay = Relay::begin(folder.path());
        let waiting = tokio::spawn({
            let folder = folder.path().to_owned();
            async move { wait(&folder).await }
        });
        relay.say("a plan");
        assert_eq!(waiting.await.expect("heard"), "a plan");
    }

    #[test]
    fn who_says_nothing_is_waited_for_while_he_lives() {
        let folder = folder();
        assert_eq!(hear(folder.path(), 170), None);
        assert_eq!(hear(folder.path(), 700).as_deref(), Some(""));
        fs::write(folder.path().join(WORDS), "late").expect("room");
        assert_eq!(hear(folder.path(), 700).as_deref(), Some("late"));
    }

    #[test]
    fn a_build_without_a_plan_says_so_when_it_ends() {
        let folder = folder();
        let relay = Relay::begin(folder.path());
        assert_eq!(hear(folder.path(), 0), None);
        drop(relay);
        assert_eq!(hear(folder.path(), 0).as_deref(), Some(""));
        // And one that had a plan leaves it there.
        Relay::begin(folder.path()).say("a plan");
        assert_eq!(hear(folder.path(), 0).as_deref(), Some("a plan"));
    }
}
