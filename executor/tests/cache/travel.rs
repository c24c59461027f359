//! What is exported is found again, and only what is needed is fetched.

use serde_json::json;
use slipway_executor::assemble::forms::Shape;
use slipway_executor::cache::Mode;
use slipway_executor::cache::export::{CacheTo, Target};
use slipway_executor::cache::format::INLINE_FIELD;
use slipway_executor::cache::import::CacheFrom;
use slipway_executor::engine::StepState;
use slipway_oci::Digest;
use slipway_oci::compress::Compression;
use slipway_oci::media::{OCI_INDEX, OCI_MANIFEST};

use crate::bed::{Machine, Order, World, registry_cache};

/// Two stages that work, and one that puts both together.
const FILE: &str = "FROM scratch AS a\nRUN one\nRUN two\nFROM scratch AS b\nRUN three\nFROM scratch\nRUN base\n\
                    COPY --from=a /x /\nCOPY --from=b /y /\nRUN last\n";

/// How many layers the image of [`FILE`] has.
const LAYERS: usize = 4;

fn in_a_registry(world: &World) {
    for mode in [Mode::Min, Mode::Max] {
        let name = |what: &str| world.name(&format!("{what}-{mode:?}").to_lowercase());
        let (cache, image) = (name("cache"), name("image"));
        let order =
            Order { to: vec![registry_cache(&cache, mode)], push: Some(image.clone()), ..Order::default() };
        let first = Machine::new(world).build(FILE, &order);
        assert_eq!(first.made.len(), 7);
        first.exported.expect("exported");

        let order = Order { from: vec![CacheFrom::Registry(cache)], push: Some(image), ..Order::default() };
        let second = Machine::new(world).build(FILE, &order);
        assert!(second.made.is_empty(), "{mode:?}: {:?}", second.made);
        assert_eq!(second.digest, first.digest, "{mode:?}");
        assert_eq!(second.outcome.stages[2].imported(), LAYERS);
        assert_eq!(second.outcome.stages[0].count(StepState::NotNeeded), 2);
    }
}

#[test]
fn a_registry_gives_back_what_it_was_given() {
    in_a_registry(&World::new());
}

#[test]
fn a_real_registry_does_too() {
    match std::env::var("SLIPWAY_TEST_REGISTRY") {
        Ok(host) => in_a_registry(&World::real(host)),
        Err(_) => eprintln!("not run: SLIPWAY_TEST_REGISTRY names no registry"),
    }
}

#[test]
fn an_image_that_is_all_imported_is_pushed_without_its_layers_coming_by() {
    let world = World::new();
    let (cache, image, other) = (world.name("cache"), world.name("image"), world.name("other"));
    let order =
        Order { to: vec![registry_cache(&cache, Mode::Max)], push: Some(image.clone()), ..Order::default() };
    let first = Machine::new(&world).build(FILE, &order);
    let sent = world.uploaded();
    let documents = world.fetched(&cache);
    for target in [&image, &other] {
        let from = vec![CacheFrom::Registry(cache.clone())];
        let order = Order { from, push: Some((*target).clone()), ..Order::default() };
        let machine = Machine::new(&world);
        assert_eq!(machine.build(FILE, &order).digest, first.digest);
        assert!(machine.store.layers().unwrap().is_empty(), "a layer was unpacked");
    }
    // One document each time, and the configuration of the second image.
    assert_eq!(world.fetched(&cache), documents + 2);
    assert_eq!(world.fetched(&image) + world.fetched(&other), 0);
    assert_eq!(world.uploaded(), sent + 1, "{:#?}", world.fake().seen());
}

#[test]
fn a_step_that_runs_fetches_the_layers_below_it_and_no_others() {
    let world = World::new();
    let cache = world.name("cache");
    let order = Order { to: vec![registry_cache(&cache, Mode::Max)], ..Order::default() };
    Machine::new(&world).build(FILE, &order);
    let before = world.fetched(&cache);
    let machine = Machine::new(&world);
    let order = Order { from: vec![CacheFrom::Registry(cache.clone())], ..Order::default() };
    let built = machine.build(&FILE.replace("RUN last", "RUN another"), &order);
    assert_eq!(built.made, ["RUN another"]);
    // The document, and the three layers below: not those of the stages that the copies read.
    assert_eq!(world.fetched(&cache) - before, 1 + 3);
    assert_eq!(machine.store.layers().unwrap().len(), 3 + 1);

    // What came is known from then on, without an import.
    let again = machine.build(&FILE.replace("RUN last", "RUN a third"), &Order::default());
    assert_eq!(again.made, ["RUN a third"]);
}

#[test]
fn min_has_the_image_and_max_has_every_stage() {
    let world = World::new();
    let changed = FILE.replace("COPY --from=a /x /", "COPY --from=a /another /");
    for (mode, expected) in [
        (
            Mode::Min,
            &[
                "COPY --from=a /another /",
                "COPY --from=b /y /",
                "RUN last",
                "RUN one",
                "RUN three",
                "RUN two",
            ][..],
        ),
        (Mode::Max, &["COPY --from=a /another /", "COPY --from=b /y /", "RUN last"][..]),
    ] {
        let cache = world.name(&format!("cache-{mode:?}").to_lowercase());
        let order = Order { to: vec![registry_cache(&cache, mode)], ..Order::default() };
        Machine::new(&world).build(FILE, &order);
        let order = Order { from: vec![CacheFrom::Registry(cache)], ..Order::default() };
        assert_eq!(Machine::new(&world).build(&changed, &order).made, expected, "{mode:?}");
    }
}

#[test]
fn a_cache_that_is_written_again_keeps_stages_that_nobody_needed() {
    let world = World::new();
    let (one, two) = (world.name("one"), world.name("two"));
    let order = Order { to: vec![registry_cache(&one, Mode::Max)], ..Order::default() };
    Machine::new(&world).build(FILE, &order);
    let order = Order {
        from: vec![CacheFrom::Registry(one.clone())],
        to: vec![registry_cache(&two, Mode::Max)],
        ..Order::default()
    };
    let machine = Machine::new(&world);
    assert!(machine.build(FILE, &order).noted("wrote 7 steps"));
    assert!(machine.store.layers().unwrap().is_empty());
    let order = Order { from: vec![CacheFrom::Registry(two)], ..Order::default() };
    let built = Machine::new(&world).build(&FILE.replace("RUN two", "RUN changed"), &order);
    assert!(!built.made.contains(&"RUN one".to_owned()) && !built.made.contains(&"RUN three".to_owned()));
}

#[test]
fn a_folder_gives_back_what_it_was_given() {
    let world = World::new();
    let machine = Machine::new(&world);
    let folder = std::env::temp_dir().join(format!("slipway-cache-folder-{}", std::process::id()));
    let to = |tag: &str, mode| CacheTo {
        mode,
        ..CacheTo::new(Target::Folder { path: folder.clone(), tag: tag.into() })
    };
    let from = |tag: &str| CacheFrom::Folder { path: folder.clone(), tag: tag.into(), digest: None };
    let order = Order { to: vec![to("min", Mode::Min), to("max", Mode::Max)], ..Order::default() };
    let first = machine.build(FILE, &order);
    first.exported.expect("exported");
    for (tag, count) in [("min", 4), ("max", 7)] {
        let second = Machine::new(&world).build(FILE, &Order { from: vec![from(tag)], ..Order::default() });
        assert!(second.made.is_empty() && second.noted(&format!("{count} steps")), "{:?}", second.notes);
        assert_eq!(second.digest, first.digest);
    }
    let built = Machine::new(&world).build(
        &FILE.replace("RUN last", "RUN another"),
        &Order { from: vec![from("max")], ..Order::default() },
    );
    assert_eq!(built.made, ["RUN another"]);
    let built = Machine::new(&world).build(FILE, &Order { from: vec![from("other")], ..Order::default() });
    assert!(built.noted("has no cache `other`") && built.made.len() == 7);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_image_can_hold_its_own_cache() {
    let world = World::new();
    let image = world.name("image");
    let inline = vec![CacheTo::new(Target::Inline)];
    let order = Order { to: inline.clone(), push: Some(image.clone()), ..Order::default() };
    let machine = Machine::new(&world);
    let first = machine.build(FILE, &order);
    assert_eq!(first.config[INLINE_FIELD]["steps"].as_array().unwrap().len(), LAYERS);
    let order = Order {
        from: vec![CacheFrom::Registry(image.clone())],
        to: inline,
        push: Some(image.clone()),
        ..Order::default()
    };
    let second = Machine::new(&world).build(FILE, &order);
    assert!(second.made.is_empty(), "{:?} {:?}", second.made, second.notes);
    assert_eq!(second.digest, first.digest);

    let order = Order { push: Some(world.name("plain")), ..Order::default() };
    let plain = machine.build(FILE, &order);
    assert!(plain.config.get(INLINE_FIELD).is_none());
    let order = Order { from: vec![CacheFrom::Registry(world.name("plain"))], ..Order::default() };
    let third = Machine::new(&world).build(FILE, &order);
    assert!(third.noted("holds no cache of Slipway") && third.made.len() == 7, "{:?}", third.notes);
}

#[test]
fn a_stage_that_gives_the_same_files_on_another_machine_changes_nothing_after_it() {
    let world = World::new();
    let cache = world.name("cache");
    let content = Some(Digest::of("the same"));
    let order = Order { to: vec![registry_cache(&cache, Mode::Max)], content, ..Order::default() };
    let first = Machine::new(&world).build(FILE, &order);
    let from = vec![CacheFrom::Registry(cache)];
    let changed = FILE.replace("RUN two", "RUN another way");
    let order = Order { from: from.clone(), content, ..Order::default() };
    let second = Machine::new(&world).build(&changed, &order);
    assert_eq!(second.made, ["RUN another way"]);
    assert_eq!(second.digest, first.digest);
    let order = Order { from, content: Some(Digest::of("something else")), ..Order::default() };
    let third = Machine::new(&world).build(&changed, &order);
    assert!(third.made.contains(&"COPY --from=a /x /".to_owned()), "{:?}", third.made);
}

#[test]
fn an_import_that_goes_further_than_the_store_is_followed() {
    let world = World::new();
    let cache = world.name("cache");
    let short = "FROM scratch\nRUN one\n";
    let long = "FROM scratch\nRUN one\nRUN two\nRUN three\n";
    let order = Order { to: vec![registry_cache(&cache, Mode::Min)], ..Order::default() };
    let first = Machine::new(&world).build(long, &order);
    // This machine has made the first step itself, so the layers of the others do not fit on its own.
    let machine = Machine::new(&world);
    machine.build(short, &Order::default());
    let order = Order { from: vec![CacheFrom::Registry(cache.clone())], ..Order::default() };
    let second = machine.build(long, &order);
    assert!(second.made.is_empty(), "{:?}", second.made);
    assert_eq!(second.digest, first.digest);
    // And a stage on a stage: the import has the layers of both.
    let stages = "FROM scratch AS a\nRUN one\nFROM a\nRUN two\nRUN three\n";
    assert!(machine.build(stages, &order).made.is_empty());
}

#[test]
fn several_caches_are_asked_in_order() {
    let world = World::new();
    let (one, two) = (world.name("one"), world.name("two"));
    for (name, file) in [(&one, "FROM scratch\nRUN one\n"), (&two, "FROM scratch AS b\nRUN two\n")] {
        let order = Order { to: vec![registry_cache(name, Mode::Max)], ..Order::default() };
        Machine::new(&world).build(file, &order);
    }
    let from = vec![CacheFrom::Registry(one), CacheFrom::Registry(two)];
    let both = "FROM scratch AS b\nRUN two\nFROM scratch\nRUN one\nCOPY --from=b / /\n";
    let built = Machine::new(&world).build(both, &Order { from, ..Order::default() });
    assert_eq!(built.made, ["COPY --from=b / /"]);
}

#[test]
fn layers_are_packed_as_asked() {
    let world = World::new();
    let cache = world.name("cache");
    let zstd = Some(Compression::ZSTD);
    let to = vec![CacheTo { compression: zstd, ..registry_cache(&cache, Mode::Max) }];
    let push = Some(world.name("image"));
    let first = Machine::new(&world).build(FILE, &Order { to, push: push.clone(), ..Order::default() });
    let manifest = world.fake().manifest(cache.repository(), "latest").unwrap();
    let manifest = String::from_utf8(manifest).unwrap();
    assert!(manifest.contains("tar+zstd") && !manifest.contains("tar+gzip"), "{manifest}");
    // The image takes what is there as it is, unless its files must change.
    let from = vec![CacheFrom::Registry(cache)];
    let second = Machine::new(&world).build(FILE, &Order { from: from.clone(), push, ..Order::default() });
    assert!(second.made.is_empty() && second.digest != first.digest);
    let shape = Shape { clamp: Some(0), ..Shape::default() };
    let machine = Machine::new(&world);
    let third =
        machine.build(FILE, &Order { from, shape, push: Some(world.name("clamped")), ..Order::default() });
    assert!(third.made.is_empty());
    assert_eq!(machine.store.layers().unwrap().len(), LAYERS);
}

#[test]
fn nothing_is_exported_of_a_build_that_fails() {
    let world = World::new();
    let cache = world.name("cache");
    let order = Order { to: vec![registry_cache(&cache, Mode::Max)], ..Order::default() };
    let built = Machine::new(&world).build("FROM scratch\nRUN one\nRUN fail\n", &order);
    assert!(!built.outcome.succeeded());
    assert!(world.fake().manifest(cache.repository(), "latest").is_none());
}

#[test]
fn an_index_holds_a_cache_for_each_platform() {
    let world = World::new();
    let image = world.name("image");
    let order =
        Order { to: vec![CacheTo::new(Target::Inline)], push: Some(image.clone()), ..Order::default() };
    let first = Machine::new(&world).build(FILE, &order);
    let entry = |digest: &Digest, size: usize, architecture: &str| {
        json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let manifest = world.fake().manifest(image.repository(), "latest").unwrap();
    let own = entry(&Digest::of(&manifest), manifest.len(), "amd64");
    // Nobody builds for this one, so nobody asks for it.
    let other = entry(&Digest::of("not there"), 1, "arm64");
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [other, own]}).to_string();
    world.fake().put_manifest(image.repository(), "several", OCI_INDEX, index.as_bytes());
    let from = vec![CacheFrom::Registry(image.with_tag("several").unwrap())];
    let second = Machine::new(&world).build(FILE, &Order { from, ..order });
    assert!(second.made.is_empty(), "{:?}", second.notes);
    assert_eq!(second.digest, first.digest);
}
