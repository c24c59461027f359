//! Process 1 of the sandbox: lays out the root, starts the command, reaps, and tidies up when all is over.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    process::{Signal, fchdir, set_parent_process_death_signal, umask},
};

use super::{
    capabilities,
    command::{self, Rights},
    layers, mounts, standard,
};
use crate::{
    error::{During, Failure},
    spec::Network,
    sys::{self, Fork},
    walk::Made,
    wire::{self, Order, Word},
};

/// Runs the order; what goes wrong is told on the socket.
pub(super) fn main(order: &Order, socket: &UnixStream, life: &OwnedFd) -> io::Result<()> {
    let word = live_and_die_with_watcher(life).and_then(|()| serve(order, socket));
    wire::send(socket, &word.unwrap_or_else(Word::from))
}

/// Asks to be killed with the watcher; fails when it is gone already.
fn live_and_die_with_watcher(life: &OwnedFd) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).during(|| "tie process 1 to its watcher")?;
    let mut fds = [PollFd::new(life, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).during(|| "look for the watcher")?;
    if fds[0].revents().contains(PollFlags::HUP) {
        return Err(Failure::new("start process 1", "its watcher is gone"));
    }
    Ok(())
}

/// Lays out, runs, reaps, tidies.
fn serve(order: &Order, socket: &UnixStream) -> Result<Word, Failure> {
    let Order { spec, probe, .. } = order;
    umask(Mode::empty());
    let mut made = Vec::new();
    let mut mounted = Vec::new();
    let stage = layers::mount_root(spec)?;
    if *probe {
        layers::change_as_builds_do(&stage)?;
    }
    standard::mount_all(&stage, spec, &mut made, &mut mounted)?;
    for (index, mount) in spec.mounts.iter().enumerate() {
        mounts::mount_one(&stage, spec, index, mount, &mut made, &mut mounted)?;
    }
    layers::enter_root(stage)?;
    rustix::system::sethostname(spec.hostname.as_bytes())
        .during(|| format!("set the host name `{}`", spec.hostname))?;
    if spec.network == Network::None {
        // Without CAP_NET_ADMIN the device stays down; the promise is that nothing outside is reached, and that holds.
        let _ = sys::loopback_up();
    }
    let directory = command::directory(spec, Path::new("/"))?;
    fchdir(&directory).during(|| format!("enter the working directory `{}`", spec.cwd))?;
    drop(directory);
    let process = match sys::fork().during(|| "start the command's process")? {
        Fork::Parent(process) => process,
        Fork::Child => {
            let rights = Rights { capabilities: capabilities::USUAL, certain: true };
            let failure = if *probe {
                command::stop_short_of_it(spec, rights)
            } else {
                command::become_it(spec, rights)
            };
            // The first word counts, so what process 1 says after this does not matter.
            let _ = wire::send(socket, &Word::from(failure));
            sys::exit_now(1)
        }
    };
    let status = reap(process).during(|| "wait for the command")?;
    tidy(&mut made, &mounted);
    Ok(Word::Done { status, usage: sys::usage_of_children() })
}

/// Waits for the command, then ends everything that it left behind.
fn reap(command: i32) -> io::Result<i32> {
    let status = loop {
        match sys::wait_any()? {
            Some((process, status)) if process == command => break status,
            Some(_) => {}
            None => return Err(io::Error::other("the command's process vanished")),
        }
    };
    sys::kill_everyone_else();
    while sys::wait_any()?.is_some() {}
    Ok(status)
}

/// Takes the mounts away and removes what was made for them and is still empty.
fn tidy(made: &mut Vec<Made>, mounted: &[String]) {
    for path in mounted.iter().rev() {
        // The command may have moved the directory around it: then its mount point stays in the layer, as its own doing.
        let _ = rustix::mount::unmount(
            path.as_str(),
            rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW,
        );
    }
    while let Some(entry) = made.pop() {
        entry.remove_if_unused();
    }
}
