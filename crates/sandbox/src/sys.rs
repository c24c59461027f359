//! The system calls that `rustix` has no safe form of. Everything unsafe about namespaces and processes is here.

#![allow(unsafe_code)]

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    time::Duration,
};

use crate::exit::Usage;

/// Which side of a `fork` this is.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(i32),
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks. Only for a process of one thread: the sandbox's `init`, or a program that has just begun.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the callers have a single thread, so the child finds no lock held by a thread that it does not have.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends this process at once, without any destructor or exit handler.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Leaves the namespaces that `flags` name for new ones.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: only flags for namespaces are given, never for memory or file descriptors.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Returns the number of threads that a process may have before [`unshare`] of a user namespace is refused: one.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Waits for any child; `None` when there is none left.
pub(crate) fn wait_any() -> io::Result<Option<(i32, i32)>> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the status word.
        match check(unsafe { libc::waitpid(-1, &raw mut status, 0) }) {
            Ok(pid) => return Ok(Some((pid, status))),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for one child.
pub(crate) fn wait_for(process: i32) -> io::Result<Option<(i32, i32)>> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the status word.
        match check(unsafe { libc::waitpid(process, &raw mut status, 0) }) {
            Ok(pid) => return Ok(Some((pid, status))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes note of the end of children other than `kept`, without waiting.
pub(crate) fn reap_others(kept: i32) -> io::Result<()> {
    loop {
        // SAFETY: zero is valid for its plain numbers.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG;
        // Looks only: the kept one is to stay a zombie, so that its id stays its own.
        // SAFETY: `info` is a valid place for the answer.
        check(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags | libc::WNOWAIT) })?;
        // SAFETY: the call filled the fields of an ended child, or left all zero.
        let ended = unsafe { info.si_pid() };
        if ended == 0 || ended == kept {
            return Ok(());
        }
        wait_for(ended)?;
    }
}

/// Sends `SIGKILL` to every process of this process's pid namespace except itself; only its first process may.
pub(crate) fn kill_everyone_else() {
    if std::process::id() == 1 {
        // SAFETY: a signal to others; as the first process of a pid namespace, "all" ends at the namespace.
        unsafe { libc::kill(-1, libc::SIGKILL) };
    }
}

/// Sends a signal to one process.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is touched.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Returns what the children that were waited for used.
pub(crate) fn usage_of_children() -> Usage {
    // SAFETY: `rusage` is plain numbers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place; on failure it stays zero.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec.try_into().unwrap_or(0))
            + Duration::from_micros(value.tv_usec.try_into().unwrap_or(0))
    };
    Usage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_rss: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }
}

/// Sets attributes of a mount and all mounts below it.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = Attributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the path is an empty C string, the structure has the size that is given, both outlive the call.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    })
    .map(drop)
}

/// Marks every file descriptor from `first` on as closed at `execve`.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: flags of file descriptors change, none is closed under its owner.
    check_long(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOEXEC) }).map(drop)
}

/// Makes `from` also known under the number `to`.
pub(crate) fn dup2(from: BorrowedFd<'_>, to: i32) -> io::Result<()> {
    // SAFETY: `to` is 0, 1 or 2, which no value of ours owns.
    check(unsafe { libc::dup2(from.as_raw_fd(), to) }).map(drop)
}

/// Gives every signal its default effect and unblocks all, since ignored and blocked ones survive `execve`.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: no handler of ours is installed, and this process has one thread; SIGKILL and SIGSTOP just fail.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is filled before it is used.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Replaces this process by a program; returns only why it could not.
pub(crate) fn execve(program: &CStr, args: &[*const libc::c_char], env: &[*const libc::c_char]) -> io::Error {
    debug_assert!(
        args.last().is_some_and(|last| last.is_null()) && env.last().is_some_and(|last| last.is_null())
    );
    // SAFETY: both arrays end with a null pointer, and their strings are kept alive by the caller.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Sets a resource limit.
#[allow(clippy::cast_possible_wrap)] // the numbers of limits are small; C libraries differ in their type
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource as _, &raw const limit) }).map(drop)
}

/// Switches the loopback device of this network namespace on.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: the calls take a socket that is ours and a request that outlives them.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let mut request: libc::ifreq = std::mem::zeroed();
        for (letter, byte) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
            *letter = libc::c_char::try_from(*byte).unwrap_or_default();
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let result = check(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request));
        libc::close(socket);
        result.map(drop)
    }
}

/// Installs a seccomp program for this process and what it starts, without giving up set-user-id programs.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::other("the filter is too long"))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program during the call and does not write to it.
    check_long(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })
    .map(drop)
}
