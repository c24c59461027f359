//! What the build pod does, `plan` and then `conduct`, in this process: builds that need no stage pod.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use slipway_executor::event::Quiet;
use slipway_executor::pod::conduct::{ConductPlaces, conduct};
use slipway_executor::pod::plan::{PlanPlaces, plan};
use slipway_oci::Platform;
use slipway_protocol::report::{BuildReport, PlanReport};
use slipway_protocol::request::{
    BuildRequest, DockerfileRef, ImageRequest, PodPacking, RegistrySettings, Source,
};
use slipway_registry::testing::FakeRegistry;
use slipway_registry::{Registry, Settings};
use slipway_sandbox::Cancel;
use slipway_store::Store;

/// A store, a context and a registry of a test's own.
struct Bed {
    folder: PathBuf,
    runtime: tokio::runtime::Runtime,
    target: FakeRegistry,
}

impl Bed {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("slipway-pods-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("context")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let target = runtime.block_on(FakeRegistry::start()).unwrap();
        Self { folder, runtime, target }
    }

    fn request(&self, dockerfile: &str, platforms: &[&str]) -> BuildRequest {
        BuildRequest {
            id: "uid-1-1".into(),
            subject: "ci/shop".into(),
            source: Source::Directory { path: self.folder.join("context").to_str().unwrap().into() },
            sub_path: String::new(),
            dockerfile: DockerfileRef::Inline(dockerfile.into()),
            args: [].into(),
            contexts: [].into(),
            images: vec![ImageRequest {
                name: format!("{}/shop", self.target.host()),
                tags: vec!["1".into()],
                ..ImageRequest::default()
            }],
            platforms: platforms.iter().map(|platform| (*platform).to_owned()).collect(),
            no_cache: false,
            isolation: "Auto".into(),
            checks_fail_on: "never".into(),
            secrets: vec![],
            registries: RegistrySettings::default(),
            cache_from: vec![],
            cache_to: vec![],
            max_image_size: 0,
            max_build_seconds: 0.0,
            one_pod: false,
            pods: PodPacking::default(),
        }
    }

    fn plan(&self, request: &BuildRequest) -> PlanReport {
        let store = Store::open(self.folder.join("store")).unwrap();
        let registry = Arc::new(Registry::new(Settings::default()).unwrap());
        let remotes = self.runtime.handle().clone();
        plan(&PlanPlaces { store: &store, registry, remotes, events: Arc::new(Quiet) }, request)
    }

    fn conduct(&self, request: &BuildRequest) -> BuildReport {
        let store = Store::open(self.folder.join("store")).unwrap();
        let registry = Arc::new(Registry::new(Settings::default()).unwrap());
        let remotes = self.runtime.handle().clone();
        let places = ConductPlaces { store: &store, registry, remotes, events: Arc::new(Quiet) };
        conduct(&places, request, &Cancel::new())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const DOCKERFILE: &str = "FROM --platform=$BUILDPLATFORM scratch AS files\nCOPY . /files\n\
                          FROM scratch AS shop\nARG TARGETARCH\nCOPY --from=files /files/$TARGETARCH /\nENV ON=$TARGETARCH\n";

#[test]
fn several_platforms_become_an_index() {
    let bed = Bed::new("index");
    for arch in ["amd64", "arm64"] {
        fs::write(bed.folder.join("context").join(arch), arch.repeat(2)).unwrap();
    }
    let request = bed.request(DOCKERFILE, &["linux/amd64", "linux/arm64/v8"]);
    let planned = bed.plan(&request);
    assert_eq!(planned.failure, None);
    let names: Vec<&str> = planned.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["files", "shop@linux/amd64", "shop@linux/arm64"]);
    assert_eq!(planned.stages[2].file_name(), "shop");
    assert_eq!(planned.pruned, 0);

    let report = bed.conduct(&request);
    assert_eq!(report.failure, None);
    let image = &report.images[0];
    let platforms: Vec<&str> = image.platforms.iter().map(|one| one.platform.as_str()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let index: Value = serde_json::from_slice(&bed.target.manifest("shop", "1").unwrap()).unwrap();
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    for (entry, told) in index["manifests"].as_array().unwrap().iter().zip(&image.platforms) {
        assert_eq!(entry["digest"], told.digest.as_str());
        let platform: Platform = serde_json::from_value(entry["platform"].clone()).unwrap();
        assert_eq!(platform.to_string(), told.platform);
        let manifest = bed.target.manifest("shop", &told.digest).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let blob = |value: &Value| {
            bed.target.blob("shop", &value["digest"].as_str().unwrap().parse().unwrap()).unwrap()
        };
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(config["architecture"], platform.architecture.as_str());
        assert!(config["config"]["Env"].to_string().contains(&format!("ON={}", platform.architecture)));
        assert!(!blob(&manifest["layers"][0]).is_empty());
    }
    let top = slipway_oci::Digest::of(bed.target.manifest("shop", "1").unwrap());
    assert_eq!(image.reference, format!("{}/shop@{top}", bed.target.host()));
}

#[test]
fn a_foreign_command_needs_a_pod_of_its_own_for_each_platform() {
    let bed = Bed::new("pods");
    let text = "FROM --platform=$BUILDPLATFORM scratch AS build\nRUN fetch\nARG TARGETARCH\nRUN make\nFROM scratch\nCOPY --from=build /x /\n";
    let mut request = bed.request(text, &["linux/amd64", "linux/arm64"]);
    request.pods.apart = vec!["build".into()];
    let planned = bed.plan(&request);
    let pods: Vec<(&str, bool)> =
        planned.stages.iter().map(|stage| (stage.name.as_str(), stage.pod.is_some())).collect();
    let expected = [
        ("build", true),
        ("build@linux/amd64", true),
        ("build@linux/arm64", true),
        ("1@linux/amd64", false),
        ("1@linux/arm64", false),
    ];
    assert_eq!(pods, expected);
    // What is set for a stage of the file counts for all its forms.
    let mut numbers: Vec<_> = planned.stages.iter().filter_map(|stage| stage.pod).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
}

#[test]
fn a_platform_that_is_none_is_told() {
    let bed = Bed::new("wrong");
    let failure = bed.plan(&bed.request(DOCKERFILE, &["linux/amd64", "a/b/c/d"])).failure.unwrap();
    assert_eq!(failure.reason, "SpecInvalid");
    assert!(failure.message.contains("spec.platforms: `a/b/c/d` is not a platform"), "{}", failure.message);
}
