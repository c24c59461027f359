//! What the commands use of the machine they run on: folders, programs, Debian packages and processes.

pub(crate) mod command;
pub(crate) mod daemon;
pub(crate) mod debian;
pub(crate) mod folders;
pub(crate) mod modules;
pub(crate) mod mounts;
pub(crate) mod packages;
pub(crate) mod parts;
