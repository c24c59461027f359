//! Layer archives, plain and packed. Whatever is read is written and read again as the same; and now and then GNU tar lists
//! what we read, with the same names in the same order.
#![no_main]

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use slipway_oci::archive::{Entry, Limits, Reader, Writer};
use slipway_oci::compress::Decoder;

/// One archive in so many is given to GNU tar too: starting a program takes as long as thousands of archives.
const ASK_TAR: u64 = 64;

fn limits() -> Limits {
    Limits { entries: 2000, extended: 1 << 16, unpacked: 4 << 20, ..Limits::default() }
}

fn read(bytes: &[u8]) -> Option<Vec<(Entry, Vec<u8>)>> {
    let mut reader = Reader::new(bytes, limits());
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().ok()? {
        assert!(!entry.path.starts_with(b"/") && !entry.path.split(|byte| *byte == b'/').any(|part| part == b".."));
        assert!(entry.mode <= 0o7777 && !entry.path.contains(&0));
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).ok()?;
        entries.push((entry, content));
    }
    Some(entries)
}

fn written(entries: &[(Entry, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        // Some of what others write we refuse to write.
        writer.append_file(entry, &mut &content[..]).ok()?;
    }
    writer.finish().ok()
}

/// Cleans a name as we do.
fn clean(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// What GNU tar lists, where it has nothing to complain about.
fn listed_by_tar(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut child = Command::new("tar")
        .args(["--quoting-style=literal", "--show-transformed-names", "-Ptf", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // An archive of this size fits into the pipe.
    drop(child.stdin.take()?.write_all(bytes));
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| {
        output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(clean).collect()
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if let Ok(mut decoder) = Decoder::new(data, limits()) {
        let _ = std::io::copy(&mut decoder, &mut std::io::sink());
    }
    let Some(entries) = read(data) else { return };
    if let Some(bytes) = written(&entries) {
        let again = read(&bytes).expect("what we wrote is refused");
        // Fractions of seconds are not kept.
        let plain = |all: &[(Entry, Vec<u8>)]| {
            all.iter()
                .map(|(entry, content)| (entry.path.clone(), entry.kind.clone(), entry.mode, entry.uid, content.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(plain(&again), plain(&entries));
        assert_eq!(written(&again), Some(bytes), "written twice, it is not the same");
    }
    let asked = COUNT.fetch_add(1, Ordering::Relaxed);
    if asked.is_multiple_of(ASK_TAR) && data.len() < 60_000 && !entries.iter().any(|(entry, _)| entry.path.contains(&b'\n')) {
        let ours: Vec<Vec<u8>> = entries.iter().map(|(entry, _)| entry.path.clone()).filter(|path| !path.is_empty()).collect();
        if let Some(theirs) = listed_by_tar(data) {
            let theirs: Vec<Vec<u8>> = theirs.into_iter().filter(|path| !path.is_empty()).collect();
            assert_eq!(ours, theirs, "GNU tar reads other entries");
        }
    }
});
