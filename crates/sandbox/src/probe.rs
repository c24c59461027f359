//! Finds out which ways to run commands work here, by trying them, and chooses one.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::thread::{CapabilitySet, capabilities};

use crate::{Container, Error, Overlay, Root, Sandbox, spec::RunSpec};

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// The best way that works.
    #[default]
    Auto,
    /// Overlay in one of its ways, or an error.
    Overlay,
    /// One of the ways without mounts and namespaces, or an error.
    Root,
}

/// A way to run commands, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// [`Overlay::granted`].
    Granted,
    /// [`Overlay::nested`].
    Nested,
    /// [`Container`].
    Container,
    /// [`Root`].
    Root,
}

impl Way {
    /// All, best first.
    pub const ALL: [Self; 4] = [Self::Granted, Self::Nested, Self::Container, Self::Root];

    /// Returns the name for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "overlay, with the right to mount that the process has",
            Self::Nested => "overlay, in a user namespace of its own",
            Self::Container => "root, in the container's own file system",
            Self::Root => "root, in a directory entered by chroot",
        }
    }
}

/// What was chosen and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The way.
    pub way: Way,
    /// Why this one, and why no better one; a sentence for a person.
    pub reason: String,
}

/// What works here.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Every way with why it does not work, best first.
    pub ways: Vec<(Way, Result<(), String>)>,
    /// The best that works.
    pub best: Option<Way>,
}

/// Tries every way. `scratch` is a directory on the file system that the changes of commands will lie on.
pub fn probe(scratch: &Path) -> Probe {
    let ways: Vec<_> = Way::ALL.into_iter().map(|way| (way, attempt(way, scratch))).collect();
    let best = ways.iter().find(|(_, result)| result.is_ok()).map(|(way, _)| *way);
    Probe { ways, best }
}

/// Chooses the best way that works among those that `requested` allows.
pub fn choose(requested: Isolation, scratch: &Path) -> Result<(Box<dyn Sandbox>, Choice), Error> {
    let mut refused = Vec::new();
    for way in Way::ALL {
        let allowed = match requested {
            Isolation::Auto => true,
            Isolation::Overlay => matches!(way, Way::Granted | Way::Nested),
            Isolation::Root => matches!(way, Way::Container | Way::Root),
        };
        if !allowed {
            continue;
        }
        match attempt(way, scratch) {
            Ok(()) => {
                let reason = match (requested, refused.as_slice()) {
                    (Isolation::Root, []) => "asked for".to_owned(),
                    (_, []) => "the best way works here".to_owned(),
                    (_, refused) => format!("no better way works here: {}", refused.join("; ")),
                };
                return Ok((sandbox(way, scratch), Choice { way, reason }));
            }
            Err(why) => refused.push(format!("{}: {why}", way.name())),
        }
    }
    Err(Error::NoWay(refused.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")))
}

fn sandbox(way: Way, scratch: &Path) -> Box<dyn Sandbox> {
    match way {
        Way::Granted => Box::new(Overlay::granted()),
        Way::Nested => Box::new(Overlay::nested()),
        Way::Container => Box::new(Container::new()),
        Way::Root => Box::new(Root::new(scratch)),
    }
}

fn attempt(way: Way, scratch: &Path) -> Result<(), String> {
    match way {
        Way::Granted => {
            require(CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN")?;
            attempt_overlay(Overlay::granted(), scratch).map_err(|why| why + &surroundings())
        }
        Way::Nested => {
            let wanted = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::SETFCAP;
            require(wanted, "CAP_SETUID, CAP_SETGID and CAP_SETFCAP")?;
            attempt_overlay(Overlay::nested(), scratch).map_err(|why| why + &surroundings())
        }
        Way::Container => Container::check_rights(scratch),
        Way::Root => Root::check_rights(),
    }
}

pub(crate) fn require(wanted: CapabilitySet, names: &str) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("the process is not root, and did not become root of a user namespace".to_owned());
    }
    let has = capabilities(None).map_err(|error| error.to_string())?.effective;
    if has.contains(wanted) { Ok(()) } else { Err(format!("the process lacks {names}")) }
}

/// Tells what may have refused a call without saying so.
fn surroundings() -> String {
    let mut parts = Vec::new();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])) {
        parts.push("a seccomp profile".to_owned());
    }
    let profile = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    let profile = profile.trim_end_matches(['\0', '\n']);
    if !profile.is_empty() && profile != "unconfined" {
        parts.push(format!("the security label `{profile}`"));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" (the process runs under {})", parts.join(" and "))
    }
}

fn attempt_overlay(overlay: Overlay, scratch: &Path) -> Result<(), String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let place = scratch.join(format!(".probe-{}-{number}", std::process::id()));
    let result = lay_out(&place)
        .map_err(|error| format!("failed to make `{}`: {error}", place.display()))
        .and_then(|spec| overlay.probe(&spec).map_err(|error| error.to_string()).and_then(|()| judge(&spec)));
    // The scratch directory is the caller's to clean as well.
    let _ = fs::remove_dir_all(&place);
    result
}

fn lay_out(place: &Path) -> io::Result<RunSpec> {
    let [lower, upper, work, root] = ["lower", "upper", "work", "root"].map(|name| place.join(name));
    for directory in [&lower.join("directory"), &upper, &work, &root] {
        fs::create_dir_all(directory)?;
    }
    fs::write(lower.join("file"), "")?;
    fs::write(lower.join("directory/file"), "")?;
    // The program is never started.
    let args = vec!["probe".to_owned()];
    Ok(RunSpec { args, lowers: vec![lower], upper, work, root, ..RunSpec::default() })
}

/// Looks whether the changes were noted in the form that a layer is read from.
fn judge(spec: &RunSpec) -> Result<(), String> {
    let removed: PathBuf = spec.upper.join("file");
    let whiteout =
        fs::symlink_metadata(&removed).is_ok_and(|is| is.file_type().is_char_device() && is.rdev() == 0);
    if !whiteout {
        return Err("overlayfs did not note a removed file as a whiteout".to_owned());
    }
    let mut value = [0; 8];
    match rustix::fs::lgetxattr(spec.upper.join("directory"), "user.overlay.opaque", &mut value) {
        Ok(1) if value[0] == b'y' => Ok(()),
        Ok(_) => Err("overlayfs noted a replaced directory in an unknown form".to_owned()),
        Err(error) => Err(format!(
            "overlayfs did not note a replaced directory (does the file system have extended attributes?): {error}"
        )),
    }
}
