//! Readers that come as packages of Debian, in the root folder of the peers, which sees this machine's files below `/host`.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::images::Image;
use crate::{host::command::Run, peers::Peer};

fn hosted(path: &Path) -> String {
    format!("/host{}", path.display())
}

fn run(words: &[&str]) -> Result<String> {
    Peer::Buildah.inside()?.args(words).text()
}

/// skopeo inspects the image in the registry, and copies it and its archives without changing a byte.
pub(crate) fn inspected_and_copied_by_skopeo(image: &Image, digest: &str) -> Result<()> {
    let remote = format!("docker://{}", image.reference());
    let said = run(&["skopeo", "inspect", "--tls-verify=false", &remote])?;
    let seen: Value = serde_json::from_str(&said).context("skopeo inspects in an odd way")?;
    ensure!(seen["Digest"] == digest, "skopeo sees another digest of {}: {said}", image.name());
    let from = [
        remote,
        format!("oci-archive:{}", hosted(&image.oci_archive())),
        // Its layers are packed, which this form has no word for.
        format!("docker-archive:{}", hosted(&image.docker_archive())),
    ];
    for (number, source) in from.iter().enumerate() {
        let target = image.place().join(format!("copy-{number}"));
        let to = format!("dir:{}", hosted(&target));
        let keep = if number < 2 { "--preserve-digests" } else { "--quiet" };
        run(&["skopeo", "copy", "--src-tls-verify=false", keep, source, &to])
            .with_context(|| format!("skopeo copy of {}", image.name()))?;
        if number == 0 {
            let manifest = fs::read(target.join("manifest.json")).context("skopeo wrote no manifest")?;
            let said = run(&["skopeo", "manifest-digest", &hosted(&target.join("manifest.json"))])?;
            ensure!(!manifest.is_empty() && said.trim() == digest, "skopeo changed {}: {said}", image.name());
        }
    }
    Ok(())
}

/// umoci unpacks the image; returns what it made.
pub(crate) fn unpacked_by_umoci(image: &Image) -> Result<String> {
    let layout = image.place().join("layout");
    let bundle = image.place().join("bundle");
    // From an archive to a folder, which is what umoci reads.
    let (from, to) = (format!("docker://{}", image.reference()), format!("oci:{}:test", hosted(&layout)));
    let form = if image.name().ends_with("-docker") { "--format=oci" } else { "--preserve-digests" };
    run(&["skopeo", "copy", "--src-tls-verify=false", form, &from, &to])?;
    run(&["umoci", "unpack", "--image", &format!("{}:test", hosted(&layout)), &hosted(&bundle)])
        .with_context(|| format!("umoci unpack of {}", image.name()))?;
    super::listing(&bundle.join("rootfs"))
}

/// buildah pulls the image and mounts it; returns what is in it.
pub(crate) fn pulled_by_buildah(image: &Image) -> Result<String> {
    let script = "buildah --storage-driver=overlay pull --quiet --tls-verify=false \"$1\" >/dev/null
        container=$(buildah --storage-driver=overlay from --pull-never \"$1\")
        mount=$(buildah --storage-driver=overlay mount \"$container\")
        mkdir -p \"$2\"; tar --create --numeric-owner --xattrs --directory \"$mount\" . | tar --extract --numeric-owner --same-permissions --directory \"$2\"
        buildah --storage-driver=overlay rm \"$container\" >/dev/null
        buildah --storage-driver=overlay rmi \"$1\" >/dev/null";
    let tree = image.place().join("buildah");
    run(&["sh", "-euc", script, "pull", &image.reference(), &hosted(&tree)])
        .with_context(|| format!("buildah pull of {}", image.name()))?;
    super::listing(&tree)
}
