//! `--tag`, `--output` and `--push`: which image goes where.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use slipway_executor::assemble::export::Export;
use slipway_executor::assemble::forms::Shape;
use slipway_graph::Graph;
use slipway_oci::compress::Compression;
use slipway_oci::media::Flavour;
use slipway_oci::{Platform, Reference};

use super::annotations::Notes;
use super::args::Args;

/// Where everything goes.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Push named images.
    pub(super) push: bool,
    /// Push by digest alone, without tags.
    pub(super) by_digest: bool,
    /// Names that an output gave.
    pub(super) names: Vec<Reference>,
    /// Files and folders.
    pub(super) exports: Vec<Export>,
    /// How layers are packed.
    pub(super) shape: Shape,
    /// Whose types.
    pub(super) flavour: Flavour,
    /// `rewrite-timestamp`.
    pub(super) rewrite_timestamp: bool,
    /// Annotations, of outputs and of `--annotation`.
    pub(super) notes: Notes,
    /// Whether `tar` and `local` have a folder a platform; where several are built, if nothing is said.
    pub(super) split: Option<bool>,
}

/// Reads the flags.
pub(super) fn read(args: &Args, platforms: &[Platform]) -> anyhow::Result<Outputs> {
    let mut outputs = Outputs { push: args.push, ..Outputs::default() };
    for text in &args.outputs {
        one(text, &mut outputs).with_context(|| format!("`--output {text}`"))?;
    }
    for text in &args.annotations {
        outputs.notes.of_flag(text).with_context(|| format!("`--annotation {text}`"))?;
    }
    if platforms.len() > 1 {
        for export in &outputs.exports {
            if matches!(export, Export::DockerArchive(_)) {
                bail!(
                    "`type=docker`: a docker archive holds an image for one platform; write type=oci, or give one --platform"
                );
            }
        }
        if outputs.split == Some(false) {
            bail!(
                "`platform-split=false`: the files of several platforms would overwrite each other; give one --platform"
            );
        }
    } else if outputs.notes.needs_index() {
        bail!(
            "an annotation of the index needs an index: build for several platforms, or annotate the manifest"
        );
    }
    Ok(outputs)
}

impl Outputs {
    /// Tells whether packed layers go nowhere but to registries.
    pub(super) fn only_pushed(&self) -> bool {
        self.push && !self.exports.iter().any(Export::needs_blobs)
    }

    /// Returns the folder of an output of plain files for a platform; empty for the output itself.
    pub(super) fn folder(&self, platform: &Platform, platforms: usize) -> String {
        if self.split.unwrap_or(platforms > 1) { platform.folder() } else { String::new() }
    }
}

fn one(text: &str, outputs: &mut Outputs) -> anyhow::Result<()> {
    if !text.contains('=') {
        // As in Docker: a lone path is a folder, and `-` an archive of the files.
        let path = PathBuf::from(text);
        outputs.exports.push(if text == "-" { Export::Tar(path) } else { Export::Local(path) });
        return Ok(());
    }
    let (mut kind, mut dest, mut tar) = (None, None, true);
    let (mut compression, mut level) = (None, None);
    let mut docker_types = None;
    for part in text.split(',') {
        let (key, value) = part.split_once('=').with_context(|| format!("`{part}` is not KEY=VALUE"))?;
        let switch = || match value {
            "true" | "1" | "" => Ok(true),
            "false" | "0" => Ok(false),
            _ => bail!("`{part}` is neither true nor false"),
        };
        match key {
            "type" => kind = Some(value.to_owned()),
            "dest" => dest = Some(PathBuf::from(value)),
            "name" => outputs.names.push(value.parse()?),
            "tar" => tar = switch()?,
            "push" => outputs.push |= switch()?,
            "push-by-digest" => outputs.by_digest = switch()?,
            "compression" => compression = Some(value.to_owned()),
            "compression-level" => level = Some(value.parse()?),
            "oci-mediatypes" => docker_types = Some(!switch()?),
            "rewrite-timestamp" => outputs.rewrite_timestamp = switch()?,
            "platform-split" => outputs.split = Some(switch()?),
            "force-compression" | "store" | "unpack" => drop(switch()?),
            _ if key.starts_with("annotation") => outputs.notes.of_output(key, value)?,
            _ => bail!("`{key}` is not known"),
        }
    }
    if compression.is_some() || level.is_some() {
        outputs.shape.compression = Compression::parse(compression.as_deref().unwrap_or("gzip"), level)?;
    }
    if let Some(docker) = docker_types {
        outputs.flavour = if docker { Flavour::Docker } else { Flavour::Oci };
    }
    let kind = kind.context("it has no type: registry, image, oci, docker, tar or local")?;
    let need = |dest: Option<PathBuf>| dest.context("it has no dest");
    match kind.as_str() {
        "registry" => outputs.push = true,
        "image" | "cacheonly" => {}
        "oci" if tar => outputs.exports.push(Export::OciArchive(need(dest)?)),
        "oci" => outputs.exports.push(Export::OciFolder(need(dest)?)),
        "docker" => {
            if docker_types.is_none() {
                outputs.flavour = Flavour::Docker;
            }
            outputs.exports.push(Export::DockerArchive(need(dest)?));
        }
        "tar" => outputs.exports.push(Export::Tar(need(dest)?)),
        "local" => outputs.exports.push(Export::Local(need(dest)?)),
        _ => bail!("`type={kind}` is not known; there are registry, image, oci, docker, tar and local"),
    }
    Ok(())
}

/// Returns the names of each target of the graph. `TARGET=name` is for one; plain names are for the last one.
pub(super) fn names(args: &Args, outputs: &Outputs, graph: &Graph) -> anyhow::Result<Vec<Vec<Reference>>> {
    let targets: Vec<&str> =
        graph.targets().filter_map(|group| Some(group.first()?.target.as_str())).collect();
    let mut names = vec![Vec::new(); targets.len()];
    let last = names.len().saturating_sub(1);
    for text in &args.tags {
        let (place, name) = match text.split_once('=') {
            Some((target, name)) => {
                let place = targets.iter().position(|known| known.eq_ignore_ascii_case(target));
                (place.with_context(|| format!("`--tag {text}`: `{target}` is not among the targets"))?, name)
            }
            None => (last, text.as_str()),
        };
        names[place].push(name.parse::<Reference>().with_context(|| format!("`--tag {text}`"))?);
    }
    if let Some(last) = names.last_mut() {
        last.extend(outputs.names.iter().cloned());
    }
    if outputs.push && names.iter().all(Vec::is_empty) {
        bail!("there is nothing to push: name the image with --tag");
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_as_docker_reads_them() {
        let read = |text: &str| {
            let mut outputs = Outputs::default();
            one(text, &mut outputs).map(|()| outputs)
        };
        assert_eq!(read("out").expect("a folder").exports, [Export::Local("out".into())]);
        assert_eq!(read("-").expect("an archive").exports, [Export::Tar("-".into())]);
        assert_eq!(read("type=oci,dest=x").expect("oci").exports, [Export::OciArchive("x".into())]);
        assert_eq!(read("type=oci,dest=x,tar=false").expect("oci").exports, [Export::OciFolder("x".into())]);
        assert_eq!(read("type=docker,dest=x").expect("docker").flavour, Flavour::Docker);
        assert_eq!(
            read("type=image,push=true,compression=zstd").expect("zstd").shape.compression,
            Compression::ZSTD
        );
        assert!(read("type=oci").is_err());
        assert!(read("type=nope,dest=x").is_err());
        assert!(read("type=tar,dest=x,colour=red").is_err());
    }
}
