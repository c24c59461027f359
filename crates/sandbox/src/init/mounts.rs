//! The mounts that one command asks for.

use std::{
    fs,
    io::Write,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, openat},
    mount::{MountAttrFlags, MoveMountFlags, move_mount},
};

use super::layers::{Stage, clone_open, clone_tree, join, new_mount, open_directory};
use crate::{
    error::{During, Failure},
    spec::{Mount, MountSource, RunSpec},
    sys,
    walk::{Made, Missing, walk},
};

/// The path of something mounted, from the new root.
pub(super) type Attached = String;

const NODEV_NOSUID: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Attaches a mount inside the new root, making the place for it where `missing` says so.
pub(super) fn place(
    stage: &Stage,
    mount: &OwnedFd,
    target: &str,
    missing: Missing,
    made: &mut Vec<Made>,
    mounted: &mut Vec<Attached>,
) -> Result<(), Failure> {
    let found = walk(stage.root.as_fd(), target, missing, made)?;
    let step = || format!("mount on `{target}`");
    let is_directory =
        |fd: &OwnedFd| fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    match (is_directory(mount).during(step)?, is_directory(&found.fd).during(step)?) {
        (true, false) => return Err(Failure::new(step(), "it is a file, and the source a directory")),
        (false, true) => return Err(Failure::new(step(), "it is a directory, and the source a file")),
        _ if found.path == "/" => return Err(Failure::new(step(), "the root itself cannot be covered")),
        _ => {}
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", &found.fd, "", flags).during(step)?;
    mounted.push(found.path);
    Ok(())
}

/// Mounts one; `index` tells its scratch places from those of others.
pub(super) fn mount_one(
    stage: &Stage,
    spec: &RunSpec,
    index: usize,
    mount: &Mount,
    made: &mut Vec<Made>,
    mounted: &mut Vec<Attached>,
) -> Result<(), Failure> {
    let (tree, missing) = prepare(stage, spec, index, &mount.source).map_err(|failure| {
        Failure::new(format!("mount on `{}`: {}", mount.target, failure.step), failure.detail)
    })?;
    place(stage, &tree, &mount.target, missing, made, mounted)
}

/// Makes the mount, not attached yet; returns with it what to make where its target is missing.
fn prepare(
    stage: &Stage,
    spec: &RunSpec,
    index: usize,
    source: &MountSource,
) -> Result<(OwnedFd, Missing), Failure> {
    match source {
        MountSource::Bind { path, readonly } => {
            let tree = clone_tree(path)?;
            restrict(&tree, *readonly, NODEV_NOSUID)?;
            with_kind(tree)
        }
        MountSource::Layers { lowers, path, writable } => {
            let whole = layers(stage, spec, index, lowers, *writable)?;
            let part = walk(whole.as_fd(), path, Missing::Refuse, &mut Vec::new())?;
            let tree = clone_open(&part.fd)?;
            restrict(&tree, !*writable, NODEV_NOSUID)?;
            with_kind(tree)
        }
        MountSource::Scratch { path } => {
            let whole = layers(stage, spec, index, std::slice::from_ref(path), true)?;
            let tree = clone_open(&whole)?;
            restrict(&tree, false, NODEV_NOSUID)?;
            Ok((tree, Missing::Directory))
        }
        MountSource::Tmpfs { size } => {
            let size = size.map(|bytes| bytes.to_string());
            let mut options = vec![("mode", "1777")];
            options.extend(size.as_deref().map(|size| ("size", size)));
            Ok((new_mount("tmpfs", &options, NODEV_NOSUID)?, Missing::Directory))
        }
        MountSource::File { content, uid, gid, mode, executable } => {
            let tree = file(stage, index, content, (*uid, *gid), *mode)?;
            let noexec =
                if *executable { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_NOEXEC };
            restrict(&tree, true, NODEV_NOSUID | noexec)?;
            Ok((tree, Missing::File))
        }
        MountSource::Socket { path, .. } => {
            let tree = clone_tree(path)?;
            restrict(&tree, false, NODEV_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
            Ok((tree, Missing::File))
        }
    }
}

fn with_kind(tree: OwnedFd) -> Result<(OwnedFd, Missing), Failure> {
    let stat = fstat(&tree).during(|| "look at the source")?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    Ok((tree, if directory { Missing::Directory } else { Missing::File }))
}

/// Takes rights from a mount and all below it.
fn restrict(tree: &OwnedFd, readonly: bool, attributes: MountAttrFlags) -> Result<(), Failure> {
    let readonly = if readonly { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    sys::mount_setattr(tree.as_fd(), u64::from((attributes | readonly).bits()))
        .during(|| "restrict the mount")
}

/// Joins layers at a scratch place; returns its root. A writable one writes to the work directory, which is emptied when
/// all is over: what a build writes there may be more than fits into memory.
fn layers(
    stage: &Stage,
    spec: &RunSpec,
    index: usize,
    lowers: &[std::path::PathBuf],
    writable: bool,
) -> Result<OwnedFd, Failure> {
    if let ([only], false) = (lowers, writable) {
        return open_directory(only);
    }
    let target = stage.directory(&format!("mount-{index}"))?;
    if lowers.is_empty() {
        return open_directory(&target);
    }
    let base = spec.work.join(format!("mount-{index}"));
    let (upper, work) = (base.join("upper"), base.join("work"));
    let change: Option<(&Path, &Path)> = if writable {
        for directory in [&base, &upper, &work] {
            fs::create_dir(directory).during(|| format!("make `{}`", directory.display()))?;
        }
        copy_owner(&lowers[0], &upper)?;
        Some((&upper, &work))
    } else {
        None
    };
    join(lowers, change, stage.path(), &target)?;
    open_directory(&target)
}

/// The root of a writable layer hides the one below it: it takes over its owner and mode.
fn copy_owner(from: &Path, to: &Path) -> Result<(), Failure> {
    let step = || format!("take over the owner of `{}`", from.display());
    let stat = rustix::fs::stat(from).during(step)?;
    rustix::fs::chown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))).during(step)?;
    rustix::fs::chmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777)).during(step)
}

/// Writes a file to the scratch tmpfs and takes it as a mount.
fn file(
    stage: &Stage,
    index: usize,
    content: &[u8],
    owner: (u32, u32),
    mode: u32,
) -> Result<OwnedFd, Failure> {
    let name = format!("file-{index}");
    let step = || "write a file to mount";
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = openat(&stage.scratch, &name, flags, Mode::RUSR | Mode::WUSR).during(step)?;
    let mut file = fs::File::from(fd);
    file.write_all(content).during(step)?;
    fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1))).during(step)?;
    fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).during(step)?;
    clone_tree(&stage.path().join(name))
}
