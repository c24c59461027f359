//! The mounts that every command has: /proc, /dev, /sys, /etc/hosts, /etc/resolv.conf, and what is hidden in them.

use std::{os::fd::AsFd, path::Path};

use rustix::{
    fs::{Mode, OFlags, openat, symlinkat},
    mount::MountAttrFlags,
};

use super::{
    layers::{Stage, clone_open, clone_tree, new_mount},
    mounts::{Attached, place},
};
use crate::{
    error::{During, Failure},
    spec::{Mount, MountSource, RunSpec},
    sys,
    walk::{Made, Missing, walk},
};

/// No set-user-id, no devices, no programs: what proc, sys and the like are mounted with.
const INERT: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const NODEV_NOSUID: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// Files and directories that tell about, or act on, the whole machine: seen empty, as containers have it.
const HIDDEN: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Places where root could change the machine by writing.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const DEFAULT_SHM: u64 = 64 << 20;

/// Mounts them all.
pub(super) fn mount_all(
    stage: &Stage,
    spec: &RunSpec,
    made: &mut Vec<Made>,
    mounted: &mut Vec<Attached>,
) -> Result<(), Failure> {
    mount_proc(stage, made, mounted)?;
    mount_dev(stage, spec, made, mounted)?;
    mount_sys(stage, made, mounted)?;
    hide(stage, mounted)?;
    for (index, (target, content)) in
        [("/etc/hosts", &spec.hosts), ("/etc/resolv.conf", &spec.resolv_conf)].into_iter().enumerate()
    {
        let source = MountSource::File {
            content: content.clone().into_bytes(),
            uid: 0,
            gid: 0,
            mode: 0o644,
            executable: false,
        };
        let mount = Mount { target: target.to_owned(), source };
        super::mounts::mount_one(stage, spec, usize::MAX - index, &mount, made, mounted)?;
    }
    Ok(())
}

/// Mounts a /proc of the new pid namespace; where something covers parts of the outer /proc, the kernel refuses that, and
/// the outer one is shown.
pub(super) fn mount_proc(
    stage: &Stage,
    made: &mut Vec<Made>,
    mounted: &mut Vec<Attached>,
) -> Result<(), Failure> {
    let mount = new_mount("proc", &[], INERT).or_else(|fresh| {
        let bind = clone_tree(Path::new("/proc"))
            .and_then(|bind| {
                sys::mount_setattr(bind.as_fd(), u64::from(INERT.bits())).during(|| "restrict /proc")?;
                Ok(bind)
            })
            .map_err(|bind| {
                Failure::new(bind.step, format!("{}; before that: {}", bind.detail, fresh.detail))
            })?;
        Ok::<_, Failure>(bind)
    })?;
    place(stage, &mount, "/proc", Missing::Directory, made, mounted)
}

fn mount_dev(
    stage: &Stage,
    spec: &RunSpec,
    made: &mut Vec<Made>,
    mounted: &mut Vec<Attached>,
) -> Result<(), Failure> {
    let dev = new_mount("tmpfs", &[("mode", "0755"), ("size", "65536k")], NODEV_NOSUID)?;
    place(stage, &dev, "/dev", Missing::Directory, made, mounted)?;
    let within = walk(stage.root.as_fd(), "/dev", Missing::Refuse, made)?.fd;
    for (name, text) in DEVICE_LINKS {
        symlinkat(text, &within, name).during(|| format!("make /dev/{name}"))?;
    }
    // What is made from here on lies on the tmpfs and goes with it.
    let mut fleeting = Vec::new();
    for name in DEVICES {
        let outside = Path::new("/dev").join(name);
        if outside.exists() {
            let bind = clone_tree(&outside)?;
            place(stage, &bind, &format!("/dev/{name}"), Missing::File, &mut fleeting, mounted)?;
        }
    }
    let size = spec.shm_size.unwrap_or(DEFAULT_SHM).to_string();
    let shm = new_mount("tmpfs", &[("mode", "1777"), ("size", &size)], INERT)?;
    place(stage, &shm, "/dev/shm", Missing::Directory, &mut fleeting, mounted)?;
    let no_programs = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let pts = new_mount("devpts", &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")], no_programs)
        // Group 5 may be unknown to the user namespace.
        .or_else(|_| new_mount("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], no_programs))?;
    place(stage, &pts, "/dev/pts", Missing::Directory, &mut fleeting, mounted)?;
    // A kernel without POSIX message queues has no such file system.
    if let Ok(queues) = new_mount("mqueue", &[], INERT) {
        place(stage, &queues, "/dev/mqueue", Missing::Directory, &mut fleeting, mounted)?;
    }
    Ok(())
}

/// Mounts a read-only /sys: a new one, or where the network namespace is not ours, the outer one.
fn mount_sys(stage: &Stage, made: &mut Vec<Made>, mounted: &mut Vec<Attached>) -> Result<(), Failure> {
    let read_only = INERT | MountAttrFlags::MOUNT_ATTR_RDONLY;
    if let Ok(fresh) = new_mount("sysfs", &[], read_only) {
        place(stage, &fresh, "/sys", Missing::Directory, made, mounted)?;
        // Runtimes such as the JVM read their limits there. A machine with version 1 has nothing to show this way.
        if let Ok(groups) = new_mount("cgroup2", &[], read_only)
            && is_unified()
        {
            place(stage, &groups, "/sys/fs/cgroup", Missing::Refuse, made, mounted)?;
        }
        return Ok(());
    }
    let bind = clone_tree(Path::new("/sys"))?;
    sys::mount_setattr(bind.as_fd(), u64::from(read_only.bits())).during(|| "make /sys read-only")?;
    place(stage, &bind, "/sys", Missing::Directory, made, mounted)
}

fn is_unified() -> bool {
    const CGROUP2_MAGIC: i64 = 0x6367_7270;
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|system| system.f_type == CGROUP2_MAGIC)
}

/// Hides and protects what concerns the whole machine.
fn hide(stage: &Stage, mounted: &mut Vec<Attached>) -> Result<(), Failure> {
    let read_only = INERT | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let mut none = Vec::new();
    for path in HIDDEN {
        let Ok(found) = walk(stage.root.as_fd(), path, Missing::Refuse, &mut none) else { continue };
        let directory = openat(&found.fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok();
        let cover = if directory {
            new_mount("tmpfs", &[("size", "4k"), ("mode", "0555")], read_only)?
        } else {
            clone_tree(Path::new("/dev/null"))?
        };
        place(stage, &cover, path, Missing::Refuse, &mut none, mounted)?;
    }
    for path in READ_ONLY {
        let Ok(found) = walk(stage.root.as_fd(), path, Missing::Refuse, &mut none) else { continue };
        let bind = clone_open(&found.fd)?;
        sys::mount_setattr(bind.as_fd(), u64::from(read_only.bits()))
            .during(|| format!("make {path} read-only"))?;
        place(stage, &bind, path, Missing::Refuse, &mut none, mounted)?;
    }
    Ok(())
}
