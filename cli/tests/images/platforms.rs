//! Several platforms a build.

use std::fs;

use serde_json::{Value, json};
use slipway_oci::Platform;

use crate::bed::{Bed, bad, digest};

const BOTH: &str = "linux/amd64,linux/arm64";

/// Copies from a shared stage, and from the base of the platform.
const COPIES: &str = "FROM --platform=$BUILDPLATFORM scratch AS shared\nCOPY shared /\n\
                      FROM BASE AS app\nARG TARGETARCH TARGETVARIANT TARGETPLATFORM BUILDPLATFORM\n\
                      ENV ON=$TARGETPLATFORM FROM=$BUILDPLATFORM V=$TARGETVARIANT\n\
                      COPY --from=shared shared /\nCOPY only-$TARGETARCH /which\n";

fn bed(name: &str) -> Bed {
    let bed = Bed::new(name);
    bed.base("base", "1", &["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    bed.file("Dockerfile", &COPIES.replace("BASE", &bed.reference("base:1")));
    for (name, text) in [("shared", "s"), ("only-amd64", "x"), ("only-arm64", "a"), ("only-arm", "7")] {
        bed.file(name, text);
    }
    bed
}

fn platforms(index: &Value) -> Vec<String> {
    let of =
        |entry: &Value| serde_json::from_value::<Platform>(entry["platform"].clone()).unwrap().to_string();
    index["manifests"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn an_index_with_an_image_a_platform_is_pushed_under_the_tag() {
    let bed = bed("index");
    let said = bed.built(&[
        "--platform",
        BOTH,
        "--platform",
        "linux/arm/v7,linux/arm64/v8",
        "-t",
        &bed.reference("app:1"),
        "--push",
        "--metadata-file",
        "meta.json",
        "--iidfile",
        "iid",
        "--annotation",
        "a=all",
        "--annotation",
        "index:i=top",
        "--annotation",
        "manifest-descriptor[linux/arm64]:d=entry",
    ]);
    let index = bed.document("app", "1");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    assert_eq!(index["annotations"], json!({"i": "top"}));
    assert_eq!(index["manifests"][1]["annotations"], json!({"d": "entry"}));
    assert!(index["manifests"][0].get("annotations").is_none());
    let mut last_layers = vec![];
    for (entry, (on, variant)) in index["manifests"].as_array().unwrap().iter().zip([
        ("linux/amd64", ""),
        ("linux/arm64", ""),
        ("linux/arm/v7", "v7"),
    ]) {
        let manifest = bed.document("app", entry["digest"].as_str().unwrap());
        assert_eq!(manifest["annotations"], json!({"a": "all"}));
        let config = bed.config("app", &manifest);
        assert_eq!(config["architecture"], entry["platform"]["architecture"]);
        let env = config["config"]["Env"].as_array().unwrap();
        for wanted in [
            format!("BASE={on}"),
            format!("ON={on}"),
            format!("FROM={}", Platform::host()),
            format!("V={variant}"),
        ] {
            assert!(env.contains(&json!(wanted)), "{on}: {env:?} without {wanted}");
        }
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 3, "{on}");
        for layer in layers {
            assert!(bed.registry.blob("app", &digest(&layer["digest"])).is_some(), "{on}: {layer}");
        }
        last_layers.push((layers[1]["digest"].clone(), layers[2]["digest"].clone()));
    }
    assert!(last_layers.windows(2).all(|two| two[0].0 == two[1].0), "the shared copy is one layer");
    assert!(last_layers.windows(2).all(|two| two[0].1 != two[1].1), "the others differ");

    let top = fs::read_to_string(bed.folder.join("iid")).unwrap();
    let meta: Value = serde_json::from_slice(&fs::read(bed.folder.join("meta.json")).unwrap()).unwrap();
    assert_eq!(meta["containerimage.digest"], json!(top));
    assert_eq!(meta["containerimage.descriptor"]["mediaType"], index["mediaType"]);
    assert_eq!(
        meta["slipway.platforms"]["linux/arm/v7"]["containerimage.digest"],
        index["manifests"][2]["digest"]
    );
    assert!(bed.registry.manifest("app", &top).is_some());
    assert!(said.contains(&format!("  index    {top}\n  linux/amd64\n    digest   sha256:")), "{said}");
    // A stage of the build platform is built once; it has no platform in its name.
    assert_eq!(said.matches("[shared 1/1] COPY shared /").count(), 1, "{said}");
    assert!(!said.contains("shared@"), "{said}");

    let again = bed.built(&[
        "--platform",
        "linux/arm64",
        "-t",
        &bed.reference("app:arm"),
        "--push",
        "--annotation",
        "a=all",
    ]);
    assert_eq!(
        bed.document("app", "arm")["layers"],
        bed.document("app", index["manifests"][1]["digest"].as_str().unwrap())["layers"]
    );
    assert!(
        again.contains("CACHED") && !again.contains("DONE"),
        "one of several platforms is the same build: {again}"
    );
}

#[test]
fn every_blob_goes_to_a_repository_once_and_is_lent_to_the_next() {
    let bed = bed("once");
    let (one, two) = (bed.reference("one:1"), bed.reference("two:1"));
    let said =
        bed.built(&["--platform", BOTH, "-t", &one, "-t", &two, "-t", &bed.reference("one:2"), "--push"]);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("push ")).collect();
    let mut places: Vec<&str> = lines
        .iter()
        .filter(|line| !line.contains(" manifest ") && !line.contains(" index "))
        .filter_map(|line| line.split(" uploaded").next()?.split(" mounted").next()?.split(" exists").next())
        .collect();
    let all = places.len();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), all, "told twice: {said}");
    // The shared copy and one of each platform; the base's own layers are lent by its repository.
    assert_eq!(lines.iter().filter(|line| line.contains("uploaded")).count(), 3, "{said}");
    assert_eq!(bed.registry.manifest("one", "1"), bed.registry.manifest("two", "1"));
    assert_eq!(bed.registry.manifest("one", "1"), bed.registry.manifest("one", "2"));
}

#[test]
fn docker_types_give_a_manifest_list() {
    let bed = bed("docker-types");
    let name = bed.reference("app:1");
    bed.built(&["--platform", BOTH, "-o", &format!("type=registry,oci-mediatypes=false,name={name}")]);
    let list = bed.document("app", "1");
    assert_eq!(list["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    let manifest = bed.document("app", list["manifests"][0]["digest"].as_str().unwrap());
    assert_eq!(manifest["mediaType"], list["manifests"][0]["mediaType"]);
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
}

#[test]
fn files_go_into_a_folder_a_platform() {
    let bed = bed("files");
    bed.built(&["--platform", BOTH, "-o", "type=tar,dest=files.tar", "-o", "files"]);
    let read = |name: &str| fs::read_to_string(bed.folder.join("files").join(name)).unwrap();
    assert_eq!((read("linux_amd64/which"), read("linux_arm64/which")), ("x".into(), "a".into()));
    assert_eq!(read("linux_arm64/etc/arch"), "linux/arm64");
    let archive = fs::read(bed.folder.join("files.tar")).unwrap();
    let mut reader = slipway_oci::archive::Reader::new(&archive[..], slipway_oci::archive::Limits::default());
    let mut names = vec![];
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(String::from_utf8(entry.path).unwrap());
    }
    for wanted in ["linux_amd64", "linux_amd64/which", "linux_arm64/etc/arch"] {
        assert!(names.iter().any(|name| name == wanted), "{names:?}");
    }
    bed.built(&[
        "--platform",
        "linux/arm64",
        "-o",
        "type=local,dest=split,platform-split=true",
        "-o",
        "type=local,dest=flat",
    ]);
    assert!(bed.folder.join("split/linux_arm64/which").exists());
}

#[test]
fn a_layout_holds_the_index_and_a_docker_archive_cannot() {
    let bed = bed("layout");
    bed.built(&["--platform", BOTH, "-t", "app:3", "-o", "type=oci,dest=app.oci,tar=false"]);
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(bed.folder.join("app.oci").join(name)).unwrap()).unwrap()
    };
    let top = read("index.json")["manifests"][0].clone();
    assert_eq!(top["annotations"]["org.opencontainers.image.ref.name"], "3");
    let index = read(&format!("blobs/sha256/{}", digest(&top["digest"]).hex()));
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    let said = bad(&bed.build(&["--platform", BOTH, "-o", "type=docker,dest=app.tar"]), 2);
    assert!(said.contains("a docker archive holds an image for one platform; write type=oci"), "{said}");
    let said = bad(&bed.build(&["--platform", BOTH, "-o", "type=local,dest=x,platform-split=false"]), 2);
    assert!(said.contains("overwrite each other"), "{said}");
    let said = bad(&bed.build(&["--annotation", "index:a=b"]), 2);
    assert!(said.contains("needs an index"), "{said}");
}

#[test]
fn several_targets_give_an_index_each() {
    let bed = bed("targets");
    let (app, shared) = (bed.reference("app:1"), bed.reference("shared:1"));
    bed.built(&[
        "--platform",
        BOTH,
        "--target",
        "shared",
        "--target",
        "app",
        "-t",
        &app,
        "-t",
        &format!("shared={shared}"),
        "--push",
    ]);
    let index = bed.document("shared", "1");
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    // One stage, two images: they differ in nothing but their platform.
    let of = |at: usize| bed.document("shared", index["manifests"][at]["digest"].as_str().unwrap());
    assert_eq!(of(0)["layers"], of(1)["layers"]);
    assert_eq!(bed.config("shared", &of(1))["architecture"], "arm64");
    assert_eq!(platforms(&bed.document("app", "1")).len(), 2);
}

#[test]
fn a_platform_that_the_base_lacks_is_told_before_anything_is_built() {
    let bed = bed("lacks");
    let said = bad(&bed.build(&["--platform", "linux/amd64,linux/s390x"]), 1);
    assert!(
        said.contains("no image for linux/s390x; there is one for linux/amd64, linux/arm64, linux/arm/v7"),
        "{said}"
    );
    assert!(!said.contains("plan:"), "{said}");
    let said = bad(&bed.build(&["--platform", "a/b/c/d"]), 2);
    assert!(said.contains("not a platform of the form os/architecture[/variant]"), "{said}");
}

#[test]
fn a_command_of_another_machine_says_what_to_do() {
    let foreign = if Platform::host().architecture == "arm64" { "linux/amd64" } else { "linux/arm64" };
    if foreign != "linux/arm64" || fs::exists("/proc/sys/fs/binfmt_misc/qemu-aarch64").unwrap_or(false) {
        println!("not run: this machine runs programs of {foreign}, or emulates them");
        return;
    }
    let bed = bed("foreign");
    let base = bed.reference("base:1");
    bed.file(
        "Dockerfile",
        &format!("FROM {base} AS tools\nRUN make\nFROM scratch\nCOPY --from=tools /x /\n"),
    );
    let said = bad(&bed.build(&["--platform", foreign]), 1);
    let wanted = format!(
        "stage `tools`: this machine is {} and cannot run a command for linux/arm64",
        Platform::host()
    );
    assert!(said.contains(&wanted), "{said}");
    assert!(said.contains("FROM --platform=$BUILDPLATFORM") && said.contains("binfmt_misc"), "{said}");
}
