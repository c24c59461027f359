//! What must not be left of a build: mounts, processes, and in its store anything unfinished.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bed::{Bed, text};

/// What commands of a bed's builds carry in their environment.
pub(crate) fn mark(bed: &Bed) -> String {
    let folder = bed.path("x");
    let name = folder.parent().and_then(Path::file_name).unwrap_or_default();
    format!("SLIPWAY_SOAK={}", name.display())
}

/// Waits until nothing is left of the builds over a store that have ended; fails where something stays.
pub(crate) fn nothing_runs(bed: &Bed, store: &Path) {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let left = [mounts(store), processes(bed, store)].concat();
        if left.is_empty() {
            return;
        }
        // What was killed takes a moment to die, and the disk takes one to settle.
        assert!(Instant::now() < end, "left behind: {left:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn mounts(store: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = format!("{}/", store.display());
    mounts.lines().filter(|line| line.contains(&below)).map(str::to_owned).collect()
}

/// Finds processes of the program, of commands that it ran, and any that still has a mount of the store.
fn processes(bed: &Bed, store: &Path) -> Vec<String> {
    let program = fs::canonicalize(bed.slipway()).unwrap();
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) || name == own {
            continue;
        }
        let place = entry.path();
        let has = |file: &str, what: &[u8]| {
            fs::read(place.join(file)).is_ok_and(|bytes| bytes.windows(what.len()).any(|part| part == what))
        };
        let ours = fs::read_link(place.join("exe")).is_ok_and(|exe| exe == program)
            || has("environ", mark(bed).as_bytes())
            || has("mountinfo", format!("{}/", store.display()).as_bytes());
        if ours {
            let words = fs::read(place.join("cmdline")).unwrap_or_default();
            found.push(format!("process {name}: {}", String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    found
}

/// Runs `slipway cache`, which must succeed.
pub(crate) fn cache(bed: &Bed, store: &Path, words: &[&str]) -> String {
    let output = bed.program(store, "cache").args(words).output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "slipway cache {words:?}: {text}");
    text
}

/// Asserts that a store that nobody uses is whole, and that nothing unfinished is in it after a collection.
pub(crate) fn is_clean(bed: &Bed, store: &Path) {
    let seen = cache(bed, store, &["verify"]);
    assert!(!seen.contains("damaged"), "{seen}");
    // Removes nothing but what ended processes left.
    cache(bed, store, &["gc", "--max-age", "1000d"]);
    for area in ["tmp", "trash", "flights", "leases"] {
        let left: Vec<_> =
            fs::read_dir(store.join(area)).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{area}: {left:?}");
    }
    let known = [
        "blobs",
        "builds",
        "context-hashes",
        "flights",
        "forms",
        "layers",
        "leases",
        "lock",
        "memos",
        "mounts",
        "records",
        "tmp",
        "trash",
        "version",
    ];
    for entry in fs::read_dir(store).unwrap().flatten() {
        let name = entry.file_name();
        assert!(
            known.iter().any(|known| known.as_bytes() == name.as_bytes()),
            "{} in the store",
            name.display()
        );
    }
}
