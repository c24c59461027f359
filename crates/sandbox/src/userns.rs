//! Makes an ordinary user root of a user namespace, so that the rest of the program needs to know only root.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    process::{Command, Stdio},
    ptr,
};

use rustix::process::{getgid, getuid};

use crate::sys::{self, Fork};

/// How many ids an image needs beside root: as many as a pod with a user namespace has.
const WANTED: u32 = 65_535;
/// Set for the program that runs inside, so that it does not try again.
const MARK: &str = "SLIPWAY_USER_NAMESPACE";

/// Why the program could not become root of a user namespace.
#[derive(Debug, thiserror::Error)]
pub enum UserNamespaceError {
    /// The user has no ids to give to the namespace.
    #[error(
        "{user} has no subordinate ids in {file}, and images need more than one id. As root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` (choose a range that no other line has)"
    )]
    NoSubordinateIds {
        /// The user's name.
        user: String,
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
    },
    /// The helpers are not installed.
    #[error(
        "`{0}` is not installed; it comes with the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)"
    )]
    NoHelper(&'static str),
    /// A helper refused.
    #[error("`{helper}` failed: {message}")]
    Helper {
        /// Its name.
        helper: &'static str,
        /// What it wrote.
        message: String,
    },
    /// The kernel refused the namespace.
    #[error("the kernel refuses a user namespace: {source}{hint}")]
    Refused {
        /// Its answer.
        source: io::Error,
        /// What usually causes it.
        hint: &'static str,
    },
    /// Called too late.
    #[error("a user namespace can only be entered before the program starts its threads")]
    Threads,
    /// Another call failed.
    #[error("failed to {step}")]
    System {
        /// What was tried.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Lets the program run as root of a new user namespace: starts it again in there, with the same arguments and the same
/// process id. Returns only where that is not needed (root, or inside already) or not possible.
///
/// Root inside is the user outside; the ids from 1 on are the user's subordinate ids. To be called in `main` after
/// [`crate::init_if_asked`], before any thread is started.
pub fn enter_user_namespace() -> Result<(), UserNamespaceError> {
    if getuid().is_root() || std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let system = |step| move |source| UserNamespaceError::System { step, source };
    if sys::thread_count().map_err(system("count the program's threads"))? != 1 {
        return Err(UserNamespaceError::Threads);
    }
    let user = user_name(getuid().as_raw());
    let uids = range("/etc/subuid", &user, getuid().as_raw())?;
    let gids = range("/etc/subgid", &user, getuid().as_raw())?;
    let helpers = [
        Helper { name: "newuidmap", own: getuid().as_raw(), range: uids },
        Helper { name: "newgidmap", own: getgid().as_raw(), range: gids },
    ];
    for helper in &helpers {
        // Without an argument it only prints its usage.
        if let Err(error) = Command::new(helper.name).stderr(Stdio::null()).stdout(Stdio::null()).status() {
            return Err(match error.kind() {
                io::ErrorKind::NotFound => UserNamespaceError::NoHelper(helper.name),
                _ => UserNamespaceError::Helper { helper: helper.name, message: error.to_string() },
            });
        }
    }
    enter_and_map(&helpers)?;
    Err(UserNamespaceError::System { step: "start the program again", source: start_again() })
}

struct Helper {
    name: &'static str,
    own: u32,
    range: (u32, u32),
}

impl Helper {
    /// Writes a map of the process; to be called outside of the namespace.
    fn map(&self, process: u32) -> Result<(), String> {
        let (first, count) = self.range;
        let words = [process, 0, self.own, 1, 1, first, count].map(|number| number.to_string());
        let output = Command::new(self.name).args(words).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

/// Enters the namespace, while a child that stays outside has its maps written.
fn enter_and_map(helpers: &[Helper]) -> Result<(), UserNamespaceError> {
    let system = |step| move |source: io::Error| UserNamespaceError::System { step, source };
    let process = std::process::id();
    let (go_read, go_write) = io::pipe().map_err(system("make a pipe"))?;
    let (mut said_read, said_write) = io::pipe().map_err(system("make a pipe"))?;
    match sys::fork().map_err(system("start a process"))? {
        Fork::Child => {
            drop((go_write, said_read));
            mapper(helpers, process, go_read, said_write);
            sys::exit_now(0)
        }
        Fork::Parent(_) => {}
    }
    drop((go_read, said_write));
    let entered = sys::unshare(libc::CLONE_NEWUSER).map_err(|source| {
        let hint = match source.raw_os_error() {
            Some(libc::EPERM) => {
                " (the sysctl kernel.unprivileged_userns_clone or a seccomp profile forbids it)"
            }
            Some(libc::ENOSPC) => " (the sysctl user.max_user_namespaces is used up or 0)",
            Some(libc::EACCES) => " (the sysctl kernel.apparmor_restrict_unprivileged_userns forbids it)",
            _ => "",
        };
        UserNamespaceError::Refused { source, hint }
    });
    if entered.is_ok() {
        let _ = io::Write::write_all(&mut &go_write, b"g");
    }
    drop(go_write);
    let mut said = String::new();
    io::Read::read_to_string(&mut said_read, &mut said).map_err(system("hear from the mapping process"))?;
    let _ = sys::wait_any();
    entered?;
    match said.split_once('\0') {
        None => Ok(()),
        Some((name, message)) => Err(UserNamespaceError::Helper {
            helper: helpers
                .iter()
                .map(|helper| helper.name)
                .find(|known| *known == name)
                .unwrap_or("newuidmap"),
            message: message.to_owned(),
        }),
    }
}

/// The child: waits for the namespace, has the maps written, says what went wrong.
fn mapper(helpers: &[Helper], process: u32, mut go: io::PipeReader, mut said: io::PipeWriter) {
    let mut byte = [0];
    if !matches!(io::Read::read(&mut go, &mut byte), Ok(1)) {
        return;
    }
    for helper in helpers {
        if let Err(message) = helper.map(process) {
            let _ = io::Write::write_all(&mut said, format!("{}\0{message}", helper.name).as_bytes());
            return;
        }
    }
}

/// Replaces the program by itself, which now begins as root with all capabilities of the namespace.
fn start_again() -> io::Error {
    let text = |bytes: &[u8]| CString::new(bytes);
    let args: Result<Vec<_>, _> = std::env::args_os().map(|arg| text(arg.as_bytes())).collect();
    let env: Result<Vec<_>, _> = std::env::vars_os()
        .map(|(key, value)| {
            let mut entry = key.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            CString::new(entry)
        })
        .chain([CString::new(format!("{MARK}=1"))])
        .collect();
    let (Ok(args), Ok(env)) = (args, env) else { return io::ErrorKind::InvalidInput.into() };
    let pointers =
        |list: &[CString]| -> Vec<_> { list.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect() };
    sys::execve(c"/proc/self/exe", &pointers(&args), &pointers(&env))
}

/// Returns the name of a user, or the number where it has none.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

fn range(file: &'static str, user: &str, uid: u32) -> Result<(u32, u32), UserNamespaceError> {
    largest(&fs::read_to_string(file).unwrap_or_default(), user, uid)
        .ok_or_else(|| UserNamespaceError::NoSubordinateIds { user: user.to_owned(), file })
}

/// Returns the largest range of a user, by name or number: first id and count, not more than wanted.
fn largest(text: &str, user: &str, uid: u32) -> Option<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            if owner != user && owner.parse() != Ok(uid) {
                return None;
            }
            let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some((first, count.min(WANTED)))
        })
        .filter(|(_, count)| *count > 0)
        .max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_largest_range_by_name_or_number() {
        let text = "alice:100000:65536\nbob:200000:10\n1001:300000:65536\nbob:bad:5\n";
        assert_eq!(largest(text, "alice", 1000), Some((100_000, 65_535)));
        assert_eq!(largest(text, "bob", 1001), Some((300_000, 65_535)));
        assert_eq!(largest(text, "bob", 1002), Some((200_000, 10)));
        assert_eq!(largest(text, "eve", 1003), None);
    }
}
