//! Many processes over one store, killed at random moments: what is there is whole, what is held stays, and one works at a time.
//!
//! The workers are this test program itself, started again with a variable set.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use slipway_oci::Digest;
use slipway_store::{Flight, LayerId, LayerMeta, Policy, Record, Sharing, Store};

const ROOT: &str = "SLIPWAY_STORM_ROOT";
const KEYS: u64 = 12;
const FILES: u64 = 20;

/// A small generator: the storm needs variety and no quality.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn key(number: u64) -> Digest {
    Digest::of(format!("key {number}"))
}

/// Adds a line to one of the files where the parent looks.
fn tell(root: &Path, file: &str, what: &str) {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(root.join(file)).unwrap();
    writeln!(file, "{} {what}", std::process::id()).unwrap();
}

/// Says that a promise was broken.
fn broken(root: &Path, what: &str) {
    tell(root, "broken", what);
}

fn is_alive(pid: &str) -> bool {
    /// `PF_EXITING` of the kernel: a process that is being killed has it before it lets go of its locks.
    const EXITING: u64 = 4;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: state, five numbers, flags.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest);
    let flags = after_name.and_then(|rest| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & EXITING == 0)
}

/// Does something that nobody else may do at the same time.
fn alone(root: &Path, name: &str, work: impl FnOnce()) {
    let mark = root.join(format!("alone-{name}"));
    let me = std::process::id().to_string();
    if let Ok(other) = fs::read_to_string(&mark)
        && other != me
        // Empty is the mark of one that was killed while it wrote it.
        && !other.is_empty()
        && is_alive(&other)
        && fs::read_to_string(&mark).is_ok_and(|now| now == other)
    {
        broken(root, &format!("{name}: together with {other}"));
    }
    fs::write(&mark, &me).unwrap();
    work();
    let _ = fs::remove_file(&mark);
}

fn is_whole(layer: &Path) -> bool {
    (0..FILES).all(|n| {
        fs::read_to_string(layer.join(format!("f{n}"))).is_ok_and(|text| text == format!("content {n}"))
    })
}

fn make(store: &Store, root: &Path, number: u64) {
    let id = LayerId::step(key(number));
    alone(root, &format!("key{number}"), || {
        let writer = store.layer_writer(&id).unwrap();
        for n in 0..FILES {
            fs::write(writer.fs().join(format!("f{n}")), format!("content {n}")).unwrap();
        }
        writer.commit(LayerMeta { size: 100, entries: FILES, diff_id: None }).unwrap();
        let record = Record {
            layer: Some(id),
            created: Timestamp::UNIX_EPOCH,
            seconds: 0.1,
            size: 100,
            parts: Vec::new(),
            made: None,
            content: None,
        };
        store.put_record(&key(number), &record).unwrap();
        tell(root, "made", &number.to_string());
    });
}

fn work(root: &Path) {
    let mut dice = Dice(u64::from(std::process::id()) * 7919 + 1);
    loop {
        let store = Store::open(root.join("store")).unwrap();
        for _ in 0..20 {
            let number = dice.roll(KEYS);
            let id = LayerId::step(key(number));
            match dice.roll(10) {
                0 => {
                    let policy = if dice.roll(4) == 0 {
                        Policy::everything()
                    } else {
                        Policy { max_bytes: Some(500), ..Policy::default() }
                    };
                    store.collect(&policy, SystemTime::now()).unwrap();
                }
                1 => {
                    store.put_blob(&vec![number as u8; 50_000]).unwrap();
                }
                2 => {
                    let mounts = store.mounts("ns").unwrap();
                    if let Some(lease) = mounts.try_take("cache", Sharing::Locked, &mut |_| Ok(())).unwrap() {
                        alone(root, "mount", || fs::write(lease.path().join("x"), "x").unwrap());
                    }
                }
                3 => drop(store.layer_writer(&id).unwrap()),
                4 => store.put_memo(&format!("memo {number}"), &vec![number; 100]).unwrap(),
                5 if store.hold_layer(&id).unwrap() => {
                    std::thread::sleep(Duration::from_millis(dice.roll(5)));
                    if !is_whole(&store.layer_path(&id)) {
                        broken(root, &format!("{id} was held and is not whole"));
                    }
                }
                _ => {
                    let flight = store.wait(&key(number), Duration::from_mins(1), &|| false).unwrap();
                    match flight {
                        Flight::Mine(_guard) => make(&store, root, number),
                        Flight::Done(_) => {}
                        Flight::Theirs => broken(root, "waited a minute for a key"),
                    }
                }
            }
        }
    }
}

fn start(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["a_worker", "--exact", "--nocapture"])
        .env(ROOT, root)
        .stdout(Stdio::null())
        .stderr(fs::OpenOptions::new().append(true).create(true).open(root.join("errors")).unwrap())
        .spawn()
        .unwrap()
}

/// Not a test by itself: what the storm starts.
#[test]
fn a_worker() {
    if let Some(root) = std::env::var_os(ROOT) {
        work(&PathBuf::from(root));
    }
}

#[test]
fn whatever_is_killed_the_store_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let seconds = std::env::var("SLIPWAY_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut dice = Dice(0x5eed);
    let mut workers: Vec<Child> = (0..6).map(|_| start(root)).collect();
    let mut killed = 0;
    while Instant::now() < end || killed < 20 {
        std::thread::sleep(Duration::from_millis(dice.roll(60)));
        let index = dice.roll(workers.len() as u64) as usize;
        let ended = workers[index].try_wait().unwrap();
        assert!(ended.is_none(), "a worker failed: {}", fs::read_to_string(root.join("errors")).unwrap());
        workers[index].kill().unwrap();
        workers[index].wait().unwrap();
        workers[index] = start(root);
        killed += 1;
    }
    for worker in &mut workers {
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    assert_eq!(fs::read_to_string(root.join("broken")).unwrap_or_default(), "");

    let store = Store::open(root.join("store")).unwrap();
    let seen = store.verify().unwrap();
    assert_eq!(seen.damaged, Vec::<String>::new());
    // How much of it is there now is another question: the last one who was killed may have just collected everything.
    let made = fs::read_to_string(root.join("made")).unwrap_or_default().lines().count();
    assert!(made > 0, "nothing was ever made, {killed} workers were killed: {seen:?}");
    for id in store.layers().unwrap() {
        assert!(is_whole(&store.layer_path(&id)), "{id}");
    }
    for number in 0..KEYS {
        if let Some(record) = store.record(&key(number)) {
            assert!(store.has_layer(&record.layer.unwrap()));
        }
    }
    // Whatever the dead left behind can be cleaned up, and all can be made again.
    let later = SystemTime::now() + Duration::from_hours(2);
    store.collect(&Policy::everything(), later).unwrap();
    assert_eq!(store.usage().unwrap().total(), 0);
    for area in ["tmp", "trash", "flights"] {
        let left: Vec<_> = fs::read_dir(root.join("store").join(area)).unwrap().collect();
        let own = usize::from(area == "tmp");
        assert!(left.len() <= own, "{area}: {left:?}");
    }
    make(&store, root, 0);
    assert!(matches!(store.begin(&key(0)).unwrap(), Flight::Done(_)));
}
