//! Layers that are pushed while they are packed, and never lie packed in the store.

use std::fs;

use slipway_registry::testing::Fault;

use crate::bed::{Bed, bad, digest, good};

/// Bytes that do not compress, so that the packed layer is larger than what waits in memory.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn bed(name: &str) -> Bed {
    let bed = Bed::new(name);
    bed.file("Dockerfile", "FROM scratch\nCOPY large /\nCOPY small /\n");
    fs::write(bed.folder.join("context/large"), noise(20 << 20)).unwrap();
    bed.file("small", "s");
    bed
}

/// The largest blob of the store.
fn largest_blob(bed: &Bed) -> u64 {
    let blobs = fs::read_dir(bed.folder.join("store/blobs/sha256")).unwrap();
    blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).max().unwrap_or(0)
}

fn uploads(bed: &Bed) -> usize {
    bed.registry.seen().iter().filter(|seen| seen.body > 1 << 20).count()
}

/// The image must be whole in a repository, as the documents say.
fn is_whole(bed: &Bed, repository: &str) {
    let manifest = bed.document(repository, "1");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        let digest = digest(&layer["digest"]);
        let blob = bed.registry.blob(repository, &digest).unwrap();
        assert_eq!(blob.len() as u64, layer["size"].as_u64().unwrap());
        assert_eq!(slipway_oci::Digest::of(&blob), digest);
    }
}

#[test]
fn a_layer_goes_to_the_registry_without_lying_in_the_store() {
    let bed = bed("stream");
    bed.built(&["-t", &bed.reference("app:1"), "--push"]);
    is_whole(&bed, "app");
    assert!(largest_blob(&bed) < 1 << 20, "the packed layer was written to the store");
    assert_eq!(uploads(&bed), 1);
    // Everything is there: nothing is packed or sent.
    bed.built(&["-t", &bed.reference("app:1"), "--push"]);
    assert_eq!(uploads(&bed), 1);
    // Another repository of the registry: linked, from where an earlier build brought it.
    bed.built(&["-t", &bed.reference("other:1"), "--push"]);
    is_whole(&bed, "other");
    assert_eq!(uploads(&bed), 1);
    // A registry that has nothing of it gets it out of the layer's files.
    let elsewhere = Bed::new("stream-elsewhere");
    let name = elsewhere.reference("app:1");
    bed.built(&["-t", &name, "--push"]);
    is_whole(&elsewhere, "app");
    assert_eq!(elsewhere.document("app", "1"), bed.document("app", "1"));
    assert!(largest_blob(&bed) < 1 << 20);
}

#[test]
fn an_output_that_holds_blobs_brings_them_into_the_store() {
    let bed = bed("stream-output");
    let args = ["-t", &bed.reference("app:1"), "--push"];
    bed.built(&args);
    bed.built(&[&args[..], &["-o", "type=oci,dest=app.oci"]].concat());
    assert!(largest_blob(&bed) > 20 << 20);
    let pushed = bed.slipway(&["push", "app.oci", &bed.reference("again:1")]).output().unwrap();
    good(&pushed);
    is_whole(&bed, "again");
}

#[test]
fn an_upload_that_breaks_is_taken_up_or_goes_by_the_store() {
    for (name, times, fault) in [
        ("cut", 1, Fault::CutRequest(5 << 20)),
        ("forgotten", 1, Fault::ForgetUpload),
        ("unwanted", 4, Fault::Status(500, vec![], "not now".into())),
    ] {
        let bed = bed(&format!("stream-{name}"));
        bed.registry.fail("PATCH", "", times, fault);
        bed.built(&["-t", &bed.reference("app:1"), "--push"]);
        is_whole(&bed, "app");
    }
}

#[test]
fn a_registry_that_refuses_is_the_error() {
    let bed = bed("stream-refused");
    let fault = Fault::Status(403, vec![], "no room for you".into());
    bed.registry.fail("POST", "", 100, fault);
    let said = bad(&bed.build(&["-t", &bed.reference("app:1"), "--push"]), 1);
    assert!(said.contains("no room for you"), "{said}");
}

#[test]
fn of_builds_at_once_one_packs_and_the_others_link() {
    let bed = bed("stream-at-once");
    // The layers are there already, packed by nobody yet.
    bed.built(&[]);
    let names: Vec<String> = (0..6).map(|number| bed.reference(&format!("app-{number}:1"))).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| bed.built(&["-t", name, "--push"]));
        }
    });
    for number in 0..6 {
        is_whole(&bed, &format!("app-{number}"));
    }
    assert_eq!(uploads(&bed), 1);
}
