//! The last steps of a process before it is the command: directory, limits, rights, user, program.

use std::{
    ffi::CString,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    ptr,
};

use rustix::{
    fs::{CWD, Gid, Mode, OFlags, Uid, fchown, openat},
    io::Errno,
    process::{setsid, umask},
    thread::{CapabilitySet, set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::{capabilities, filter};
use crate::{
    error::{During, Failure},
    spec::{RunSpec, User},
    sys,
    walk::{Missing, walk},
};

/// What a command may do.
#[derive(Clone, Copy)]
pub(super) struct Rights {
    /// The most that it, or a program that it starts, may have.
    pub(super) capabilities: CapabilitySet,
    /// Fails where this cannot be enforced for what it starts. Else the container around is trusted to have a filter of its
    /// own, and no more capabilities than it needs.
    pub(super) certain: bool,
}

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Opens the working directory below `root`, making it for the user where it is missing.
pub(super) fn directory(spec: &RunSpec, root: &Path) -> Result<OwnedFd, Failure> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .during(|| "open the root file system")?;
    let owned = Missing::Owned(spec.user.uid, spec.user.gid);
    let place = walk(root.as_fd(), &spec.cwd, owned, &mut Vec::new()).map_err(|failure| {
        Failure::new(format!("enter the working directory: {}", failure.step), failure.detail)
    })?;
    Ok(place.fd)
}

/// Turns this process into the command; returns only if it could not. A program that is missing or not executable is the
/// command's own failure: it is told on stderr, and the exit code is that of a shell.
pub(super) fn become_it(spec: &RunSpec, rights: Rights) -> Failure {
    match prepare(spec, rights) {
        Ok(()) => {
            let (code, message) = execute(spec);
            let _ = writeln!(io::stderr(), "{message}");
            sys::exit_now(code)
        }
        Err(failure) => failure,
    }
}

/// Does all but start the program, which tells whether it could be.
pub(super) fn stop_short_of_it(spec: &RunSpec, rights: Rights) -> Failure {
    match prepare(spec, rights) {
        Ok(()) => sys::exit_now(0),
        Err(failure) => failure,
    }
}

fn prepare(spec: &RunSpec, rights: Rights) -> Result<(), Failure> {
    setsid().during(|| "start a session")?;
    umask(Mode::from_raw_mode(0o022));
    // A program of the user may open /dev/stdout anew, which asks for the right to the pipe itself.
    let (uid, gid) = (Uid::from_raw(spec.user.uid), Gid::from_raw(spec.user.gid));
    for output in [io::stdout().as_fd(), io::stderr().as_fd()] {
        fchown(output, Some(uid), Some(gid)).map_err(|error| not_an_id(spec, error))?;
    }
    sys::close_on_exec_from(3).during(|| "close the file descriptors")?;
    for (name, soft, hard) in &spec.ulimits {
        let resource = limit(name).ok_or_else(|| {
            Failure::new(format!("set the limit `{name}`"), "there is no limit of this name")
        })?;
        sys::set_limit(resource, *soft, *hard).map_err(|error| {
            let help = match error.raw_os_error() {
                Some(libc::EPERM) => " (it is above the limit of the build itself, which it may not raise)",
                Some(libc::EINVAL) => {
                    " (the soft limit is above the hard one, or above what the kernel takes)"
                }
                _ => "",
            };
            Failure::new(format!("set the limit `{name}` to {soft}:{hard}"), format!("{error}{help}"))
        })?;
    }
    let bounded = capabilities::bound(rights.capabilities);
    // Needs CAP_SYS_ADMIN, which goes with the next steps.
    let filtered = filter::install();
    if rights.certain {
        bounded.and(filtered)?;
    }
    let groups: Vec<Gid> = spec.user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    set_thread_groups(&groups).during(|| format!("take the groups {:?}", spec.user.groups))?;
    set_thread_res_gid(gid, gid, gid).map_err(|error| not_an_id(spec, error))?;
    set_thread_res_uid(uid, uid, uid).map_err(|error| not_an_id(spec, error))?;
    capabilities::restrict(rights.capabilities, spec.user.uid == 0)?;
    sys::reset_signals();
    Ok(())
}

/// Says what the kernel means by an invalid argument where it takes an id.
fn not_an_id(spec: &RunSpec, error: Errno) -> Failure {
    let User { uid, gid, .. } = spec.user;
    let help = if error == Errno::INVAL {
        " (the user namespace that the build runs in has no such id)"
    } else {
        ""
    };
    Failure::new(format!("become user {uid}, group {gid}"), format!("{}{help}", io::Error::from(error)))
}

/// Returns the number of a limit by its usual name.
fn limit(name: &str) -> Option<u32> {
    let number = match name {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return None,
    };
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)] // its type differs between C libraries
    Some(number as u32)
}

/// Tries to start the program; returns the exit code and the words for why it cannot be.
fn execute(spec: &RunSpec) -> (i32, String) {
    let Some(program) = spec.args.first() else { return (127, "there is no command".to_owned()) };
    let mut env = spec.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        let home = if spec.user.home.is_empty() { "/" } else { &spec.user.home };
        env.push(format!("HOME={home}"));
    }
    let strings = |list: &[String]| {
        list.iter().map(|text| CString::new(text.as_bytes())).collect::<Result<Vec<_>, _>>()
    };
    let (Ok(args), Ok(env)) = (strings(&spec.args), strings(&env)) else {
        return (126, format!("exec: \"{program}\": an argument or a variable holds a NUL byte"));
    };
    let pointers =
        |list: &[CString]| -> Vec<_> { list.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect() };
    let (arg_pointers, env_pointers) = (pointers(&args), pointers(&env));
    let path = spec.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let candidates: Vec<String> = if program.contains('/') {
        vec![program.clone()]
    } else {
        path.split(':')
            .map(|folder| format!("{}/{program}", if folder.is_empty() { "." } else { folder }))
            .collect()
    };
    let mut denied = None;
    for candidate in &candidates {
        let Ok(name) = CString::new(candidate.as_bytes()) else { continue };
        let error = sys::execve(&name, &arg_pointers, &env_pointers);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) if !Path::new(candidate).exists() => {}
            _ => {
                denied.get_or_insert((candidate, error));
            }
        }
    }
    match denied {
        None if program.contains('/') => (127, format!("exec: \"{program}\": no such file")),
        None => (127, format!("exec: \"{program}\": not found in PATH ({path})")),
        Some((candidate, error)) => refused(candidate, &error),
    }
}

/// Says why a program that is there does not start.
fn refused(program: &str, error: &io::Error) -> (i32, String) {
    let why = match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "the file is there, but not its interpreter or dynamic loader (another C library, or a wrong `#!` line?)"
                .to_owned()
        }
        Some(libc::ENOEXEC) => "not a program for this machine (another architecture, or a script without `#!`?)".to_owned(),
        Some(libc::EACCES) => "permission denied (not executable, or on a mount that forbids programs)".to_owned(),
        _ => error.to_string(),
    };
    (126, format!("exec: \"{program}\": {why}"))
}
