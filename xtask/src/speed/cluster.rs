//! `cargo xtask bench --cluster`: the same cases by an ImageBuild and by a kaniko pod, beside a daemon on the node.
//!
//! Both kinds of pods have the context from one claim over the volume in which it lies, pull from the cluster's registry and
//! push to one that is started on the node's address.

mod bed;
mod imagebuild;
mod kaniko_pod;
mod watch;

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{
    Options,
    builders::{Builder, Buildkit, Buildkitd, Job},
    cases::{self, Case},
    measure::{self, Bench},
    registry::Registry,
    volume::Volume,
};
use crate::{
    cluster::{self, Access, NODE_ADDRESS},
    host::{folders, mounts},
    images,
    install::Helm,
};
use bed::Bed;
use imagebuild::ImageBuild;
use kaniko_pod::KanikoPod;

/// The name of the ImageBuild among the builders.
pub(super) const SUBJECT: &str = "imagebuild";
/// The name of the ImageBuild that has one pod for all of its stages.
pub(super) const SINGLE: &str = "imagebuild-single";
/// The name of kaniko's pod.
pub(super) const POD: &str = "kaniko-pod";

/// Installs an operator, measures the cases, and stores what was found.
pub(super) fn measure(
    options: &Options,
    program: &Path,
    chosen: &[&Case],
    folder: &Path,
    output: &Path,
) -> Result<()> {
    if Access::given()?.is_some() {
        bail!(
            "stores and contexts lie on this machine's volumes, so the cluster must be this machine's too\nhelp: unset KUBECONFIG"
        );
    }
    let programs = program.parent().context("a program without a folder")?;
    cluster::lent(|access| {
        cases::bring_bases(access, chosen)?;
        let registry = Registry::start(NODE_ADDRESS, folder.join("registry"))?;
        let prepared = install(access, programs, registry.address())
            .and_then(|()| builders(access, options, programs, folder, registry.address()));
        let builders = match prepared {
            Ok(builders) => builders,
            Err(error) => {
                registry.end()?;
                return Err(error);
            }
        };
        let mirror = access.registry().to_owned();
        let bench = Bench::start(folder, registry, mirror, builders, options.copy_gb * 1_000_000_000)?;
        let outcome = warm_up(&bench)
            .and_then(|()| measure::cases(&bench, chosen, options, output, |results| &mut results.cluster));
        bench.end()?;
        mounts::delete(folder)?;
        outcome
    })
}

/// Installs the chart, with images of these programs and a registry more that speaks plain HTTP.
fn install(access: &Access, programs: &Path, registry: &str) -> Result<()> {
    let images = match images::named()? {
        Some(named) => named,
        None => images::push_compiled(access, programs)?,
    };
    let plain: Vec<&str> =
        [access.registry(), registry].into_iter().chain(access.private_registry()).collect();
    let plain = format!("registries.insecure={{{}}}", plain.join(","));
    Helm::new(access)?.upgrade(&images, &[&plain]).map(drop)
}

fn builders(
    access: &Access,
    options: &Options,
    programs: &Path,
    folder: &Path,
    registry: &str,
) -> Result<Vec<Box<dyn Builder>>> {
    let bed = |kind| Bed { access: access.clone(), kind, contexts: measure::contexts(folder) };
    let mirror = access.registry().to_owned();
    let imagebuild = |kind, pods| ImageBuild::new(bed(kind), Volume::at(folder.join(kind)), pods);
    let mut builders: Vec<Box<dyn Builder>> = vec![Box::new(imagebuild(SUBJECT, "PerStage"))];
    if options.single {
        builders.push(Box::new(imagebuild(SINGLE, "Single")));
    }
    if let Some(program) = &options.kaniko {
        let image = kaniko_pod::push_image(access, programs, program)?;
        builders.push(Box::new(KanikoPod::new(bed(POD), program.clone(), image, mirror.clone())));
    }
    let plain = Some(registry.to_owned());
    let (named, volume) = ("buildkit", |name: &str| Volume::at(folder.join(name)));
    builders.push(match options.buildkitd.clone() {
        None => Box::new(Buildkit { volume: volume(named), mirror, plain }),
        Some(program) => Box::new(Buildkitd { program, volume: volume("buildkitd"), mirror, plain }),
    });
    Ok(builders)
}

/// Has each make an image, so that the node has the images of all pods before anybody counts.
fn warm_up(bench: &Bench) -> Result<()> {
    let corpus = bench.corpus()?;
    corpus.file("Dockerfile", "FROM busybox\nCOPY Dockerfile /\nRUN true\n")?;
    let dockerfile = corpus.path().join("Dockerfile");
    for builder in bench.builders().filter(|builder| builder.is_elsewhere()) {
        builder.reset()?;
        let tag = Some(format!("{}/{}/warm-up:0", bench.registry(), builder.name()));
        let outcome = builder.build(&Job { tag, ..Job::new(corpus.path(), &dockerfile) });
        builder.end()?;
        outcome.with_context(|| format!("{} does not work at all", builder.name()))?;
    }
    folders::make(bench.folder())
}
