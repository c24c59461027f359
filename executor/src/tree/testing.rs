//! Trees as text, for tests: what to make, and what is there.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::dir::{Dir, set_owner_and_mode, set_time};
use super::meta::{Kind, Time};
use super::stack::{LayerStack, UnionDir};
use super::{Owner, xattr};

/// The time of all that [`make`] makes.
pub(crate) const MADE: Time = Time { seconds: 1_000_000, nanos: 0 };
/// The time that tests take for now.
pub(crate) const NOW: Time = Time { seconds: 2_000_000, nanos: 0 };

/// Directories of one test.
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Makes a tree and returns its directory.
    pub(crate) fn tree(&self, name: &str, spec: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        make(&path, spec);
        path
    }

    /// Makes layers, topmost first, and opens them.
    pub(crate) fn stack(&self, specs: &[&str]) -> LayerStack {
        let unique = fs::read_dir(self.dir.path()).unwrap().count();
        let layers: Vec<PathBuf> = specs
            .iter()
            .enumerate()
            .map(|(n, spec)| self.tree(&format!("layer-{unique}-{n}"), spec))
            .collect();
        LayerStack::open(layers).unwrap()
    }
}

/// Makes a tree. A line is a path and what it is:
/// `a/` directory, `a = text` file, `a -> b` link, `a => b` second name of `b`, `a !` gone, `a/ opaque`, `a fifo`.
/// At the end there may be a mode and an owner: `a = text 0600 5:6`.
pub(crate) fn make(root: &Path, spec: &str) {
    let mut made: Vec<(PathBuf, Option<u32>, Option<Owner>)> = Vec::new();
    for line in spec.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let owner = words
            .last()
            .and_then(|word| word.split_once(':'))
            .and_then(|(uid, gid)| Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? }));
        if owner.is_some() {
            words.pop();
        }
        let mode = words.last().filter(|word| (4..=5).contains(&word.len()) && word.starts_with('0'));
        let mode = mode.and_then(|word| u32::from_str_radix(word, 8).ok());
        if mode.is_some() {
            words.pop();
        }
        let path = root.join(words[0]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match &words[1..] {
            [] | ["opaque"] => {
                fs::create_dir_all(&path).unwrap();
                if words.len() > 1 {
                    xattr::set_opaque(Dir::open(&path).unwrap()).unwrap();
                }
            }
            ["!"] => {
                let parent = Dir::open(path.parent().unwrap()).unwrap();
                parent.make_whiteout(path.file_name().unwrap()).unwrap();
                continue;
            }
            ["fifo"] => {
                let parent = Dir::open(path.parent().unwrap()).unwrap();
                parent.make_node(path.file_name().unwrap(), Kind::Fifo, mode.unwrap_or(0o644), 0).unwrap();
                continue;
            }
            ["->", target] => {
                symlink(target, &path).unwrap();
                let parent = Dir::open(path.parent().unwrap()).unwrap();
                parent.set_time(path.file_name().unwrap(), MADE).unwrap();
                continue;
            }
            ["=>", first] => {
                fs::hard_link(root.join(first), &path).unwrap();
                continue;
            }
            ["=", text @ ..] => fs::write(&path, text.join(" ")).unwrap(),
            other => panic!("not understood: {other:?}"),
        }
        made.push((path, mode, owner));
    }
    for (path, mode, owner) in &made {
        let file = fs::File::open(path).unwrap();
        let usual = if path.is_dir() { 0o755 } else { 0o644 };
        set_owner_and_mode(&file, owner.unwrap_or_default(), mode.unwrap_or(usual)).unwrap();
    }
    set_times(root);
}

fn set_times(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            set_times(&entry.path());
        } else if entry.file_type().unwrap().is_file() {
            set_time(fs::File::open(entry.path()).unwrap(), MADE).unwrap();
        }
    }
    set_time(fs::File::open(directory).unwrap(), MADE).unwrap();
}

/// Shows a tree in the same words, with what is unusual: modes but 0755 and 0644, owners but root, times but those of
/// [`make`] (`now`, or the number).
pub(crate) fn show(stack: &LayerStack) -> Vec<String> {
    let mut lines = Vec::new();
    show_dir(&stack.root().unwrap(), &mut lines);
    lines
}

/// Shows what is in one layer, marks included.
pub(crate) fn show_layer(layer: &Path) -> Vec<String> {
    show(&LayerStack::plain(layer).unwrap())
}

fn show_dir(dir: &UnionDir, lines: &mut Vec<String>) {
    for (name, _) in dir.list().unwrap().iter() {
        // The kernel lists a whiteout of nothing in a directory that only one layer has, and then does not find it.
        let Some(node) = dir.get(name).unwrap() else { continue };
        let meta = node.meta;
        let path = dir.path().join(name);
        let mut line = path.to_string_lossy()[1..].to_owned();
        let mut usual = 0o644;
        match meta.kind {
            Kind::Directory => {
                line.push('/');
                usual = 0o755;
                if dir.enter_node(name, &node).unwrap().is_opaque().unwrap() {
                    line.push_str(" opaque");
                }
            }
            Kind::File => {
                let text = std::io::read_to_string(dir.open_file(name, &node).unwrap()).unwrap();
                let _ = write!(line, " = {text}");
                if meta.nlink > 1 {
                    let _ = write!(line, " x{}", meta.nlink);
                }
            }
            Kind::Symlink => {
                let target = dir.read_link(name, &node).unwrap();
                line.push_str(" -> ");
                line.push_str(&String::from_utf8_lossy(target.as_os_str().as_bytes()));
                usual = 0o777;
            }
            Kind::Char if meta.rdev == 0 => {
                line.push_str(" !");
                lines.push(line);
                continue;
            }
            Kind::Char => line.push_str(" char"),
            Kind::Block => line.push_str(" block"),
            Kind::Fifo => line.push_str(" fifo"),
            Kind::Socket => line.push_str(" socket"),
        }
        if meta.mode != usual {
            let _ = write!(line, " {:04o}", meta.mode);
        }
        if (meta.uid, meta.gid) != (0, 0) {
            let _ = write!(line, " {}:{}", meta.uid, meta.gid);
        }
        match meta.mtime {
            MADE => {}
            NOW => line.push_str(" now"),
            Time { seconds, .. } => {
                let _ = write!(line, " @{seconds}");
            }
        }
        lines.push(line);
        if meta.is_dir() {
            show_dir(&dir.enter_node(name, &node).unwrap(), lines);
        }
    }
}

/// Splits an expected tree into lines.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Ends a thread that disturbs a test, also when the test fails.
pub(crate) struct Stop<'a>(pub(crate) &'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
