//! Base images from Debian packages, pushed to a registry under the names that Dockerfiles ask for.
//!
//! Where no public registry can be reached, that registry is used as a mirror of all of them. The images are stand-ins
//! made for tests: the tag says what a Dockerfile asks for, and the content is what this machine's Debian, Go and Node
//! have. Layers are kept in the cache, so that only the first run on a machine makes them.

mod layers;
mod recipes;

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Result, bail};

use crate::{
    cluster::Access,
    host::{command::Run, packages, parts},
    test::on_a_cluster,
};
use recipes::{Base, CATALOGUE};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Makes only these, and what they build on.
    #[arg(long)]
    only: Vec<String>,
    /// Makes the large ones too, which the tests do without.
    #[arg(long)]
    all: bool,
    /// Tells what there is, and makes nothing.
    #[arg(long)]
    list: bool,
}

/// The label by which an image tells which recipe made it.
const LABEL: &str = "dev.slipway.base";

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for base in CATALOGUE {
            let mark = if base.large { " (large)" } else { "" };
            println!("{:<12} {}{mark}", base.name, base.references().join(" "));
        }
        return Ok(());
    }
    let names: Vec<&str> = if options.only.is_empty() {
        CATALOGUE.iter().filter(|base| options.all || !base.large).map(|base| base.name).collect()
    } else {
        options.only.iter().map(String::as_str).collect()
    };
    on_a_cluster(|access| ensure(access, &names))
}

/// Makes sure that the registry of a cluster has these bases.
pub(crate) fn ensure(access: &Access, names: &[&str]) -> Result<()> {
    layers::ensure_possible()?;
    packages::ensure(packages::BASES)?;
    let crane = parts::CRANE.ensure()?.join("crane");
    for name in names {
        let Some(base) = CATALOGUE.iter().find(|base| base.name == *name) else {
            let known: Vec<&str> = CATALOGUE.iter().map(|base| base.name).collect();
            bail!("there is no base named {name}; there are {}", known.join(", "));
        };
        push(base, access.registry(), &crane)?;
    }
    Ok(())
}

/// The names of the bases that are pushed to this repository, such as `node` or `gcr.io/distroless/static`.
pub(crate) fn holding(image: &str) -> Vec<&'static str> {
    let path = path_of(image);
    let holds = |base: &&Base| base.names.iter().any(|(repository, _)| *repository == path);
    CATALOGUE.iter().filter(holds).map(|base| base.name).collect()
}

/// An image's path in the registry: a host has a dot, and what has neither host nor folder lies in `library`.
fn path_of(image: &str) -> String {
    match image.split_once('/') {
        Some((host, path)) if host.contains('.') => path.to_owned(),
        Some(_) => image.to_owned(),
        None => format!("library/{image}"),
    }
}

/// Tells whether there is a base with this name and tag.
#[cfg(test)]
pub(crate) fn has(image: &str) -> bool {
    let tagged = if image.contains(':') { path_of(image) } else { format!("{}:latest", path_of(image)) };
    CATALOGUE.iter().any(|base| base.references().contains(&tagged))
}

/// Pushes one base under all of its names, unless the registry has them from the same recipe.
fn push(base: &Base, registry: &str, crane: &Path) -> Result<()> {
    let crane = || Command::new(crane);
    let recipe = base.image_key();
    let references = base.references();
    let present = |reference: &String| {
        crane()
            .args(["config", "--insecure", &format!("{registry}/{reference}")])
            .text()
            .is_ok_and(|config| config.contains(&recipe))
    };
    if references.iter().all(present) {
        return Ok(());
    }
    let start = Instant::now();
    let first = format!("{registry}/{}", references[0]);
    let below = base.below();
    if let Some(below) = below {
        push(below, registry, Path::new(crane().get_program()))?;
    }
    let layer = layers::ensure(base)?;
    let mut append = crane();
    append.args(["append", "--insecure", "--new_tag", &first, "--new_layer"]).arg(&layer);
    match below {
        Some(below) => append.args(["--base", &format!("{registry}/{}", below.references()[0])]),
        None => append.arg("--oci-empty-base"),
    };
    append.text()?;
    let platform = format!("linux/{}", layers::architecture()?);
    crane()
        .args(["mutate", "--insecure", "--tag", &first, "--set-platform", &platform])
        .args(["--label", &format!("{LABEL}={recipe}")])
        .args(base.settings)
        .args(layers::certificate_settings(base))
        .arg(&first)
        .text()?;
    for reference in &references[1..] {
        crane().args(["copy", "--insecure", &first, &format!("{registry}/{reference}")]).text()?;
    }
    println!("pushed {} in {:.0} s", references.join(" "), start.elapsed().as_secs_f64());
    Ok(())
}
