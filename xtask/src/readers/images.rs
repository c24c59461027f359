//! The images of `tests/readers`, in every form that Slipway writes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::host::{command::Run, folders, parts};

/// Forms: a name, and what asks for it.
const FORMS: &[(&str, &str)] = &[
    ("gzip", "compression=gzip,oci-mediatypes=true"),
    ("zstd", "compression=zstd,oci-mediatypes=true"),
    ("none", "compression=none,oci-mediatypes=true"),
    ("docker", "compression=gzip,oci-mediatypes=false"),
];

/// One image in one form: pushed, and as archives.
pub(crate) struct Image {
    case: String,
    form: &'static str,
    registry: String,
    place: PathBuf,
}

/// Builds all of them.
pub(crate) fn build(registry: &str, place: &Path) -> Result<Vec<Image>> {
    let folder = folders::checkout().join("tests/readers");
    let mut cases: Vec<String> = fs::read_dir(&folder)
        .context("there are no images to read")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    cases.sort_unstable();
    let mut images = Vec::new();
    for case in cases {
        for (form, options) in FORMS {
            let image = Image {
                case: case.clone(),
                form,
                registry: registry.to_owned(),
                place: place.join(format!("{case}-{form}")),
            };
            folders::make(&image.place)?;
            let output = |kind: &str, path: &Path| format!("type={kind},dest={},{options}", path.display());
            Command::new(folders::target().join("debug/slipway"))
                .args(["build", "--progress", "plain", "--push", "--tag", &image.reference(), "--root"])
                .arg(place.join("store"))
                .args([
                    "--registry-mirror",
                    &format!("docker.io={registry}"),
                    "--insecure-registry",
                    registry,
                ])
                .args(["--output", &output("oci", &image.oci_archive())])
                .args(["--output", &output("docker", &image.docker_archive())])
                .args(["--output", &format!("type=tar,dest={}", image.place.join("tree.tar").display())])
                .arg(folder.join(&case))
                .text()?;
            images.push(image);
        }
    }
    Ok(images)
}

impl Image {
    /// A name for containers and messages.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.case, self.form)
    }

    pub(crate) fn reference(&self) -> String {
        format!("{}/readers/{}:{}", self.registry, self.case, self.form)
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    pub(crate) fn oci_archive(&self) -> PathBuf {
        self.place.join("oci.tar")
    }

    pub(crate) fn docker_archive(&self) -> PathBuf {
        self.place.join("docker.tar")
    }

    /// Whether there is anything to run in it.
    pub(crate) fn runs(&self) -> bool {
        self.case != "bare"
    }

    fn crane(words: &[&str]) -> Result<String> {
        Command::new(parts::CRANE.ensure()?.join("crane")).args(words).text()
    }

    pub(crate) fn digest(&self) -> Result<String> {
        Ok(Self::crane(&["digest", "--insecure", &self.reference()])?.trim().to_owned())
    }

    /// Checks every digest, size and diff id of the pushed image and of the archive. crane takes every
    /// layer of a registry for gzip, and looks only at what is there where it is none.
    pub(crate) fn validated_by_crane(&self) -> Result<()> {
        let mut words = vec!["validate", "--insecure", "--remote"];
        let reference = self.reference();
        words.push(&reference);
        if matches!(self.form, "zstd" | "none") {
            words.push("--fast");
            return Self::crane(&words).map(drop);
        }
        Self::crane(&words)?;
        Self::crane(&["validate", "--tarball", &self.docker_archive().display().to_string()]).map(drop)
    }

    /// What GNU tar makes of the flattened tree that Slipway writes itself.
    pub(crate) fn unpacked_by_tar(&self) -> Result<String> {
        let root = self.place.join("tree");
        folders::make(&root)?;
        Command::new("tar")
            .args(["--extract", "--numeric-owner", "--same-permissions", "--xattrs", "--file"])
            .arg(self.place.join("tree.tar"))
            .arg("--directory")
            .arg(&root)
            .text()?;
        ensure!(!self.runs() || root.join("bin").exists(), "the tree of {} is empty", self.name());
        super::listing(&root)
    }
}
