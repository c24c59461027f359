//! `cargo xtask readers`: images made by Slipway, read by the programs that others read images with.
//!
//! The images of `tests/readers` hold what a reader may stumble over. Each is made in every form, and then validated by crane,
//! inspected and copied by skopeo, unpacked by umoci, pulled and mounted by buildah, imported by containerd, and run
//! in pods. What umoci, buildah and GNU tar unpack must be the same tree.

mod images;
mod tools;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{
    bases,
    cluster::{Access, State},
    e2e,
    host::{
        command::{Run, cargo},
        folders, mounts, parts,
    },
    peers::Peer,
};

use images::Image;

/// What an image prints that found everything in its place.
const WORDS: &str = "all of it arrived";

/// All readers.
pub(crate) fn long(access: &Access) -> Result<()> {
    Peer::Buildah.up()?;
    with_images(access, |place, images| {
        for image in images {
            image.validated_by_crane()?;
            let digest = image.digest()?;
            tools::inspected_and_copied_by_skopeo(image, &digest)?;
            let reference = image.unpacked_by_tar()?;
            for (name, tree) in
                [("umoci", tools::unpacked_by_umoci(image)?), ("buildah", tools::pulled_by_buildah(image)?)]
            {
                same(name, &image.name(), &reference, &tree)?;
            }
            println!("   ok      {}: crane, skopeo, umoci, buildah", image.name());
        }
        let own = State::locate();
        if own.containerd_socket().exists() {
            imported(&own, images)?;
            println!("   ok      {} archives imported and run by containerd", images.len() * 2);
        }
        let _ = place;
        in_pods(access, images)
    })
}

/// The readers that every test run has: crane, and containerd in pods.
pub(crate) fn short(access: &Access) -> Result<()> {
    with_images(access, |_, images| {
        images.iter().try_for_each(Image::validated_by_crane)?;
        in_pods(access, images)
    })
}

/// Builds the images in every form below a folder that goes away afterwards.
fn with_images(access: &Access, work: impl FnOnce(&PathBuf, &[Image]) -> Result<()>) -> Result<()> {
    bases::ensure(access, &["busybox"])?;
    cargo()
        .current_dir(folders::checkout())
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", "slipway"])
        .run()?;
    let place = folders::cache()?.join(format!("readers-{}", std::process::id()));
    mounts::delete(&place)?;
    folders::make(&place)?;
    let outcome = images::build(access.registry(), &place).and_then(|images| work(&place, &images));
    mounts::delete(&place)?;
    outcome
}

/// Runs every image in a container of one pod, which the node's containerd pulls.
fn in_pods(access: &Access, images: &[Image]) -> Result<()> {
    let containers: Vec<_> = images
        .iter()
        .filter(|image| image.runs())
        .map(|image| json!({"name": image.name(), "image": image.reference(), "imagePullPolicy": "Always"}))
        .collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reads"},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": containers},
    });
    e2e::with_namespace(access, |namespace| {
        let said = e2e::run_to_end(access, namespace, &pod, &["--all-containers"])?;
        let arrived = said.lines().filter(|line| *line == WORDS).count();
        ensure!(
            arrived == containers.len(),
            "{arrived} of {} images ran; they printed {said}",
            containers.len()
        );
        println!("   ok      {arrived} images pulled and run by the cluster's containerd");
        Ok(())
    })
}

/// Imports the archives into containerd, and runs a container of each.
fn imported(state: &State, images: &[Image]) -> Result<()> {
    let ctr = parts::CONTAINERD.ensure()?.join("ctr");
    let runc = parts::RUNC.ensure()?;
    let containerd = parts::CONTAINERD.ensure()?;
    let path = format!("{}:{}:/usr/sbin:/usr/bin:/sbin:/bin", containerd.display(), runc.display());
    let ctr = |words: &[&str]| {
        let mut command = Command::new(&ctr);
        command.env("PATH", &path).arg("--address").arg(state.containerd_socket());
        command.args(["--namespace", "slipway-readers"]).args(words).text()
    };
    for image in images {
        for archive in [image.oci_archive(), image.docker_archive()] {
            let name = format!("reader.example/{}:test", image.name());
            let said = ctr(&["images", "import", "--index-name", &name, &archive.display().to_string()])?;
            let listed = ctr(&["images", "list", "--quiet"])?;
            let imported = listed.lines().find(|line| line.contains(&image.name()));
            let imported =
                imported.with_context(|| format!("{}: nothing was imported: {said}", archive.display()))?;
            if image.runs() {
                let said = ctr(&[
                    "run",
                    "--rm",
                    "--runc-binary",
                    &runc.join("runc").display().to_string(),
                    imported,
                    &format!("reads-{}", image.name()),
                ])?;
                ensure!(said.contains(WORDS), "{}: it printed {said:?}", archive.display());
            }
            for line in listed.lines() {
                ctr(&["images", "remove", "--sync", line])?;
            }
        }
    }
    ctr(&["namespaces", "remove", "slipway-readers"]).map(drop).or(Ok(()))
}

/// Compares two listings of one image.
fn same(reader: &str, image: &str, reference: &str, tree: &str) -> Result<()> {
    let missing = reference.lines().find(|line| !tree.lines().any(|other| other == *line));
    let surplus = tree.lines().find(|line| !reference.lines().any(|other| other == *line));
    ensure!(
        reference == tree,
        "{reader} unpacks {image} in another way: it has not {missing:?}, and has {surplus:?}"
    );
    Ok(())
}

/// The files below a folder as lines: path, kind, mode, owner, size, links, target.
fn listing(root: &std::path::Path) -> Result<String> {
    let said = Command::new("find")
        .arg(root)
        .args(["-mindepth", "1", "(", "-type", "d", "-printf", "%P %y %m %U %G\\n"])
        .args(["-o", "-printf", "%P %y %m %U %G %s %n %l\\n", ")"])
        .text()?;
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    ensure!(fs::read_dir(root).is_ok(), "{} is not there", root.display());
    Ok(lines.join("\n"))
}
