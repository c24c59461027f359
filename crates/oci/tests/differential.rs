//! Damaged and deceptive archives, read by us and by GNU tar: where we read an archive, it reads the same entries.
//!
//! `SLIPWAY_DIFF_ROUNDS` makes it longer; `SLIPWAY_DIFF_GO` names a build of `peers/list.go` that is asked as well.

#![allow(clippy::unwrap_used, clippy::panic)] // a test: its helpers may fail loudly

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use slipway_oci::archive::{Entry, Kind, Limits, Mtime, Reader, Writer};

/// A small generator: the same archives on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

fn seed() -> Vec<u8> {
    let mut writer = Writer::new(vec![]);
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(120));
    for (path, kind, content) in [
        ("dir", Kind::Directory, &b""[..]),
        ("dir/file", Kind::File { size: 700 }, &[b'x'; 700][..]),
        (&long, Kind::File { size: 3 }, b"abc"),
        ("ünïcode", Kind::File { size: 0 }, b""),
        ("sym", Kind::Symlink { target: b"dir/file".to_vec() }, b""),
        ("hard", Kind::Hardlink { target: b"dir/file".to_vec() }, b""),
        ("null", Kind::Char { major: 1, minor: 3 }, b""),
        ("last", Kind::File { size: 512 }, &[b'y'; 512][..]),
    ] {
        let mut entry = Entry::new(path, kind, 0o644);
        entry.mtime = Mtime::at(1_000_000);
        if path == "ünïcode" {
            entry.xattrs.insert(b"user.a".to_vec(), b"b".to_vec());
            entry.uid = 5_000_000;
        }
        writer.append_file(&entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// Changes an archive so that it stays one more often than not.
fn mutate(archive: &mut Vec<u8>, random: &mut Random) {
    const TYPES: &[u8] = b"0123456789xgLKSVDMNX\0A";
    let start = random.below(archive.len() / 512) * 512;
    let digits = |random: &mut Random, field: &mut [u8]| {
        let value = [0, 1, 3, 511, 512, 513, 1024, 4096][random.below(8)];
        let last = field.len() - 1;
        field[..last].copy_from_slice(format!("{value:0last$o}").as_bytes());
    };
    match random.below(9) {
        0 => archive[start + 156] = TYPES[random.below(TYPES.len())],
        1 | 2 => digits(random, &mut archive[start + 124..start + 136]),
        3 => {
            let field = [0, 100, 108, 136, 157, 257, 329, 345, 386, 482][random.below(10)];
            archive[start + field] = random.below(256) as u8;
        }
        4 => {
            let from = random.below(archive.len() / 512) * 512;
            let block = archive[from..from + 512].to_vec();
            archive.splice(start..start, block);
        }
        5 => drop(archive.drain(start..start + 512)),
        6 => archive[start..start + 512].fill(0),
        // A digit of a record.
        7 => {
            let digit = archive[start..start + 512].iter().position(|b| *b == b'=').unwrap_or(0);
            archive[start + digit.saturating_sub(1)] = b"0123456789=pz"[random.below(13)];
        }
        _ => archive[start + random.below(512)] = b"\0 /.=\n19az"[random.below(10)],
    }
    if archive[start..].len() >= 512 {
        let block = &mut archive[start..start + 512];
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        block[154] = 0;
    }
}

/// Cleans a name as we do.
fn clean(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = vec![];
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

fn ours(archive: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut names = vec![];
    while let Some(entry) = reader.next_entry().ok()? {
        std::io::copy(&mut reader.content(), &mut std::io::sink()).ok()?;
        names.push(entry.path);
    }
    Some(names)
}

/// Lists an archive with a program; also says whether it succeeded.
fn theirs(program: &str, arguments: &[&str], archive: &[u8]) -> (bool, Vec<u8>) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), archive.to_vec());
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let mut out = vec![];
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    feeder.join().unwrap();
    (child.wait().unwrap().success(), out)
}

#[test]
fn what_we_read_gnu_tar_reads_the_same() {
    let rounds =
        std::env::var("SLIPWAY_DIFF_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400);
    let go = std::env::var("SLIPWAY_DIFF_GO").ok();
    let seed = seed();
    let (mut read, mut differences) = (0, vec![]);
    for round in 0..rounds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round + 1));
        let mut archive = seed.clone();
        for _ in 0..=random.below(3) {
            mutate(&mut archive, &mut random);
        }
        let Some(names) = ours(&archive) else { continue };
        read += 1;
        // A separator that no name has: one that has it is left out.
        if names.iter().any(|name| name.contains(&b'\n')) {
            continue;
        }
        let list = ["--quoting-style=literal", "--show-transformed-names", "-Ptf", "-"];
        let (good, out) = theirs("tar", &list, &archive);
        let listed: Vec<Vec<u8>> =
            out.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(clean).collect();
        if good && listed != names {
            differences.push((round, "GNU tar", names.clone(), listed));
        }
        if let Some(go) = &go {
            let (good, out) = theirs(go, &[], &archive);
            // What Go refuses, it does not misread.
            // A line an entry ends in a digest (links may have line ends); global headers stand among the entries.
            let ends_in_digest =
                |line: &&[u8]| line.len() > 12 && line[line.len() - 12..].iter().all(u8::is_ascii_hexdigit);
            let lines = out.split(|b| *b == b'\n').filter(ends_in_digest);
            let entries = lines.filter(|line| !String::from_utf8_lossy(line).contains(" g 0 0 0 ")).count();
            if good && entries != names.len() {
                let listed = out.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                differences.push((round, "Go", names, listed));
            }
        }
    }
    for (round, program, names, listed) in differences.iter().take(5) {
        let text = |names: &[Vec<u8>]| {
            names.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect::<Vec<_>>()
        };
        eprintln!("round {round}, {program}:\n  we:   {:?}\n  they: {:?}", text(names), text(listed));
        if let Ok(folder) = std::env::var("SLIPWAY_DIFF_KEEP") {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round + 1));
            let mut archive = seed.clone();
            for _ in 0..=random.below(3) {
                mutate(&mut archive, &mut random);
            }
            std::fs::write(format!("{folder}/{round}.tar"), archive).unwrap();
        }
    }
    assert!(differences.is_empty(), "{} archives are read differently", differences.len());
    assert!(read > rounds / 20, "only {read} of {rounds} were readable: the test says nothing");
}
