//! A volume that is too small: old things go first, what fits is built, and what does not gives a clear error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::alone;
use crate::bed::{Bed, text};
use crate::left;

const SIZE: &str = "64.0 MiB";

/// A volume in memory, unmounted at the end.
struct Volume(PathBuf);

impl Volume {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let options = "size=64m,mode=755";
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).output().unwrap();
        if mounted.status.success() {
            return Some(Self(path));
        }
        println!("disk: skipped: only root can mount a small volume: {}", text(&mounted).trim());
        None
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()), "still in use");
    }
}

/// A step that makes so many MiB that do not compress.
fn step(mib: u64, what: &str) -> String {
    format!("RUN : {what}; busybox head -c {} /dev/urandom > /{what}\n", mib << 20)
}

fn dockerfile(mark: &str, steps: &[String]) -> String {
    format!(
        "FROM scratch\nCOPY busybox /bin/\nENV PATH=/bin {mark}\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n{}",
        steps.concat()
    )
}

struct Case {
    /// Unmounted before the folder that it is in is removed.
    volume: Volume,
    bed: Bed,
    store: PathBuf,
}

impl Case {
    fn build(&self, name: &str, steps: &[String], words: &[&str]) -> (bool, String) {
        let context = self.bed.context(name, &dockerfile(&left::mark(&self.bed), steps));
        let output = self.bed.build(&self.store, &context).args(words).output().unwrap();
        left::nothing_runs(&self.bed, &self.store);
        (output.status.success(), text(&output))
    }

    /// Builds what cannot fit, and looks at what is said of it.
    fn is_told(&self, name: &str, steps: &[String], words: &[&str]) -> String {
        let (succeeded, said) = self.build(name, steps, words);
        assert!(!succeeded, "{name} cannot fit: {said}");
        let place = self.store.display().to_string();
        for word in ["no room is left on the volume of", &place, SIZE, "give the volume more room"] {
            assert!(said.contains(word), "{name} does not say `{word}`: {said}");
        }
        left::is_clean(&self.bed, &self.store);
        said
    }
}

#[test]
fn a_disk_that_fills_is_emptied_or_told_of() {
    let _alone = alone();
    let Some(bed) = Bed::new("disk") else { return };
    let Some(volume) = Volume::mount(bed.path("volume")) else { return };
    let case = Case { store: volume.0.join("store"), volume, bed };

    // Each fits, all of them do not: old ones make room.
    for number in 0..8 {
        let (succeeded, said) = case.build("fits", &[step(14, &format!("n{number}"))], &[]);
        assert!(succeeded, "{number}: {said}");
    }
    // One that needs nearly all of it, found out in the middle of a step, in the middle of a build.
    let (succeeded, said) = case.build("large", &[step(10, "first"), step(38, "second")], &[]);
    assert!(succeeded, "{said}");
    assert!(said.contains("of old cache"), "{said}");
    left::is_clean(&case.bed, &case.store);

    // RUN, COPY and packing that cannot fit.
    let said = case.is_told("run", &[step(80, "all")], &[]);
    assert!(said.contains("the command ended with exit code"), "{said}");
    let context = case.bed.context("copy", "FROM scratch\nCOPY large /\n");
    fs::write(context.join("large"), vec![7; 80 << 20]).unwrap();
    let output = case.bed.build(&case.store, &context).output().unwrap();
    assert!(
        !output.status.success() && text(&output).contains("no room is left on the volume of"),
        "{}",
        text(&output)
    );
    let dest = format!("type=oci,dest={}", case.bed.path("packed.tar").display());
    case.is_told("packing", &[step(40, "packed")], &["-o", &dest]);

    // Filled by somebody else: nothing can be built, all can be cleaned up, and then it goes on.
    let (succeeded, said) = case.build("before", &[step(10, "kept")], &[]);
    assert!(succeeded, "{said}");
    fill(&case.volume.0.join("foreign"));
    let (succeeded, said) = case.build("full", &[step(20, "more")], &[]);
    assert!(!succeeded && said.contains("no room is left on the volume of"), "{said}");
    fill(&case.volume.0.join("more"));
    left::cache(&case.bed, &case.store, &["prune"]);
    for name in ["foreign", "more"] {
        let _ = fs::remove_file(case.volume.0.join(name));
    }
    let (succeeded, said) = case.build("after", &[step(20, "again")], &[]);
    assert!(succeeded, "{said}");
    left::is_clean(&case.bed, &case.store);
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}
