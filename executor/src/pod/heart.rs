//! A sign of life for other containers: a file whose time is never old.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the file is touched.
const BEAT: Duration = Duration::from_secs(5);

/// Touches a file while it lives.
#[derive(Debug)]
pub(super) struct Heart {
    _stop: Sender<()>,
}

impl Heart {
    /// Starts to beat.
    pub(super) fn start(path: &Path) -> Self {
        let (stop, stopped) = channel();
        // Without room there is no sign of life; the work may still go on.
        let _ = std::fs::write(path, "");
        let path = path.to_owned();
        std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                let _ = std::fs::write(&path, "");
            }
        });
        Self { _stop: stop }
    }
}
