//! A sign of life for other containers: a file that changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How often the file is touched.
const BEAT: Duration = Duration::from_secs(5);

/// How long nothing may be seen of it. A node may stand still for seconds, and nobody waits for those who look.
const SILENCE: Duration = Duration::from_mins(1);

/// How long it may take to come. The operator has given up a pod that cannot start by then.
const BEGINNING: Duration = Duration::from_mins(3);

/// Touches a file while it lives.
#[derive(Debug)]
pub struct Heart {
    beating: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Heart {
    /// Starts to beat.
    pub fn start(path: &Path) -> Self {
        Self::every(BEAT, path)
    }

    fn every(pause: Duration, path: &Path) -> Self {
        let (stop, stopped) = channel();
        // Without room there is no sign of life; the work may still go on.
        let _ = fs::write(path, "");
        let path = path.to_owned();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let _ = fs::write(&path, "");
            }
        });
        Self { beating: Some((stop, thread)) }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beating.take() {
            drop(stop);
            // It cannot have panicked: it writes and waits.
            let _ = thread.join();
        }
    }
}

/// Looks for the signs of life of another container. The file's time is only compared with itself: the clock that it is from may be
/// another one, and may be set.
#[derive(Debug)]
pub struct Pulse {
    path: PathBuf,
    last: Option<SystemTime>,
    since: Instant,
}

impl Pulse {
    /// Begins to look.
    pub fn of(path: &Path, now: Instant) -> Self {
        Self { path: path.to_owned(), last: None, since: now }
    }

    /// Looks once more, and tells whether the other one is dead.
    pub fn is_lost(&mut self, now: Instant) -> bool {
        let seen = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        if seen.is_some() && seen != self.last {
            (self.last, self.since) = (seen, now);
        }
        let patience = if self.last.is_some() { SILENCE } else { BEGINNING };
        now.saturating_duration_since(self.since) > patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_is_not_lost_and_who_falls_silent_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alive");
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::of(&path, start);
        assert!(!pulse.is_lost(later(170)), "it may be slow to start");
        fs::write(&path, "").expect("room");
        assert!(!pulse.is_lost(later(590)));
        assert!(!pulse.is_lost(later(640)));
        // Whatever its clock says.
        let file = fs::File::options().write(true).open(&path).expect("there");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
        assert!(!pulse.is_lost(later(700)));
        assert!(!pulse.is_lost(later(750)));
        assert!(pulse.is_lost(later(770)));
        assert!(Pulse::of(&folder.path().join("other"), start).is_lost(later(181)));
    }

    #[test]
    fn a_heart_beats_until_it_stops() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alive");
        let heart = Heart::every(Duration::from_millis(10), &path);
        for _ in 0..3 {
            fs::remove_file(&path).expect("it was touched");
            let start = Instant::now();
            while !path.exists() {
                assert!(start.elapsed() < Duration::from_secs(20), "no beat");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        drop(heart);
        fs::remove_file(&path).expect("it was touched");
        std::thread::sleep(Duration::from_millis(200));
        assert!(!path.exists(), "it beats on");
    }
}
