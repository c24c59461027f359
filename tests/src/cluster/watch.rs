//! Waits for objects to look as asked: one `kubectl get --watch` a wait, which sees each state and costs the builds nothing.

use std::io::BufReader;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

/// How long nothing at all may change before a test gives up: on a machine that has much to do everything takes longer.
const QUIET: Duration = Duration::from_mins(3);
/// How long something may change without being what is waited for.
const ENOUGH: Duration = Duration::from_mins(10);
/// The pause before a watch that ended is begun again.
const PAUSE: Duration = Duration::from_millis(300);

/// Shows `look` each state of a namespace's objects of a kind, beginning with those of now, until it returns something; none
/// where that took too long.
pub(super) fn until<T>(
    kubectl: &Path,
    namespace: &str,
    kind: &str,
    mut look: impl FnMut(&mut Value) -> Option<T>,
) -> Result<Option<T>> {
    let start = Instant::now();
    let mut changed = start;
    let patience = |changed: Instant| {
        ENOUGH.saturating_sub(start.elapsed()).min(QUIET.saturating_sub(changed.elapsed()))
    };
    loop {
        let watch = Watch::start(kubectl, namespace, kind)?;
        loop {
            match watch.objects.recv_timeout(patience(changed)) {
                Ok(mut object) => {
                    if let Some(found) = look(&mut object) {
                        return Ok(Some(found));
                    }
                    changed = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                // The API server ends watches now and then, and may be away for a moment.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if patience(changed).is_zero() {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

struct Watch {
    kubectl: Child,
    objects: Receiver<Value>,
}

impl Watch {
    fn start(kubectl: &Path, namespace: &str, kind: &str) -> Result<Self> {
        let mut kubectl = Command::new(kubectl)
            .args(["get", kind, "--namespace", namespace, "--watch", "--output=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start kubectl")?;
        let output = kubectl.stdout.take().context("kubectl has no output")?;
        let (told, objects) = channel();
        std::thread::spawn(move || read(output, &told));
        Ok(Self { kubectl, objects })
    }
}

fn read(output: ChildStdout, told: &Sender<Value>) {
    let objects = serde_json::Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
    for object in objects.map_while(Result::ok) {
        if told.send(object).is_err() {
            return;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It has ended already, or does so now; there is nothing else to be done about it.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
