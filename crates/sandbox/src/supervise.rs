//! The sandbox's side of one command: starts `init`, feeds it, hands on output, and sees to its end.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::{
    Cancel, Error, Exit, Finished, Stream, linger, memory,
    wire::{self, Ground, Mapped, Order, Word},
};

/// The name that `init` is started under; nothing else starts a program so.
pub(crate) const INIT_NAME: &str = "slipway-sandbox-init";

static PREPARED: AtomicBool = AtomicBool::new(false);
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Remembers that this program knows how to be `init`.
pub(crate) fn remember_prepared() {
    PREPARED.store(true, Ordering::SeqCst);
}

/// Names another program to start as `init`: one that calls [`crate::init_if_asked`], for a caller that does not, such as a
/// test.
pub fn use_init_program(path: PathBuf) {
    // A second call loses: both name a program that can do it.
    let _ = PROGRAM.set(path);
}

/// Runs one order to its end.
pub(crate) fn run(
    order: &Order,
    output: &mut dyn FnMut(Stream, &[u8]),
    cancel: &Cancel,
) -> Result<Finished, Error> {
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let spec = &order.spec;
    let mounted = spec.mounts.iter().flat_map(|mount| mount.source.layers());
    linger::wait_for(mounted.chain(&spec.lowers).chain([&spec.upper]).map(PathBuf::as_path));
    let killed_before = memory::oom_kills();
    let (mut child, socket) = start()?;
    let talked = converse(order, &mut child, &socket, output, cancel);
    // With the socket closed, `init` ends the command if it has not ended yet.
    drop(socket);
    let status = if lingers(&talked, order) {
        linger::leave(child, &order.spec.upper);
        None
    } else {
        Some(child.wait())
    };
    match talked? {
        Some(Word::Done { status, usage }) => {
            let mut exit = Exit::from_wait(status);
            if exit.looks_killed() && memory::oom_kills() > killed_before {
                exit = Exit::OutOfMemory;
            }
            Ok(Finished { exit, usage })
        }
        Some(Word::Failed { step, detail }) => Err(Error::Setup { step, detail }),
        Some(Word::MapIds) | None if cancel.is_cancelled() => Err(Error::Cancelled),
        Some(Word::MapIds) | None => {
            let failed = |source| Error::Process { step: "wait for the sandbox's process", source };
            let status = status.transpose().map_err(failed)?;
            Err(Error::Died(status.map_or_else(String::new, |status| status.to_string())))
        }
    }
}

/// Tells whether only mounts are left to be taken down. After a failure the caller waits for that too: on a full volume the
/// room of what is thrown away is needed at once, and a mount holds on to it.
fn lingers(talked: &Result<Option<Word>, Error>, order: &Order) -> bool {
    matches!(talked, Ok(Some(Word::Done { status: 0, .. })))
        && matches!(order.ground, Ground::Namespaces { .. })
}

/// Starts `init` with our socket as its stdin.
fn start() -> Result<(Child, UnixStream), Error> {
    let failed = |source| Error::Process { step: "start the sandbox's process", source };
    let program = match PROGRAM.get() {
        Some(program) => program.clone(),
        None if PREPARED.load(Ordering::SeqCst) => PathBuf::from("/proc/self/exe"),
        None => return Err(Error::NotPrepared),
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let child = Command::new(program)
        .arg0(INIT_NAME)
        .env_clear()
        // An interrupt from the terminal is for the program to handle: it cancels.
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    Ok((child, ours))
}

/// Gives the order, then reads output and words until all three streams end. Returns the word that counts.
fn converse(
    order: &Order,
    child: &mut Child,
    socket: &UnixStream,
    output: &mut dyn FnMut(Stream, &[u8]),
    cancel: &Cancel,
) -> Result<Option<Word>, Error> {
    let failed = |source| Error::Process { step: "speak with the sandbox's process", source };
    // An early death shows as a broken pipe here; the words and the exit status tell more.
    let _ = wire::send(socket, order);
    let mut stdout = child.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let mut stderr = child.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let mut listening = true;
    let mut cancelled = false;
    let mut verdict = None;
    let mut buffer = vec![0; 64 << 10];
    while stdout.is_some() || stderr.is_some() || listening {
        if !listening && verdict.is_none() {
            // `init` is gone without a word. With namespaces all is over; without, a command that killed it may hold the
            // output open for ever.
            break;
        }
        if cancel.is_cancelled() && !cancelled {
            cancelled = true;
            // `init` takes the end of its orders as the order to end.
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
        let [out_ready, err_ready, word_ready] =
            wait(stdout.as_ref(), stderr.as_ref(), listening.then_some(socket), cancel, cancelled)
                .map_err(failed)?;
        if out_ready {
            pump(&mut stdout, Stream::Stdout, &mut buffer, output).map_err(failed)?;
        }
        if err_ready {
            pump(&mut stderr, Stream::Stderr, &mut buffer, output).map_err(failed)?;
        }
        if word_ready {
            match wire::receive(socket) {
                Ok(Some(Word::MapIds)) => {
                    map_ids(child.id())
                        .map_err(|source| Error::Process { step: "map the user namespace", source })?;
                    let _ = wire::send(socket, &Mapped);
                }
                Ok(Some(word)) => verdict = verdict.or(Some(word)),
                // A reset is how the end looks when `init` died with words of ours unread.
                Ok(None) => listening = false,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => listening = false,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => listening = false,
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(verdict)
}

/// Waits until one of the streams has something, or the wish to cancel comes; returns which streams have.
fn wait(
    stdout: Option<&File>,
    stderr: Option<&File>,
    socket: Option<&UnixStream>,
    cancel: &Cancel,
    cancelled: bool,
) -> io::Result<[bool; 3]> {
    let streams = [stdout.map(AsFd::as_fd), stderr.map(AsFd::as_fd), socket.map(AsFd::as_fd)];
    let wish = if cancelled { None } else { cancel.event() };
    let mut fds: Vec<PollFd<'_>> = streams
        .iter()
        .copied()
        .chain([wish])
        .flatten()
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    match poll(&mut fds, None) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok([false; 3]),
        Err(error) => return Err(error.into()),
    }
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    Ok(streams.map(|stream| stream.is_some() && ready.next().unwrap_or(false)))
}

/// Hands on what a stream has; at its end, forgets it.
fn pump(
    stream: &mut Option<File>,
    kind: Stream,
    buffer: &mut [u8],
    output: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<()> {
    let Some(file) = stream else { return Ok(()) };
    match file.read(buffer) {
        Ok(0) => *stream = None,
        Ok(count) => output(kind, &buffer[..count]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Gives the user namespace of `pid` the ids that we have ourselves, each as itself.
fn map_ids(pid: u32) -> io::Result<()> {
    for kind in ["gid_map", "uid_map"] {
        let own = std::fs::read_to_string(format!("/proc/self/{kind}"))?;
        std::fs::write(format!("/proc/{pid}/{kind}"), identity(&own))?;
    }
    Ok(())
}

/// Turns a map as we see it (inside, outside, count) into one that maps every inside id to itself.
fn identity(map: &str) -> String {
    let mut lines = String::new();
    for line in map.lines() {
        let mut fields = line.split_whitespace();
        if let (Some(inside), Some(_), Some(count)) = (fields.next(), fields.next(), fields.next()) {
            for word in [inside, " ", inside, " ", count, "\n"] {
                lines.push_str(word);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_keeps_what_is_inside() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 1000 1\n1 100000 65535\n"), "0 0 1\n1 1 65535\n");
    }

    #[test]
    fn refuses_a_program_that_cannot_be_init() {
        // The test harness does not call `init_if_asked`: starting it again would run the tests again.
        assert!(matches!(start(), Err(Error::NotPrepared)));
    }
}
