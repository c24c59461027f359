//! The case of a base image that moves.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use super::{COLD, Case, Ground, PLAIN, Phase, SAME, Start};
use crate::host::{command::Run, folders, mounts, parts};

pub(super) const CASES: &[Case] = &[Case {
    name: "j-base-moved",
    title: "only the base's digest changed: its stage again, the stage that copies the same from it not",
    phases: &[
        Phase { change: move_base, pull: true, ..COLD },
        Phase { name: "base moved", start: Start::Kept, change: move_base, pull: true, ..COLD },
        Phase { pull: true, ..SAME },
    ],
    make: |corpus, _| corpus.file("make.sh", super::files::make_tree(2000)),
    ..PLAIN
}];

/// Pushes a base with one file that nobody has seen yet, under the name that the Dockerfile asks for.
fn move_base(ground: &Ground<'_>) -> Result<()> {
    let beside = ground.context.parent().context("a context without a folder")?.join("moved");
    mounts::delete(&beside)?;
    folders::make(&beside)?;
    folders::write(&beside.join("moved"), ground.token)?;
    let layer = beside.join("layer.tar");
    Command::new("tar")
        .args(["--create", "--file"])
        .arg(&layer)
        .arg("-C")
        .arg(&beside)
        .arg("moved")
        .text()?;
    let base = format!("{}/base:1", ground.registry);
    Command::new(parts::CRANE.ensure()?.join("crane"))
        .args(["append", "--insecure", "--base", &format!("{}/library/busybox:latest", ground.mirror)])
        .args(["--new_tag", &base, "--new_layer"])
        .arg(&layer)
        .text()?;
    fs::remove_file(&layer).context("failed to delete a scratch file")?;
    let text = format!(
        "FROM {base} AS build\nCOPY make.sh /\nRUN sh /make.sh\n\
         FROM busybox\nCOPY --from=build /app /app\nRUN sleep 1 && find /app -type f | wc -l > /count\n"
    );
    folders::write(&ground.context.join("Dockerfile"), text)
}
