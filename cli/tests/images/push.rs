//! `slipway push`.

use std::fs;
use std::process::Output;

use serde_json::json;
use slipway_oci::{Digest, media};
use slipway_registry::testing::Guard;

use crate::bed::{Bed, bad, digest, good, out, tar, tar_of};

const BOTH: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn push(bed: &Bed, args: &[&str]) -> Output {
    bed.slipway(&["push", "--progress", "plain"]).args(args).output().unwrap()
}

#[test]
fn a_layout_is_pushed_whole_and_unchanged_in_every_form() {
    let bed = Bed::new("push-forms");
    let index = bed.layout("app", &BOTH);
    let archive = tar_of(&bed.folder.join("app"));
    fs::write(bed.folder.join("app.tar"), &archive).unwrap();
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &archive).unwrap();
    fs::write(bed.folder.join("app.tgz"), packed.finish().unwrap()).unwrap();
    for source in ["app", "app.tar", "app.tgz", "app:v1", &format!("app.tar@{index}")] {
        let repository = format!("to-{}", Digest::of(source).short());
        let output = push(&bed, &[source, &bed.reference(&format!("{repository}:2"))]);
        good(&output);
        assert_eq!(out(&output).trim(), format!("{}@{index}", bed.reference(&repository)), "{source}");
        let pushed = bed.registry.manifest(&repository, "2").unwrap();
        assert_eq!(Digest::of(&pushed), index, "{source}");
        for entry in bed.document(&repository, "2")["manifests"].as_array().unwrap() {
            let manifest = bed.document(&repository, entry["digest"].as_str().unwrap());
            for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
                let digest = digest(&blob["digest"]);
                assert_eq!(Digest::of(bed.registry.blob(&repository, &digest).unwrap()), digest);
            }
        }
    }
    let said = good(&push(&bed, &["app", &bed.reference("again:1"), &bed.reference("again:2")]));
    assert_eq!(said.matches("uploaded").count(), 4, "{said}");
    assert_eq!(said.matches("exists").count(), 4, "nothing is sent twice: {said}");
    assert_eq!(bed.registry.manifest("again", "1"), bed.registry.manifest("again", "2"));
}

#[test]
fn one_platform_of_an_index_can_be_chosen() {
    let bed = Bed::new("push-platform");
    bed.layout("app", &BOTH);
    good(&push(&bed, &["--platform", "linux/arm64/v8", "app", &bed.reference("app:arm")]));
    let manifest = bed.document("app", "arm");
    assert_eq!(manifest["mediaType"], media::OCI_MANIFEST);
    assert_eq!(bed.config("app", &manifest)["architecture"], "arm64");
    let said = bad(&push(&bed, &["--platform", "linux/s390x", "app", &bed.reference("app:z")]), 1);
    assert!(said.contains("no image for linux/s390x; there is one for linux/amd64, linux/arm64"), "{said}");
}

#[test]
fn what_the_build_writes_can_be_pushed_with_the_same_digest() {
    let bed = Bed::new("push-built");
    bed.file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\nLABEL a=b\n");
    bed.built(&["-t", "app:1", "-o", "type=docker,dest=app.tar", "--iidfile", "iid"]);
    let iid = fs::read_to_string(bed.folder.join("iid")).unwrap();
    let output = push(&bed, &["-q", "app.tar:1", &bed.reference("app:1")]);
    assert_eq!(good(&output), "");
    assert_eq!(out(&output).trim(), format!("{}@{iid}", bed.reference("app")));
    let other = bed.reference(&format!("app@{}", Digest::of("other")));
    let said = bad(&push(&bed, &["app.tar", &other]), 1);
    assert!(said.contains("names another digest"), "{said}");
}

/// What `docker save` wrote for years: no manifest, plain layers, one of them a link to another image's.
#[test]
fn an_old_docker_archive_gets_a_manifest_and_keeps_its_configuration() {
    let bed = Bed::new("push-docker");
    let layer = tar(&[("a", b"a", 0o644)]);
    let diff_id = Digest::of(&layer);
    let config =
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [diff_id]}})
            .to_string();
    let id = Digest::of(&config);
    let list = |name: &str| {
        json!([{"Config": format!("{}.json", id.hex()), "RepoTags": ["shop:7"], "Layers": [name]}])
            .to_string()
    };
    let write = |layer: &[u8], list: &str| {
        let name = format!("{}.json", id.hex());
        let files: [(&str, &[u8], u32); 3] = [
            (&name, config.as_bytes(), 0o644),
            ("x/layer.tar", layer, 0o644),
            ("manifest.json", list.as_bytes(), 0o644),
        ];
        fs::write(bed.folder.join("old.tar"), tar(&files)).unwrap();
    };
    write(&layer, &list("x/layer.tar"));
    good(&push(&bed, &["old.tar:7", &bed.reference("shop:7")]));
    let manifest = bed.document("shop", "7");
    assert_eq!(digest(&manifest["config"]["digest"]), id);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let first = manifest["layers"][0]["digest"].clone();
    good(&push(&bed, &["old.tar", &bed.reference("shop:8")]));
    assert_eq!(bed.document("shop", "8")["layers"][0]["digest"], first, "packed the same way every time");

    write(&tar(&[("b", b"b", 0o644)]), &list("x/layer.tar"));
    let said = bad(&push(&bed, &["old.tar", &bed.reference("shop:9")]), 1);
    assert!(said.contains("as the configuration says"), "{said}");
    write(&layer, &list("../layer.tar"));
    let said = bad(&push(&bed, &["old.tar", &bed.reference("shop:9")]), 1);
    assert!(said.contains("names `../layer.tar`, which the archive does not hold"), "{said}");
    assert!(bed.registry.manifest("shop", "9").is_none());
}

#[test]
fn a_damaged_layout_leaves_no_manifest_behind() {
    let bed = Bed::new("push-damaged");
    bed.layout("app", &BOTH);
    let blobs = bed.folder.join("app/blobs/sha256");
    let layer = fs::read_dir(&blobs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::read(path).unwrap().get(257..262) == Some(b"ustar"));
    let layer = layer.unwrap();
    let whole = fs::read(&layer).unwrap();
    let mut damaged = whole.clone();
    damaged[700] ^= 1;
    for (bytes, words) in [
        (Some(&damaged[..]), "holds something else"),
        (Some(&whole[..9]), "bytes instead of"),
        (None, "does not hold it"),
    ] {
        match bytes {
            Some(bytes) => fs::write(&layer, bytes).unwrap(),
            None => fs::remove_file(&layer).unwrap(),
        }
        let said = bad(&push(&bed, &["app", &bed.reference("app:1")]), 1);
        assert!(said.contains(words), "{said}");
        assert!(bed.registry.manifest("app", "1").is_none());
    }
    let puts = bed
        .registry
        .seen()
        .into_iter()
        .filter(|seen| seen.path.contains("/manifests/") && seen.method == "PUT");
    assert_eq!(puts.count(), 0);
    for (source, words) in
        [("nowhere", "`nowhere` is not there"), ("context", "neither an OCI layout nor a docker archive")]
    {
        let said = bad(&push(&bed, &[source, &bed.reference("app:1")]), 1);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn credentials_are_those_of_docker() {
    let bed = Bed::new("push-login");
    bed.layout("app", &BOTH);
    bed.registry.guard(Guard::Basic("me".into(), "secret".into()));
    let said = bad(&push(&bed, &["app", &bed.reference("app:1")]), 1);
    assert!(said.contains("does not let us in"), "{said}");
    let login = bed.folder.join("login");
    fs::create_dir_all(&login).unwrap();
    // me:secret
    let auth = json!({"auths": {bed.registry.host(): {"auth": "bWU6c2VjcmV0"}}}).to_string();
    fs::write(login.join("config.json"), auth).unwrap();
    let reference = bed.reference("app:1");
    let mut command = bed.slipway(&["push", "-q", "app", &reference]);
    good(&command.env("DOCKER_CONFIG", &login).output().unwrap());
    assert!(bed.registry.manifest("app", "1").is_some());
}
