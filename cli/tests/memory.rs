//! Peaks of memory of the engine while it builds and pushes large layers and layers of many files.
//!
//! What is measured is the high-water mark of the program itself and of its `init`; commands of the Dockerfile are not counted.
//! `cargo xtask memory` is the long form (`SLIPWAY_MEMORY=long`): 4 GB, and 500,000 files. `SLIPWAY_MEMORY_ONLY` names a case by
//! a part of its name, `SLIPWAY_MEMORY_MIB` and `SLIPWAY_MEMORY_THOUSANDS` say how large it is.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may

#[path = "soak/bed.rs"]
mod bed;
mod sink;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bed::Bed;

/// What the engine may take, in KiB.
const LIMIT: u64 = 150 << 10;

struct Sizes {
    /// MiB of a large layer.
    mib: u64,
    /// Directories of a thousand files each.
    thousands: u64,
}

fn sizes() -> Sizes {
    let long = std::env::var("SLIPWAY_MEMORY").is_ok_and(|word| word == "long");
    let (mib, thousands) = if long { (4096, 500) } else { (96, 12) };
    let number =
        |name: &str, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    Sizes { mib: number("SLIPWAY_MEMORY_MIB", mib), thousands: number("SLIPWAY_MEMORY_THOUSANDS", thousands) }
}

const HEAD: &str =
    "FROM scratch AS shell\nCOPY busybox /bin/\nENV PATH=/bin\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n";

/// Runs a build and returns the sum of the peaks of the program and of its `init`, in KiB.
fn peak(bed: &Bed, build: &mut Command) -> u64 {
    let begun = Instant::now();
    let mut child = build.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = child.stderr.take().unwrap();
    let listener = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut said, &mut text).map(|_| text)
    });
    let (mut own, mut helper) = (0, 0);
    let program = fs::canonicalize(bed.slipway()).unwrap();
    while child.try_wait().unwrap().is_none() {
        own = own.max(high_water(&format!("/proc/{}", child.id())));
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        for id in children.split_whitespace() {
            let place = format!("/proc/{id}");
            if fs::read_link(Path::new(&place).join("exe")).is_ok_and(|exe| exe == program) {
                helper = helper.max(high_water(&place));
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = child.wait().unwrap();
    let said = listener.join().unwrap().unwrap();
    assert!(status.success(), "{said}");
    println!("  {own} + {helper} KiB in {:.0} s", begun.elapsed().as_secs_f64());
    own + helper
}

fn high_water(place: &str) -> u64 {
    let status = fs::read_to_string(format!("{place}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[test]
fn the_engine_stays_small() {
    let Some(bed) = Bed::new("memory") else { return };
    let Sizes { mib, thousands } = sizes();
    let sink = sink::Sink::start();
    let thousand = "for f in 0 1 2 3 4 5 6 7 8 9; do for g in 0 1 2 3 4 5 6 7 8 9; do for h in 0 1 2 3 4 5 6 7 8 9; do \
                    echo $f$g$h > /many/$d/file-$f$g$h.txt; done; done; done";
    let many = format!(
        "RUN busybox mkdir /many; d=0; while [ $d -lt {thousands} ]; do busybox mkdir /many/$d; {thousand}; d=$((d+1)); done\n"
    );
    let files = format!("{HEAD}{many}");
    let text = "busybox yes 'the quick brown fox jumps over the lazy dog 0123456789' | busybox head -c";
    let cases = [
        (
            "a layer that does not compress",
            format!("{HEAD}RUN busybox head -c {} /dev/urandom > /large\n", mib << 20),
        ),
        ("a layer of text", format!("{HEAD}RUN {text} {} > /large\n", mib << 20)),
        ("a layer of many files", files.clone()),
        (
            "many files, copied from a stage, changed and copied again",
            format!(
                "{files}FROM shell AS second\nCOPY --from=shell /many /copied\nRUN busybox chmod 600 /copied/0/file-000.txt\n\
                 FROM second\nCOPY --from=shell /many /again\nCOPY --from=second --chown=5:5 /copied /third\n"
            ),
        ),
    ];
    let mut peaks = vec![];
    let only = std::env::var("SLIPWAY_MEMORY_ONLY").unwrap_or_default();
    for (name, dockerfile) in cases.iter().filter(|(name, _)| name.contains(&only)) {
        println!("{name}:");
        let store = bed.path("store");
        let context = bed.context("context", dockerfile);
        let mut build = bed.build(&store, &context);
        build.args(["--push", "-t", &format!("{}/memory:1", sink.host())]);
        peaks.push((*name, peak(&bed, &mut build)));
        if name.starts_with("many") {
            // A context of as many files: read for the first time, and known from before.
            for name in ["many files from the context", "the same again, one of them changed"] {
                println!("{name}:");
                let tree = bed.context("tree", "FROM scratch\nCOPY . /all\n");
                lay_out(&tree, thousands, name.len() as u64);
                let mut build = bed.build(&store, &tree);
                build.args(["--push", "-t", &format!("{}/memory:2", sink.host())]);
                peaks.push((name, peak(&bed, &mut build)));
            }
        }
        remove(&store);
    }
    let over: Vec<_> = peaks.iter().filter(|(_, peak)| *peak > LIMIT).collect();
    assert!(over.is_empty(), "more than {LIMIT} KiB: {over:?}");
}

/// Removes a store that may still be written out in the background.
fn remove(store: &Path) {
    let mut tries = 0;
    while let Err(error) = fs::remove_dir_all(store) {
        assert!(tries < 50, "{error}");
        tries += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Makes the files of a large context, all in one directory.
fn lay_out(context: &Path, thousands: u64, salt: u64) {
    fs::create_dir_all(context.join("flat")).unwrap();
    for number in 0..thousands * 1000 {
        let path = context.join(format!("flat/file-{number}.txt"));
        if !path.exists() {
            fs::write(path, number.to_string()).unwrap();
        }
    }
    fs::write(context.join("flat/file-0.txt"), salt.to_string()).unwrap();
}
