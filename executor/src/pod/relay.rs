//! A build pod's plan, said to the kubelet while the build goes on. Last words are those of a container that ends, so a small
//! container beside the build waits for the plan, ends, and leaves it as its own.
//!
//! The two meet in the scratch folder, by files: whatever runs containers has those.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::heart::Heart;

/// What the small container is to say, complete by rename.
const WORDS: &str = "words";

/// Touched while the build lives.
const ALIVE: &str = "alive";

/// How often the small container looks.
const LOOK: Duration = Duration::from_millis(50);

/// How old the last sign of life may be. A node may stand still for seconds, and nobody waits for this one's end.
const SILENCE: Duration = Duration::from_mins(1);

/// How long the build may take to start. The operator has given the pod up by then.
const BEGINNING: Duration = Duration::from_mins(10);

/// The build's end. When it goes out of use without a plan, the other end hears that there is none.
#[derive(Debug)]
pub struct Relay {
    folder: PathBuf,
    _heart: Heart,
}

impl Relay {
    /// Begins in a folder of the pod's own.
    pub fn begin(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _heart: Heart::start(&folder.join(ALIVE)) }
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
    let began = SystemTime::now();
    loop {
        if let Some(words) = heard(folder, began, SystemTime::now()) {
            return words;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the plan, or nothing of a build that does not live; none where that is open.
fn heard(folder: &Path, began: SystemTime, now: SystemTime) -> Option<String> {
    let since = |time: SystemTime| now.duration_since(time).unwrap_or_default();
    // The sign of life first: what is said just before the end counts.
    let alive = fs::metadata(folder.join(ALIVE)).and_then(|file| file.modified());
    let silent = alive.map_or(since(began) > BEGINNING, |last| since(last) > SILENCE);
    fs::read_to_string(folder.join(WORDS)).ok().or_else(|| silent.then(String::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
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
        let began = SystemTime::now();
        let later = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(heard(folder.path(), began, later(500)), None);
        assert_eq!(heard(folder.path(), began, later(700)).as_deref(), Some(""));
        fs::write(folder.path().join(ALIVE), "").expect("room");
        assert_eq!(heard(folder.path(), began, later(20)), None);
        assert_eq!(heard(folder.path(), began, later(100)).as_deref(), Some(""));
        fs::write(folder.path().join(WORDS), "late").expect("room");
        assert_eq!(heard(folder.path(), began, later(100)).as_deref(), Some("late"));
    }

    #[test]
    fn a_build_without_a_plan_says_so_when_it_ends() {
        let folder = folder();
        let relay = Relay::begin(folder.path());
        assert_eq!(heard(folder.path(), SystemTime::now(), SystemTime::now()), None);
        drop(relay);
        assert_eq!(heard(folder.path(), SystemTime::now(), SystemTime::now()).as_deref(), Some(""));
        // And one that had a plan leaves it there.
        Relay::begin(folder.path()).say("a plan");
        assert_eq!(heard(folder.path(), SystemTime::now(), SystemTime::now()).as_deref(), Some("a plan"));
    }
}
