//! A command without namespaces: in a directory that `chroot` makes its root, or in the container that this program is in.
//!
//! Nothing but this process holds its descendants together: it is their reaper, and at the end it looks for them in /proc
//! and kills them until there is none left.

use std::{
    collections::HashMap,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    process::{
        DumpableBehavior, Pid, PidfdFlags, Signal, chdir, chroot, fchdir, pidfd_open, set_child_subreaper,
        set_dumpable_behavior, set_parent_process_death_signal, umask,
    },
};

use super::{
    capabilities,
    command::{self, Rights},
    let_go_of_output,
};
use crate::{
    error::{During, Failure},
    spec::RunSpec,
    sys::{self, Fork},
    wire::{self, Word},
};

/// How often orphans are looked for.
const REAPING: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Runs the command and waits for the end of everything that it started.
pub(super) fn watch(spec: &RunSpec, root: Option<&Path>, socket: &UnixStream) -> io::Result<()> {
    match start(spec, root, socket).and_then(|process| {
        let_go_of_output().during(|| "leave the output to the command")?;
        wait(process, socket).during(|| "wait for the command")
    }) {
        Ok(Some(status)) => wire::send(socket, &Word::Done { status, usage: sys::usage_of_children() }),
        // Nobody is left to be told.
        Ok(None) => Ok(()),
        Err(failure) => wire::send(socket, &Word::from(failure)),
    }
}

fn start(spec: &RunSpec, root: Option<&Path>, socket: &UnixStream) -> Result<i32, Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(|| "shield the sandbox's own process")?;
    set_child_subreaper(Some(rustix::process::getpid()))
        .during(|| "become the reaper of the command's processes")?;
    umask(Mode::empty());
    let directory = command::directory(spec, root.unwrap_or(Path::new("/")))?;
    match sys::fork().during(|| "start the command's process")? {
        Fork::Parent(process) => Ok(process),
        Fork::Child => {
            let failure = enter(root, &directory).map_or_else(
                |failure| failure,
                |()| {
                    let set = if root.is_some() { capabilities::SHUT_IN } else { capabilities::USUAL };
                    command::become_it(spec, Rights { capabilities: set, certain: false })
                },
            );
            // The first word counts, so what the watcher says after this does not matter.
            let _ = wire::send(socket, &Word::from(failure));
            sys::exit_now(1)
        }
    }
}

fn enter(root: Option<&Path>, directory: &OwnedFd) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).during(|| "tie the command to its watcher")?;
    if let Some(root) = root {
        chdir(root).during(|| format!("enter `{}`", root.display()))?;
        chroot(".").during(|| format!("change the root to `{}`", root.display()))?;
    }
    fchdir(directory).during(|| "enter the working directory")
}

/// Waits for the command, or for the starter to close its side; ends all that is left. Returns the command's status word.
fn wait(process: i32, socket: &UnixStream) -> io::Result<Option<i32>> {
    let id = Pid::from_raw(process).ok_or(io::ErrorKind::InvalidInput)?;
    let pidfd = pidfd_open(id, PidfdFlags::empty())?;
    let mut status = None;
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&REAPING)) {
            // Orphans of the command are ours: those that have ended are laid to rest meanwhile.
            Ok(0) => sys::reap_others(process)?,
            Ok(_) if fds[0].revents().is_empty() => break,
            Ok(_) => {
                status = sys::wait_for(process)?.map(|(_, word)| word);
                break;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    loop {
        for pid in descendants()? {
            // It may be gone already.
            let _ = sys::kill(pid, libc::SIGKILL);
        }
        // Killed children are reaped, their orphans become ours, and are found in the next round.
        if sys::wait_any()?.is_none() {
            return Ok(status);
        }
    }
}

/// Returns the processes that descend from this one.
fn descendants() -> io::Result<Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some(parent) = parent_of(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(pid) = open.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            open.push(child);
        }
    }
    Ok(found)
}

/// Reads the parent out of `pid (name) state parent …`; a name may hold anything.
fn parent_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parent_behind_any_name() {
        assert_eq!(parent_of("12 (sh) S 7 12 12"), Some(7));
        assert_eq!(parent_of("12 (a) R 1 (x) S 9 12 12"), Some(9));
        assert_eq!(parent_of("12"), None);
    }
}
