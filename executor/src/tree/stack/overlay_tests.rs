//! The same layers, seen by this code and by the kernel's overlayfs.

use std::path::Path;
use std::process::Command;

use crate::tree::stack::LayerStack;
use crate::tree::testing::{Desk, show};
use crate::tree::upper::Upper;

/// As many sets of layers as are compared.
const ROUNDS: usize = 60;

/// Mounts layers with the options of the sandbox; none where this process may not mount.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(layers: &[std::path::PathBuf], at: &'a Path) -> Option<Self> {
        let lowers: Vec<&str> = layers.iter().map(|layer| layer.to_str().unwrap()).collect();
        let options = format!("lowerdir={},userxattr", lowers.join(":"));
        let mounted =
            Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(at).output();
        mounted.ok().filter(|output| output.status.success()).map(|_| Self(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// A small generator of trees: every kind of thing at a few names, so that layers get in each other's way.
fn random_layer(dice: &mut u64) -> String {
    let mut roll = |sides: u64| {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice % sides
    };
    let mut taken: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for _ in 0..=roll(8) {
        let depth = roll(3) + 1;
        let path: Vec<String> = (0..depth).map(|_| format!("{}", (b'a' + roll(3) as u8) as char)).collect();
        let path = path.join("/");
        let clashes = |other: &String| {
            *other == path || path.starts_with(&format!("{other}/")) || other.starts_with(&format!("{path}/"))
        };
        if taken.iter().any(clashes) {
            continue;
        }
        let what = match roll(7) {
            0 | 1 => format!("{path} = {}", roll(100)),
            2 => format!("{path} !"),
            3 => format!("{path}/ opaque"),
            4 => format!("{path}/ 0{}", 700 + roll(8)),
            5 => format!("{path} -> a/b"),
            _ => format!("{path}/"),
        };
        taken.push(path);
        lines.push(what);
    }
    lines.join("\n")
}

#[test]
fn the_kernel_sees_the_same() {
    let mut dice = 0x5eed_1234;
    let mut compared = 0;
    for round in 0..ROUNDS {
        let desk = Desk::new();
        let specs: Vec<String> = (0..3).map(|_| random_layer(&mut dice)).collect();
        let layers: Vec<_> =
            specs.iter().enumerate().map(|(n, spec)| desk.tree(&format!("l{n}"), spec)).collect();
        let at = desk.tree("at", "");
        let Some(mounted) = Mounted::new(&layers, &at) else { continue };
        let strip = |lines: Vec<String>| {
            lines.into_iter().map(|line| line.replace(" opaque", "")).collect::<Vec<_>>()
        };
        let ours = strip(show(&LayerStack::open(&layers).unwrap()));
        let kernels = strip(show(&LayerStack::plain(&at).unwrap()));
        assert_eq!(ours, kernels, "round {round}: {specs:#?}");
        compared += 1;

        // What is written through `Upper` shows the same to both, too.
        drop(mounted);
        let base = LayerStack::open(&layers).unwrap();
        let up = desk.tree("up", "");
        let mut upper = Upper::open(&up, &base).unwrap();
        let fresh = crate::tree::upper::Fresh {
            owner: crate::tree::Owner::default(),
            mode: 0o711,
            time: crate::tree::testing::MADE,
        };
        let _ = upper.make_path(Path::new("/a/b/c"), fresh);
        let _ = upper.make_path(Path::new("/c/new"), fresh);
        upper.finish().unwrap();
        let mut all = vec![up];
        all.extend(layers);
        let Some(_mounted) = Mounted::new(&all, &at) else { continue };
        let ours = strip(show(&LayerStack::open(&all).unwrap()));
        assert_eq!(
            ours,
            strip(show(&LayerStack::plain(&at).unwrap())),
            "round {round}, with an upper: {specs:#?}"
        );
    }
    // Where mounts are forbidden there is nothing to compare with.
    assert!(compared == ROUNDS || !may_mount(), "{compared} of {ROUNDS} rounds were compared");
}

/// Tells whether this process has the capability that mounts need.
fn may_mount() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << 21) != 0
}
