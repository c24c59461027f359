//! Files that are made from code, so that they cannot tell another story than the code does.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::host::{command::Run, folders};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Changes nothing, and fails where a file is stale.
    #[arg(long)]
    pub(crate) check: bool,
}

/// What prints a file, and where it stands.
const FILES: &[(&[&str], &[&str])] = &[
    (
        &["--package", "slipway-crds"],
        &["crds/imagebuilds.yaml", "charts/slipway/crds-source/imagebuilds.yaml"],
    ),
    (&["--package", "slipway-crds", "--", "--reference"], &["docs/resource.md"]),
    (&["--package", "slipway-operator", "--", "--metrics-reference"], &["docs/metrics.md"]),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut stale = Vec::new();
    for (program, places) in FILES {
        let text = Command::new("cargo")
            .current_dir(folders::checkout())
            .args(["run", "--quiet", "--locked"])
            .args(*program)
            .text()?;
        for place in *places {
            let path = folders::checkout().join(place);
            if fs::read_to_string(&path).is_ok_and(|stored| stored == text) {
                continue;
            }
            if options.check {
                stale.push(*place);
            } else {
                fs::write(&path, &text).with_context(|| format!("failed to write {place}"))?;
                println!("wrote {place}");
            }
        }
    }
    if !stale.is_empty() {
        bail!("stale: {}; run `cargo xtask gen`", stale.join(", "));
    }
    Ok(())
}
