//! Caches that are damaged, lie or are not there: a warning, and the steps are built as if nobody had offered them.

use serde_json::{Value, json};
use slipway_executor::cache::Mode;
use slipway_executor::cache::export::CacheTo;
use slipway_executor::cache::format::MEDIA_TYPE;
use slipway_executor::cache::import::CacheFrom;
use slipway_oci::media::{OCI_CONFIG, OCI_MANIFEST};
use slipway_oci::{Digest, Reference};
use slipway_registry::testing::Fault;

use crate::bed::{Built, Machine, Order, World, registry_cache};

const FILE: &str = "FROM scratch\nRUN one\nRUN two\nRUN three\n";
const CHANGED: &str = "FROM scratch\nRUN one\nRUN two\nRUN other\n";

fn export(world: &World, cache: &Reference) -> Value {
    let order = Order { to: vec![registry_cache(cache, Mode::Max)], ..Order::default() };
    Machine::new(world).build(FILE, &order).exported.expect("exported");
    serde_json::from_slice(&world.fake().manifest(cache.repository(), "latest").unwrap()).unwrap()
}

fn import(world: &World, cache: &Reference, file: &str) -> Built {
    let order = Order { from: vec![CacheFrom::Registry(cache.clone())], ..Order::default() };
    let built = Machine::new(world).build(file, &order);
    assert!(built.outcome.succeeded(), "{:?}", built.outcome.failures);
    built
}

/// Puts a cache there whose configuration is what `change` makes of a good one.
fn changed(world: &World, cache: &Reference, change: impl FnOnce(&mut Value)) {
    let mut manifest = export(world, cache);
    let digest: Digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    let mut document: Value =
        serde_json::from_slice(&world.fake().blob(cache.repository(), &digest).unwrap()).unwrap();
    change(&mut document);
    let bytes = document.to_string();
    let blob = world.fake().put_blob(cache.repository(), MEDIA_TYPE, bytes.as_bytes());
    manifest["config"] = serde_json::to_value(blob).unwrap();
    put(world, cache, &manifest.to_string());
}

fn put(world: &World, cache: &Reference, manifest: &str) {
    world.fake().put_manifest(cache.repository(), "latest", OCI_MANIFEST, manifest.as_bytes());
}

#[test]
fn a_cache_that_is_not_there_is_a_warning() {
    let world = World::new();
    let built = import(&world, &world.name("nothing"), FILE);
    assert!(built.noted("warning: the cache") && built.made.len() == 3, "{:?}", built.notes);
    let nowhere: Reference = "127.0.0.1:1/nowhere:latest".parse().unwrap();
    let built = import(&world, &nowhere, FILE);
    assert!(built.noted("was not read") && built.made.len() == 3);
}

#[test]
fn what_is_no_cache_is_told_and_left_alone() {
    let world = World::new();
    let cache = world.name("cache");
    let blob = |kind: &str, bytes: &[u8]| {
        serde_json::to_value(world.fake().put_blob(cache.repository(), kind, bytes)).unwrap()
    };
    let manifest = |config: Value| {
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}).to_string()
    };
    let mut lie = blob(MEDIA_TYPE, b"{\"version\":1,\"steps\":[]}");
    lie["digest"] = json!(Digest::of("something else"));
    let mut huge = blob(MEDIA_TYPE, b"{}");
    huge["size"] = json!(1_u64 << 40);
    for (words, text) in [
        ("cannot be read", "what".to_owned()),
        ("cannot be read", "{\"schemaVersion\": 2}".to_owned()),
        ("not understood", manifest(blob(MEDIA_TYPE, b"what"))),
        ("not understood", manifest(blob(MEDIA_TYPE, b"{\"version\":1,\"steps\":{}}"))),
        ("version 7", manifest(blob(MEDIA_TYPE, b"{\"version\":7,\"steps\":[]}"))),
        ("more than the limit", manifest(huge)),
        ("was not read", manifest(lie)),
        ("cache of BuildKit", manifest(blob("application/vnd.buildkit.cacheconfig.v0", b"{}"))),
        ("neither a cache nor an image", manifest(blob("application/vnd.example.chart", b"{}"))),
        ("holds no cache", manifest(blob(OCI_CONFIG, b"{\"rootfs\":{\"type\":\"layers\"}}"))),
    ] {
        put(&world, &cache, &text);
        let built = import(&world, &cache, FILE);
        assert!(built.noted(words) && built.made.len() == 3, "{words}: {:?}", built.notes);
    }
}

#[test]
fn a_document_that_lies_is_refused_as_a_whole() {
    let world = World::new();
    for (words, change) in [
        ("does not come before", (|document| document["steps"][0]["below"] = json!(2)) as fn(&mut Value)),
        ("does not have", |document| document["steps"][1]["blob"] = json!(Digest::of("elsewhere"))),
        ("not understood", |document| document["steps"][1]["created"] = json!("yesterday")),
        ("has no key", |document| document["steps"][2]["keys"] = json!([])),
    ] {
        let cache = world.name(&words.replace(' ', "-"));
        changed(&world, &cache, change);
        let built = import(&world, &cache, FILE);
        assert!(built.noted(words) && built.made.len() == 3, "{words}: {:?}", built.notes);
    }
}

#[test]
fn a_layer_whose_bytes_are_wrong_is_built_again() {
    let world = World::new();
    let cache = world.name("cache");
    let manifest = export(&world, &cache);
    for layer in manifest["layers"].as_array().unwrap() {
        world.fake().fail("GET", layer["digest"].as_str().unwrap(), 100, Fault::Corrupt);
    }
    let order = Order { from: vec![CacheFrom::Registry(cache)], ..Order::default() };
    let machine = Machine::new(&world);
    let built = machine.build(CHANGED, &order);
    assert!(built.outcome.succeeded(), "{:?}", built.outcome.failures);
    assert_eq!(built.made, ["RUN one", "RUN other", "RUN two"]);
    assert!(built.noted("cannot be used") && built.noted("building it instead"), "{:?}", built.notes);

    // For a while nobody asks for it again: not this machine.
    let asked = world.fake().seen().len();
    assert!(machine.build(CHANGED, &order).made.is_empty());
    let again = world.fake().seen();
    assert!(!again[asked..].iter().any(|seen| {
        manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|layer| seen.method == "GET" && seen.path.contains(layer["digest"].as_str().unwrap()))
    }));
}

#[test]
fn a_layer_that_is_not_what_the_document_says_is_built_again() {
    let world = World::new();
    let cache = world.name("cache");
    changed(&world, &cache, |document| {
        for step in document["steps"].as_array_mut().unwrap() {
            step["diffId"] = json!(Digest::of("another tree"));
        }
    });
    let built = import(&world, &cache, CHANGED);
    assert_eq!(built.made, ["RUN one", "RUN other", "RUN two"]);
    assert!(built.noted("unpacks to"), "{:?}", built.notes);
}

#[test]
fn a_layer_that_is_no_archive_is_built_again() {
    let world = World::new();
    let cache = world.name("cache");
    let mut manifest = export(&world, &cache);
    let kind = manifest["layers"][0]["mediaType"].as_str().unwrap().to_owned();
    let junk = world.fake().put_blob(cache.repository(), &kind, b"this is no archive");
    let digest: Digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    let mut document: Value =
        serde_json::from_slice(&world.fake().blob(cache.repository(), &digest).unwrap()).unwrap();
    for step in document["steps"].as_array_mut().unwrap() {
        step["blob"] = json!(junk.digest);
    }
    let config = world.fake().put_blob(cache.repository(), MEDIA_TYPE, document.to_string().as_bytes());
    manifest["config"] = serde_json::to_value(config).unwrap();
    manifest["layers"] = json!([junk]);
    put(&world, &cache, &manifest.to_string());
    let built = import(&world, &cache, CHANGED);
    assert_eq!(built.made, ["RUN one", "RUN other", "RUN two"]);
    assert!(built.noted("cannot be used"), "{:?}", built.notes);
}

#[test]
fn a_layer_that_the_registry_has_lost_is_noticed_before_anything_counts_on_it() {
    let world = World::new();
    let cache = world.name("cache");
    let manifest = export(&world, &cache);
    // The layer of the second step: the first one is still good.
    let digest: Digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    let document: Value =
        serde_json::from_slice(&world.fake().blob(cache.repository(), &digest).unwrap()).unwrap();
    let gone = document["steps"][1]["blob"].as_str().unwrap();
    world.fake().fail("", gone, 100, Fault::Status(404, vec![], String::new()));
    let built = import(&world, &cache, FILE);
    assert_eq!(built.made, ["RUN three", "RUN two"]);
    assert!(built.noted("has lost 1 of its layers"), "{:?}", built.notes);
}

#[test]
fn a_cache_that_cannot_be_written_fails_the_build_unless_told_otherwise() {
    let world = World::new();
    let cache = world.name("cache");
    let deny = || world.fake().fail("PUT", "/manifests/", 1, Fault::Status(403, vec![], "denied".into()));
    deny();
    let order = Order { to: vec![registry_cache(&cache, Mode::Max)], ..Order::default() };
    let built = Machine::new(&world).build(FILE, &order);
    let error = built.exported.expect_err("an error");
    assert!(error.contains("the cache") && error.contains("was not written"), "{error}");
    deny();
    let to = vec![CacheTo { ignore_error: true, ..registry_cache(&cache, Mode::Max) }];
    let built = Machine::new(&world).build(FILE, &Order { to, ..Order::default() });
    assert!(built.exported.is_ok() && built.noted("was not written"), "{:?}", built.notes);
}
