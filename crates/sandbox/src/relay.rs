//! Sockets of the host for a command: a socket of our own with the owner and mode that were asked for, and what comes in on
//! it handed on. The host's own socket stays as it is, and out of the command's reach once the command has ended.

use std::{
    fs, io,
    net::Shutdown,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::{CWD, Gid, Mode, OFlags, Uid, openat},
};

/// Who may use the socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

/// Hands connections on for as long as it lives.
pub(crate) struct Relay {
    stop: Arc<OwnedFd>,
    open: Arc<Mutex<Vec<UnixStream>>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Relay {
    /// Listens at `path`, for the socket at `host`.
    pub(crate) fn start(host: &Path, path: &Path, access: Access) -> io::Result<Self> {
        let listener = listen(path)?;
        rustix::fs::chown(path, Some(Uid::from_raw(access.uid)), Some(Gid::from_raw(access.gid)))?;
        rustix::fs::chmod(path, Mode::from_raw_mode(access.mode & 0o7777))?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let open = Arc::new(Mutex::new(Vec::new()));
        let thread = thread::Builder::new().name("socket relay".into()).spawn({
            let (stop, open, host) = (Arc::clone(&stop), Arc::clone(&open), host.to_owned());
            move || accept_until(&listener, &stop, &open, &host)
        })?;
        Ok(Self { stop, open, thread: Some(thread), path: path.to_owned() })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // None of these can do worse than fail on something that is gone already.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        for stream in self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens at a path of any length; an address itself holds 108 bytes.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    UnixListener::bind(Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

fn accept_until(listener: &UnixListener, stop: &OwnedFd, open: &Mutex<Vec<UnixStream>>, host: &Path) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) if fds[1].revents().is_empty() => {}
            Err(rustix::io::Errno::INTR) => continue,
            _ => return,
        }
        let Ok((inner, _)) = listener.accept() else { continue };
        // A client sees a closed connection where the host's side does not answer.
        let Ok(outer) = UnixStream::connect(host) else { continue };
        for (from, to) in [(&inner, &outer), (&outer, &inner)] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
            let _ = thread::Builder::new().name("socket relay".into()).spawn(move || hand_on(&from, &to));
        }
        open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend([inner, outer]);
    }
}

fn hand_on(mut from: &UnixStream, mut to: &UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::fs::MetadataExt,
    };

    use super::*;

    #[test]
    fn hands_on_both_directions_and_ends() {
        let place = tempfile::tempdir().unwrap();
        let long = place.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        let (host, path) = (place.path().join("host"), long.join("inside"));
        let listener = UnixListener::bind(&host).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream.write_all(question.to_uppercase().as_bytes()).unwrap();
        });
        let uid = fs::metadata(place.path()).unwrap().uid();
        let gid = fs::metadata(place.path()).unwrap().gid();
        let relay = Relay::start(&host, &path, Access { uid, gid, mode: 0o600 }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let folder = fs::File::open(&long).unwrap();
        let short = format!("/proc/self/fd/{}/inside", folder.as_raw_fd());
        let mut client = UnixStream::connect(&short).unwrap();
        client.write_all(b"ping").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "PING");
        server.join().unwrap();
        drop(relay);
        assert!(!path.exists() && UnixStream::connect(&short).is_err());
    }
}
