//! OCI layouts as build contexts.

use std::fs;

use crate::bed::{Bed, bad, tar_of};

#[test]
fn a_layout_stands_in_for_an_image_in_from_and_copy() {
    let bed = Bed::new("context");
    let digest = bed.layout("base", &["linux/amd64", "linux/arm64"]);
    bed.file(
        "Dockerfile",
        "FROM tools\nCOPY --from=tools /etc/arch /copied\nCOPY --from=other /etc/arch /other\n",
    );
    fs::write(bed.folder.join("base.tar"), tar_of(&bed.folder.join("base"))).unwrap();
    bed.built(&[
        "--platform",
        "linux/amd64,linux/arm64",
        "--build-context",
        &format!("tools=oci-layout://{}:v1", bed.path("base")),
        "--build-context",
        &format!("other=oci-layout://{}@{digest}", bed.path("base.tar")),
        "-t",
        &bed.reference("app:1"),
        "--push",
        "-o",
        "files",
    ]);
    for arch in ["amd64", "arm64"] {
        for file in ["copied", "other", "etc/arch"] {
            let path = bed.folder.join(format!("files/linux_{arch}/{file}"));
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("linux/{arch}"), "{}", path.display());
        }
    }
    // The base's layers came out of the layout into the registry.
    let index = bed.document("app", "1");
    let manifest = bed.document("app", index["manifests"][0]["digest"].as_str().unwrap());
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
    assert!(bed.registry.blob("app", &crate::bed::digest(&manifest["layers"][0]["digest"])).is_some());
}

#[test]
fn what_a_layout_lacks_is_told() {
    let bed = Bed::new("context-lacks");
    bed.layout("base", &["linux/arm64"]);
    bed.file("Dockerfile", "FROM tools\nCOPY Dockerfile /\n");
    let context = |place: &str| format!("tools=oci-layout://{}", bed.path(place));
    let build = |place: &str| bed.build(&["--platform", "linux/amd64", "--build-context", &context(place)]);
    let said = bad(&build("base"), 1);
    assert!(said.contains("has no image for linux/amd64; there is one for linux/arm64"), "{said}");
    let said = bad(&build("base:v2"), 2);
    assert!(said.contains("it has no image `v2`; there is v1"), "{said}");
    let said = bad(&build("nowhere"), 2);
    assert!(said.contains("nowhere` is not there"), "{said}");
    // A layer that is not what it should be never gets into the store.
    for entry in fs::read_dir(bed.folder.join("base/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if bytes.get(257..262) == Some(b"ustar") {
            let mut other = bytes;
            other[0] ^= 1;
            fs::write(&path, other).unwrap();
        }
    }
    let said = bad(&bed.build(&["--platform", "linux/arm64", "--build-context", &context("base")]), 2);
    assert!(said.contains("holds something else"), "{said}");
}
