//! What `plan` and `conduct` do with caches: keys are known before pods, and layers come when somebody reads them.

use std::sync::Arc;

use slipway_executor::cache::Mode;
use slipway_executor::cache::import::CacheFrom;
use slipway_executor::event::Quiet;
use slipway_executor::pod::conduct::{ConductPlaces, conduct};
use slipway_executor::pod::plan::{PlanPlaces, plan};
use slipway_oci::Reference;
use slipway_protocol::report::{BuildReport, PlanReport};
use slipway_protocol::request::{
    BuildRequest, CacheTarget, DockerfileRef, ImageRequest, PodPacking, RegistrySettings, Source,
};
use slipway_registry::testing::Fault;
use slipway_sandbox::Cancel;

use crate::bed::{Machine, Order, World, registry_cache};

const FILE: &str = "FROM scratch AS a\nRUN one\nFROM scratch\nRUN base\nCOPY --from=a /x /\nRUN last\n";

fn request(id: &str, file: &str, image: &Reference) -> BuildRequest {
    BuildRequest {
        id: id.into(),
        subject: "test/shop".into(),
        source: Source::Empty,
        sub_path: String::new(),
        dockerfile: DockerfileRef::Inline(file.into()),
        args: [].into(),
        contexts: [].into(),
        images: vec![ImageRequest {
            name: image.name(),
            tags: vec!["latest".into()],
            ..ImageRequest::default()
        }],
        platforms: vec!["linux/amd64".into()],
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

fn planned(machine: &Machine<'_>, request: &BuildRequest) -> PlanReport {
    let places = PlanPlaces {
        store: &machine.store,
        registry: machine.registry.clone(),
        remotes: machine.remotes(),
        events: Arc::new(Quiet),
    };
    plan(&places, request)
}

fn conducted(machine: &Machine<'_>, request: &BuildRequest) -> BuildReport {
    let places = ConductPlaces {
        store: &machine.store,
        registry: machine.registry.clone(),
        remotes: machine.remotes(),
        events: Arc::new(Quiet),
    };
    conduct(&places, request, &Cancel::new())
}

#[test]
fn what_is_imported_needs_no_stage_pod_and_is_written_again() {
    let world = World::new();
    let (cache, second, image) = (world.name("cache"), world.name("second"), world.name("image"));
    let order = Order { to: vec![registry_cache(&cache, Mode::Max)], ..Order::default() };
    let first = Machine::new(&world).build(FILE, &order);

    let machine = Machine::new(&world);
    let mut wanted = request("uid-1", FILE, &image);
    wanted.cache_from = vec![world.name("missing").to_string(), cache.to_string()];
    wanted.cache_to =
        vec![CacheTarget { reference: second.to_string(), max: true, ..CacheTarget::default() }];
    let report = planned(&machine, &wanted);
    assert_eq!(report.failure, None);
    assert!(
        report.stages.iter().all(|stage| stage.pod.is_none() && stage.cached == stage.steps),
        "{report:#?}"
    );
    assert_eq!(report.imported, 3);
    assert!(report.warnings.iter().any(|text| text.contains("missing") && text.contains("was not read")));
    let report = conducted(&machine, &wanted);
    assert_eq!(report.failure, None);
    assert!(report.images[0].reference.ends_with(&first.digest.unwrap().to_string()), "{report:#?}");
    assert!(machine.store.layers().unwrap().is_empty());

    let order = Order { from: vec![CacheFrom::Registry(second)], ..Order::default() };
    assert!(Machine::new(&world).build(FILE, &order).made.is_empty());
}

#[test]
fn a_layer_that_is_wrong_makes_the_next_try_plan_without_it() {
    let world = World::new();
    let (cache, image) = (world.name("cache"), world.name("image"));
    let order = Order { to: vec![registry_cache(&cache, Mode::Min)], ..Order::default() };
    Machine::new(&world).build(FILE, &order);
    let manifest = world.fake().manifest(cache.repository(), "latest").unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        world.fake().fail("GET", layer["digest"].as_str().unwrap(), 100, Fault::Corrupt);
    }
    let machine = Machine::new(&world);
    let mut wanted = request("uid-1-1", &FILE.replace("RUN last", "RUN another"), &image);
    wanted.cache_from = vec![cache.to_string()];
    let report = planned(&machine, &wanted);
    assert_eq!((report.imported, report.stages[1].cached), (2, 2), "{report:#?}");
    assert!(report.stages[1].pod.is_some() && report.stages[0].pod.is_none());
    let failure = conducted(&machine, &wanted).failure.expect("a failure");
    assert!(failure.retryable && failure.reason == "CacheImportFailed", "{failure:?}");

    // As often as there are layers that are wrong.
    for number in 2..=3 {
        wanted.id = format!("uid-1-{number}");
        let report = planned(&machine, &wanted);
        if report.imported == 0 {
            assert!(report.stages.iter().all(|stage| stage.pod.is_some()), "{report:#?}");
            return;
        }
        assert!(conducted(&machine, &wanted).failure.expect("a failure").retryable);
    }
    panic!("it is counted on still");
}

#[test]
fn a_cache_that_cannot_be_written_is_a_failure_of_its_own() {
    let world = World::new();
    let (cache, image) = (world.name("cache"), world.name("image"));
    let machine = Machine::new(&world);
    let mut wanted = request("uid-1", "FROM scratch\nWORKDIR /here\n", &image);
    wanted.cache_to = vec![CacheTarget { reference: cache.to_string(), ..CacheTarget::default() }];
    world.fake().fail(
        "PUT",
        &format!("{}/manifests/", cache.repository()),
        2,
        Fault::Status(403, vec![], "no".into()),
    );
    assert_eq!(planned(&machine, &wanted).failure, None);
    let report = conducted(&machine, &wanted);
    let failure = report.failure.expect("a failure");
    assert_eq!(failure.reason, "CacheExportFailed");
    assert!(failure.message.contains("was not written") && !failure.retryable, "{failure:?}");
    assert_eq!(report.images.len(), 1, "the image is pushed");

    wanted.id = "uid-2".into();
    wanted.cache_to[0].ignore_error = true;
    assert_eq!(planned(&machine, &wanted).failure, None);
    assert_eq!(conducted(&machine, &wanted).failure, None);
}
