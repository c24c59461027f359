use super::*;
use crate::build::CacheMode;

fn spec(yaml: &str) -> ImageBuildSpec {
    serde_yaml::from_str(yaml).unwrap()
}

fn problems(yaml: &str) -> Vec<String> {
    validate(&spec(yaml), &Defaults::default()).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn fills_in_what_is_left_open() {
    let defaults = Defaults { registry: "registry.example".into(), ..Defaults::default() };
    let valid = validate(
        &spec("{dockerfile: {inline: FROM scratch}, images: [{name: shop}, {target: test}]}"),
        &defaults,
    )
    .unwrap();
    assert_eq!(valid.images[0].repository, "registry.example/shop");
    assert_eq!(valid.images[0].tags, ["latest"]);
    assert_eq!((valid.images[1].target.as_str(), valid.images[1].repository.as_str()), ("test", ""));
    assert_eq!((valid.cache.claim.as_str(), valid.cache.managed), (DEFAULT_CLAIM, true));
    assert!((valid.timeout - 3600.0).abs() < 1e-9);
    assert_eq!(valid.retries, 2);
}

#[test]
fn a_cache_without_a_host_lies_in_the_default_registry() {
    let defaults = Defaults { registry: "registry.example".into(), ..Defaults::default() };
    let valid = validate(
        &spec("{dockerfile: {inline: FROM scratch}, cache: {from: [{ref: 'shop:main'}], to: [{ref: 'r.example/c', mode: Max}]}}"),
        &defaults,
    )
    .unwrap();
    assert_eq!(valid.cache.from, [("registry.example/shop:main".to_owned(), None)]);
    assert_eq!(
        (valid.cache.to[0].reference.as_str(), valid.cache.to[0].mode),
        ("r.example/c", CacheMode::Max)
    );
}

#[test]
fn a_build_without_images_builds_the_last_stage() {
    let valid = validate(&spec("dockerfile: {inline: FROM scratch}"), &Defaults::default()).unwrap();
    assert_eq!(valid.images, [ValidImage::default()]);
}

#[test]
fn names_each_field_that_is_wrong() {
    let found = problems(
        "{source: {http: {url: 'http://x/y.tgz'}, subPath: ../up}, dockerfile: {path: /etc/passwd}, timeout: soon,
          budgets: {imageSize: big},
          cache: {size: lots, from: [{ref: 'cache:main'}], to: [{ref: 'r.example/c:x'}, {ref: 'r.example/c:x'}, {ref: 'r.example/c@sha256:0'}]}, images: [{name: 'shop'}, {name: 'registry.example/Shop:1'}],
          secrets: [{id: a, secretRef: {name: s, key: k}}, {id: a, secretRef: {name: s, key: k}}]}",
    );
    for field in [
        "spec.source.subPath",
        "spec.dockerfile.path",
        "spec.cache.size",
        "spec.cache.from[0].ref",
        "spec.cache.to[1].ref",
        "spec.cache.to[2].ref",
        "spec.timeout",
        "spec.budgets.imageSize",
        "spec.images[0].name",
        "spec.images[1].name",
        "spec.secrets[1].id",
    ] {
        assert!(found.iter().any(|p| p.starts_with(&format!("{field}:"))), "{field} in {found:#?}");
    }
}

#[test]
fn nothing_to_build_is_a_problem() {
    assert_eq!(problems("{}"), ["spec.dockerfile.inline: is needed where there is no spec.source"]);
}
