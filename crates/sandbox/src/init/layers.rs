//! The root file system: layers joined by overlayfs on a private staging place, and the way into it.
//!
//! Everything that only the preparation needs (short names for long layer paths, the content of secrets, mount points for
//! layers of which a part is mounted) lies on a tmpfs over `RunSpec::root`, which the entry into the root leaves behind.

use std::{
    collections::HashSet,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, symlinkat, unlinkat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
        OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
        fsopen, mount, mount_change, mount_move, move_mount, open_tree, unmount,
    },
    process::{chdir, chroot, fchdir, pivot_root},
};

use crate::{
    error::{During, Failure},
    spec::RunSpec,
    sys,
};

/// The places of the preparation.
pub(super) struct Stage {
    /// The private tmpfs.
    pub(super) scratch: OwnedFd,
    /// Its path outside.
    scratch_path: PathBuf,
    /// The root of the new file system.
    pub(super) root: OwnedFd,
}

/// Mounts the layers; nothing else is mounted in them yet.
pub(super) fn mount_root(spec: &RunSpec) -> Result<Stage, Failure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .during(|| "make the mounts of the new namespace private")?;
    let tmpfs = new_mount("tmpfs", &[("mode", "0700")], MountAttrFlags::MOUNT_ATTR_NODEV)?;
    attach_at(&tmpfs, &spec.root)?;
    let scratch = open_directory(&spec.root)?;
    mkdirat(&scratch, "root", Mode::RWXU).during(|| "make the root's mount point")?;
    if spec.lowers.is_empty() {
        let bind = clone_tree(&spec.upper)?;
        sys::mount_setattr(bind.as_fd(), u64::from(MountAttrFlags::MOUNT_ATTR_NODEV.bits()))
            .during(|| "forbid devices in the root file system")?;
        attach_at(&bind, &spec.root.join("root"))?;
    } else {
        let work = spec.work.join("overlay");
        std::fs::create_dir(&work).during(|| format!("make `{}`", work.display()))?;
        let target = spec.root.join("root");
        join(&spec.lowers, Some((&spec.upper, &work)), &spec.root, &target)?;
    }
    let root = openat(&scratch, "root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .during(|| "open the root file system")?;
    Ok(Stage { scratch, scratch_path: spec.root.clone(), root })
}

impl Stage {
    /// Makes an empty directory of the scratch place; returns its path.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        mkdirat(&self.scratch, name, Mode::RWXU).during(|| format!("make the scratch directory `{name}`"))?;
        Ok(self.scratch_path.join(name))
    }

    /// Returns the path of the scratch place.
    pub(super) fn path(&self) -> &Path {
        &self.scratch_path
    }
}

/// Mounts layers, topmost first, joined at `target`; with a writable layer if `change` gives one (upper, work).
///
/// `userxattr` always: what overlayfs notes in a layer has the same form whether root or a user namespace mounted it. No index
/// either, whatever the kernel's default: it would refuse a layer whose own mount is only just being taken down.
pub(super) fn join(
    lowers: &[PathBuf],
    change: Option<(&Path, &Path)>,
    scratch: &Path,
    target: &Path,
) -> Result<(), Failure> {
    let lowers = &without_repetition(lowers);
    match join_by_name(lowers, change) {
        Ok(mount) => attach_at(&mount, target),
        // No `lowerdir+` before Linux 6.5, or a filter without the newer calls: all in one string, with short names.
        Err((Errno::INVAL | Errno::NOSYS | Errno::PERM, first)) => {
            join_by_string(lowers, change, scratch, target).map_err(|second| {
                Failure::new(second.step, format!("{}; before that: {first}", second.detail))
            })
        }
        Err((_, first)) => Err(Failure::new("mount overlayfs", first)),
    }
}

/// The kernel refuses a directory that is given twice. What lies further down shows nothing that the upper one does not.
fn without_repetition(lowers: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    lowers.iter().filter(|lower| seen.insert(*lower)).cloned().collect()
}

fn join_by_name(lowers: &[PathBuf], change: Option<(&Path, &Path)>) -> Result<OwnedFd, (Errno, String)> {
    let plain = |error: Errno| (error, error.to_string());
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(plain)?;
    let told = |error: Errno| (error, said_by(&fs).unwrap_or_else(|| error.to_string()));
    for lower in lowers {
        fsconfig_set_string(&fs, "lowerdir+", lower.as_path())
            .map_err(|error| (error, format!("layer `{}`: {}", lower.display(), told(error).1)))?;
    }
    fsconfig_set_flag(&fs, "userxattr").map_err(told)?;
    fsconfig_set_string(&fs, "index", "off").map_err(told)?;
    if let Some((upper, work)) = change {
        fsconfig_set_string(&fs, "upperdir", upper)
            .map_err(|error| (error, format!("`{}`: {}", upper.display(), told(error).1)))?;
        fsconfig_set_string(&fs, "workdir", work)
            .map_err(|error| (error, format!("`{}`: {}", work.display(), told(error).1)))?;
        // No flush at the end and at each fsync: what a crash leaves of a step is thrown away, never used.
        fsconfig_set_flag(&fs, "volatile").map_err(told)?;
    }
    fsconfig_create(&fs).map_err(told)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV).map_err(plain)
}

/// Returns what the kernel wrote about a failed configuration.
fn said_by(fs: &OwnedFd) -> Option<String> {
    let mut buffer = [0; 1024];
    let mut lines = Vec::new();
    while let Ok(count) = rustix::io::read(fs, &mut buffer) {
        let line = String::from_utf8_lossy(&buffer[..count]).trim().to_owned();
        if count == 0 || lines.len() > 8 {
            break;
        }
        lines.push(line.trim_start_matches("e ").to_owned());
    }
    if lines.is_empty() { None } else { Some(lines.join("; ")) }
}

fn join_by_string(
    lowers: &[PathBuf],
    change: Option<(&Path, &Path)>,
    scratch: &Path,
    target: &Path,
) -> Result<(), Failure> {
    let here = rustix::process::getcwd(Vec::new()).during(|| "read the working directory")?;
    chdir(scratch).during(|| "enter the scratch place")?;
    let mut links = Vec::new();
    let mut link = |path: &Path, name: String| -> Result<String, Failure> {
        symlinkat(path, CWD, &name).during(|| format!("make a short name for `{}`", path.display()))?;
        links.push(name.clone());
        Ok(name)
    };
    let mut options = String::from("userxattr,index=off,lowerdir=");
    for (index, lower) in lowers.iter().enumerate() {
        let name = link(lower, format!("{index:x}"))?;
        options.push_str(if index == 0 { "" } else { ":" });
        options.push_str(&name);
    }
    if let Some((upper, work)) = change {
        for (key, path, name) in [(",upperdir=", upper, "u"), (",workdir=", work, "w")] {
            options.push_str(key);
            options.push_str(&link(path, name.into())?);
        }
    }
    let volatile = format!("{options},volatile");
    let options = std::ffi::CString::new(options).during(|| "put the mount options together")?;
    let volatile = std::ffi::CString::new(volatile).during(|| "put the mount options together")?;
    let result = mount("overlay", target, "overlay", MountFlags::NODEV, Some(volatile.as_c_str()))
        .or_else(|_| mount("overlay", target, "overlay", MountFlags::NODEV, Some(options.as_c_str())))
        .during(|| "mount overlayfs");
    for name in links {
        let _ = unlinkat(CWD, name, AtFlags::empty());
    }
    chdir(here.as_c_str()).during(|| "leave the scratch place")?;
    result
}

/// Makes a new file system of a type, not attached anywhere yet.
pub(super) fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Failure> {
    let step = || format!("mount a new {kind}");
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).during(step)?;
    let told = |error: Errno| {
        Failure::new(
            step(),
            said_by(&fs).map_or_else(|| error.to_string(), |said| format!("{error} ({said})")),
        )
    };
    for (key, value) in options {
        fsconfig_set_string(&fs, *key, *value).map_err(told)?;
    }
    if kind == "tmpfs" {
        // What lies here may be secret. Unknown before Linux 6.4, and not for a user namespace.
        let _ = fsconfig_set_flag(&fs, "noswap");
    }
    fsconfig_create(&fs).map_err(told)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(told)
}

/// Takes a copy of the mounts at a path of the outside, not attached anywhere yet.
pub(super) fn clone_tree(path: &Path) -> Result<OwnedFd, Failure> {
    // Recursive always: the kernel does not let a user namespace uncover what lies below a mount.
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).during(|| format!("take `{}` to mount it", path.display()))
}

/// The same for something open.
pub(super) fn clone_open(place: &OwnedFd) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(place, "", flags).during(|| "take a part of a tree to mount it")
}

/// Attaches a mount at a path of the outside.
pub(super) fn attach_at(mount: &OwnedFd, path: &Path) -> Result<(), Failure> {
    move_mount(mount, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .during(|| format!("attach a mount at `{}`", path.display()))
}

/// Opens a directory of the outside.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, Failure> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .during(|| format!("open `{}`", path.display()))
}

/// Makes the new root `/` and leaves everything else behind.
pub(super) fn enter_root(stage: Stage) -> Result<(), Failure> {
    let Stage { scratch, root, .. } = stage;
    fchdir(&root).during(|| "enter the root file system")?;
    drop((scratch, root));
    match pivot_root(".", ".") {
        // The old root lies on top of the new one now.
        Ok(()) => unmount(".", UnmountFlags::DETACH).during(|| "leave the old root file system")?,
        // Docker's seccomp profile has no rule for pivot_root, and an initramfs cannot be left that way.
        Err(Errno::PERM | Errno::NOSYS | Errno::INVAL) => {
            mount_move(".", "/").during(|| "move the root file system to `/`")?;
            chroot(".").during(|| "change to the root file system")?;
        }
        Err(error) => return Err(error).during(|| "change to the root file system"),
    }
    chdir("/").during(|| "enter the root file system")
}

/// Does to the layers of a probe what a build does: removes a file, and replaces a directory.
pub(super) fn change_as_builds_do(stage: &Stage) -> Result<(), Failure> {
    let step = || "change a file of a lower layer through overlayfs";
    unlinkat(&stage.root, "file", AtFlags::empty()).during(step)?;
    unlinkat(&stage.root, "directory/file", AtFlags::empty()).during(step)?;
    unlinkat(&stage.root, "directory", AtFlags::REMOVEDIR).during(step)?;
    mkdirat(&stage.root, "directory", Mode::RWXU).during(step)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The form for kernels before 6.5, on a mount namespace of this test's thread.
    #[test]
    fn joins_by_string_what_has_odd_and_long_names() {
        if !rustix::process::geteuid().is_root() || sys::unshare(libc::CLONE_NEWNS).is_err() {
            eprintln!("not tried: needs the right to mount");
            return;
        }
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let lowers: Vec<PathBuf> =
            (0..120).map(|index| make(&format!("{index}:,\\{}", "x".repeat(100)))).collect();
        for (index, lower) in lowers.iter().enumerate() {
            fs::write(lower.join("which"), index.to_string()).unwrap();
            fs::write(lower.join(format!("f{index}")), "").unwrap();
        }
        let [upper, work, scratch, target] = ["upper:,", "work", "scratch", "target"].map(make);
        join_by_string(&lowers, Some((&upper, &work)), &scratch, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("which")).unwrap(), "0");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 121);
        fs::remove_file(target.join("f119")).unwrap();
        unmount(&target, UnmountFlags::empty()).unwrap();
        assert!(fs::symlink_metadata(upper.join("f119")).is_ok());
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    }
}
