//! Follows the objects of a namespace, so that their end is seen when it comes, at no cost to the builds.

use std::{
    collections::BTreeMap,
    io::BufReader,
    process::{Child, ChildStdout, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::Access;

/// One `kubectl get --watch`, and what it told last of each object.
pub(super) struct Watch {
    kubectl: Child,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    objects: Mutex<Seen>,
    more: Condvar,
}

#[derive(Default)]
struct Seen {
    by_name: BTreeMap<String, Value>,
    ended: bool,
}

impl Told {
    /// What was told so far; a thread that ended while it wrote leaves what it had written.
    fn so_far(&self) -> MutexGuard<'_, Seen> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Begins with what is there.
    pub(super) fn start(access: &Access, namespace: &str, kind: &str) -> Result<Self> {
        let mut kubectl = access
            .command()
            .args(["get", kind, "--namespace", namespace, "--watch", "--output=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start kubectl")?;
        let output = kubectl.stdout.take().context("kubectl has no output")?;
        let told = Arc::new(Told::default());
        let teller = Arc::clone(&told);
        thread::spawn(move || read(output, &teller));
        Ok(Self { kubectl, told })
    }

    /// The object as it was told last.
    pub(super) fn get(&self, name: &str) -> Option<Value> {
        self.told.so_far().by_name.get(name).cloned()
    }

    /// Waits until an object is as `done` wants it.
    pub(super) fn wait(&self, name: &str, limit: Duration, done: impl Fn(&Value) -> bool) -> Result<Value> {
        let start = Instant::now();
        let mut seen = self.told.so_far();
        loop {
            if let Some(object) = seen.by_name.get(name).filter(|object| done(object)) {
                return Ok(object.clone());
            }
            let left = limit.saturating_sub(start.elapsed());
            if seen.ended || left.is_zero() {
                let last = seen.by_name.get(name).map_or(Value::Null, |object| object["status"].clone());
                bail!("no end of {name} after {:.0} s; its status: {last}", start.elapsed().as_secs_f64());
            }
            seen = self.told.more.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Takes down what kubectl tells, until it ends.
fn read(output: ChildStdout, told: &Told) {
    let objects = serde_json::Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
    for object in objects.map_while(Result::ok) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        told.so_far().by_name.insert(name, object);
        told.more.notify_all();
    }
    told.so_far().ended = true;
    told.more.notify_all();
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It has ended already, or does so now; there is nothing else to be done about it.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
