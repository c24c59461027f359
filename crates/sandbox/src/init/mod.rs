//! The sandbox's own processes: this program, started again with one thread.
//!
//! The first one enters the namespaces and watches over the second, which is process 1 of the new pid namespace, lays out
//! the root file system and starts the command. Whoever dies takes the rest along: when the starter goes, the socket closes;
//! when the watcher goes, the kernel kills process 1; and with process 1 go all of its namespace.

mod bare;
mod capabilities;
mod command;
mod filter;
mod layers;
mod mounts;
mod pid1;
mod standard;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{DumpableBehavior, PidfdFlags, pidfd_open, set_dumpable_behavior},
};

use crate::{
    error::{During, Failure},
    spec::Network,
    supervise::{INIT_NAME, remember_prepared},
    sys::{self, Fork},
    wire::{self, Ground, Mapped, Order, Word},
};

/// Becomes the sandbox's `init` and never returns, if this process was started as that; else returns at once.
///
/// To be called first thing in `main`, before any thread is started.
pub fn init_if_asked() {
    remember_prepared();
    if std::env::args_os().next().is_some_and(|name| name.as_bytes() == INIT_NAME.as_bytes()) {
        let code = i32::from(watch().is_err());
        sys::exit_now(code);
    }
}

/// The first process: enters the namespaces, starts process 1 and waits for its end, or brings it about.
fn watch() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    sys::dup2(File::open("/dev/null")?.as_fd(), 0)?;
    let Some(order) = wire::receive::<Order>(&socket)? else { return Ok(()) };
    let nested = match &order.ground {
        Ground::Namespaces { nested } => *nested,
        Ground::Directory(path) => return bare::watch(&order.spec, Some(path), &socket),
        Ground::Container => return bare::watch(&order.spec, None, &socket),
    };
    match enter(&order, nested, &socket) {
        Ok(Some((process, _life))) => {
            let_go_of_output()?;
            await_end(process, &socket)
        }
        Ok(None) => Ok(()),
        Err(failure) => wire::send(&socket, &Word::from(failure)),
    }
}

/// Leaves the output to the processes that were started: its end is their end.
fn let_go_of_output() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    sys::dup2(null.as_fd(), 1)?;
    sys::dup2(null.as_fd(), 2)
}

/// Waits for process 1, and kills it when the starter closes its side.
fn await_end(process: i32, socket: &UnixStream) -> io::Result<()> {
    let id = rustix::process::Pid::from_raw(process).ok_or(io::ErrorKind::InvalidInput)?;
    let pidfd = pidfd_open(id, PidfdFlags::empty())?;
    loop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if fds[0].revents().is_empty() {
            // The only thing that comes after the order is its end.
            sys::kill(process, libc::SIGKILL)?;
        }
        // Returns when the kernel has ended and reaped every process of the namespace.
        return sys::wait_any().map(drop);
    }
}

/// Enters the namespaces and starts process 1. Returns its id and the pipe whose end tells it that we are gone; `None` where
/// the starter is gone already.
fn enter(order: &Order, nested: bool, socket: &UnixStream) -> Result<Option<(i32, OwnedFd)>, Failure> {
    if nested {
        sys::unshare(libc::CLONE_NEWUSER).map_err(|error| explain_user_namespace(&error))?;
        wire::send(socket, &Word::MapIds).during(|| "ask for the user namespace's maps")?;
        if wire::receive::<Mapped>(socket).during(|| "wait for the user namespace's maps")?.is_none() {
            return Ok(None);
        }
    }
    // From here on nobody without CAP_SYS_PTRACE reaches our memory, our files or our program through /proc.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(|| "shield the sandbox's own process")?;
    let mut namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    if order.spec.network == Network::None {
        namespaces |= libc::CLONE_NEWNET;
    }
    sys::unshare(namespaces).during(|| "enter new mount, pid, ipc, uts, cgroup and network namespaces")?;
    let (theirs, ours) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during(|| "make a pipe to process 1")?;
    match sys::fork().during(|| "start process 1 of the sandbox")? {
        Fork::Parent(process) => Ok(Some((process, ours))),
        Fork::Child => {
            drop(ours);
            sys::exit_now(i32::from(pid1::main(order, socket, &theirs).is_err()))
        }
    }
}

/// Says which of the usual locks keeps user namespaces away.
fn explain_user_namespace(error: &io::Error) -> Failure {
    let help = match error.raw_os_error() {
        Some(libc::EPERM) => " (a seccomp profile forbids it, or the process is in a chroot)",
        Some(libc::ENOSPC) => " (the sysctl user.max_user_namespaces is used up or 0)",
        Some(libc::EINVAL) => " (the kernel has no user namespaces)",
        _ => "",
    };
    Failure::new("make a user namespace", format!("{error}{help}"))
}
