//! The pause image: what holds a pod's namespaces. There is no public one to pull, so it is made here.

use std::process::Command;

use anyhow::Result;

use super::{
    parts::Parts,
    settings::{PAUSE_IMAGE, State},
};
use crate::host::{command::Run, folders};

/// Sleeps until it is told to end, and buries orphans, as the first process of a pod's namespace must.
const PAUSE: &str = r"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void bury(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  struct sigaction ending = {.sa_handler = end}, burying = {.sa_handler = bury, .sa_flags = SA_NOCLDSTOP};
  sigaction(SIGINT, &ending, 0);
  sigaction(SIGTERM, &ending, 0);
  sigaction(SIGCHLD, &burying, 0);
  for (;;) pause();
}
";

/// Compiles and pushes the image unless the registry has it.
pub(crate) fn ensure_pause(state: &State, parts: &Parts) -> Result<()> {
    if Command::new(parts.crane()).args(["digest", "--insecure", PAUSE_IMAGE]).succeeds() {
        return Ok(());
    }
    let folder = state.path("pause");
    folders::make(&folder)?;
    folders::write(&folder.join("pause.c"), PAUSE)?;
    Command::new("musl-gcc")
        .current_dir(&folder)
        .args(["-Os", "-static", "-s", "-o", "pause", "pause.c"])
        .text()?;
    Command::new("tar")
        .current_dir(&folder)
        .args(["--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-cf", "layer.tar", "pause"])
        .text()?;
    Command::new(parts.crane())
        .current_dir(&folder)
        .args(["append", "--oci-empty-base", "--insecure", "--new_layer=layer.tar", "--new_tag", PAUSE_IMAGE])
        .text()?;
    Command::new(parts.crane())
        .args([
            "mutate",
            "--insecure",
            "--entrypoint=/pause",
            "--set-platform=linux/amd64",
            "--tag",
            PAUSE_IMAGE,
            PAUSE_IMAGE,
        ])
        .text()
        .map(drop)
}
