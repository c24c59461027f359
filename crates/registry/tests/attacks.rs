//! Registries with bad intent, and look-alikes: nothing but what digests prove is believed, and no credential goes where it
//! does not belong.

#![allow(clippy::unwrap_used, clippy::panic)] // a test: its helpers may fail loudly

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_oci::media::{self, Flavour};
use slipway_oci::{Descriptor, Digest, Index, Platform, Reference};
use slipway_registry::testing::{FakeRegistry, Fault, Guard};
use slipway_registry::{Login, Mirror, Pushed, Registry, Retry, Settings, What};
use support::{Image, image, noise};

const SECRET: &str = "c4nary-s3cret";

fn settings() -> Settings {
    let retry = Retry { attempts: 3, first: Duration::from_millis(2), longest: Duration::from_secs(1) };
    Settings { retry, small_blob: 64 << 10, ..Settings::default() }
}

fn login(host: &str) -> Vec<(String, Login)> {
    vec![(host.to_owned(), Login::Basic { username: "me".into(), password: SECRET.into() })]
}

fn knows_us(host: &str) -> Registry {
    Registry::new(Settings { logins: login(host), ..settings() }).unwrap()
}

fn token_guard(realm: Option<String>) -> Guard {
    Guard::Token { username: "me".into(), password: SECRET.into(), realm }
}

fn named(fake: &FakeRegistry, path: &str) -> Reference {
    format!("{}/{path}", fake.host()).parse().unwrap()
}

fn fill(fake: &FakeRegistry, repository: &str, image: &Image) {
    for (descriptor, blob) in image.blobs() {
        fake.put_blob(repository, &descriptor.media_type, &blob);
    }
    fake.put_manifest(repository, "1", image.manifest.content_type(), &image.manifest.to_bytes());
}

async fn fake() -> FakeRegistry {
    FakeRegistry::start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_take_no_credentials_along() {
    let content = noise(200_000, 1);
    for guard in [Guard::Basic("me".into(), SECRET.into()), token_guard(None)] {
        let (home, storage) = (fake().await, fake().await);
        home.guard(guard);
        let blob = home.put_blob("app", "x", &content);
        storage.put_blob("app", "x", &content);
        let registry = knows_us(home.host());
        assert!(registry.blob_exists(&named(&home, "app"), &blob.digest).await.unwrap());
        home.fail("GET", "/blobs/", 9, Fault::Redirect(format!("http://{}", storage.host())));
        assert!(registry.fetch_blob(&named(&home, "app"), &blob, Vec::new()).await.unwrap() == content);
        assert!(
            home.seen().iter().any(|seen| seen.method == "GET" && seen.authorization.is_some()),
            "the registry itself was shown nothing"
        );
        assert_eq!(storage.seen().len(), 1);
        assert_eq!(storage.seen()[0].authorization, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_we_are_sent_to_cannot_ask_for_credentials() {
    let (home, thief) = (fake().await, fake().await);
    home.guard(Guard::Basic("me".into(), SECRET.into()));
    let blob = home.put_blob("app", "x", b"content");
    thief.guard(Guard::Basic("me".into(), SECRET.into()));
    let registry = knows_us(home.host());
    registry.blob_exists(&named(&home, "app"), &blob.digest).await.unwrap();
    home.fail("", "/blobs/", 99, Fault::Redirect(format!("http://{}", thief.host())));
    let error = registry.fetch_blob(&named(&home, "app"), &blob, Vec::new()).await.unwrap_err();
    assert!(matches!(error.what, What::Refused { .. }), "{error}");
    let error =
        registry.push_blob(&named(&home, "app"), &Descriptor::of("x", b"new"), &b"new".to_vec(), &[]).await;
    assert!(error.unwrap_err().to_string().contains(thief.host()));
    assert!(!thief.seen().is_empty());
    assert!(thief.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", thief.seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_elsewhere_gets_bytes_and_no_credentials() {
    let (home, storage) = (fake().await, fake().await);
    home.guard(token_guard(None));
    let content = noise(300_000, 2);
    let blob = Descriptor::of("x", &content);
    let registry = knows_us(home.host());
    // The storage has an upload of the name that the registry's answer leads to.
    let anonymous = Registry::new(settings()).unwrap();
    let other = anonymous.push_stream(&named(&storage, "warm"), std::io::empty()).await;
    other.unwrap();
    home.fail("PATCH", "", 1, Fault::Redirect(format!("http://{}", storage.host())));
    // The storage knows no such upload and says 404: the upload begins again at home.
    let pushed = registry.push_blob(&named(&home, "app"), &blob, &content, &[]).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    let sent: Vec<_> = storage.seen().into_iter().filter(|seen| seen.path.contains("/app/")).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].body, sent[0].authorization.clone()), (300_000, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_end() {
    let (a, b) = (fake().await, fake().await);
    let blob = a.put_blob("app", "x", b"content");
    a.fail("GET", "", 999, Fault::Redirect(format!("http://{}", b.host())));
    b.fail("GET", "", 999, Fault::Redirect(format!("http://{}", a.host())));
    let error = Registry::new(settings())
        .unwrap()
        .fetch_blob(&named(&a, "app"), &blob, Vec::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
    for (to, reason) in [
        ("http://169.254.169.254", "link-local"),
        ("http://[fe80::1]", "link-local"),
        ("file:///etc/passwd?", "only https and http"),
        ("gopher://x", "only https and http"),
    ] {
        let home = fake().await;
        let blob = home.put_blob("app", "x", b"content");
        home.fail("GET", "", 999, Fault::Redirect(to.into()));
        let registry = Registry::new(settings()).unwrap();
        let error = registry.fetch_blob(&named(&home, "app"), &blob, Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{to}: {error}");
        assert_eq!(registry.counters().retries, 0, "{to}: tried again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_service_elsewhere_is_not_told_who_we_are() {
    let home = fake().await;
    home.guard(token_guard(Some("http://192.0.2.1/token".into())));
    let blob = home.put_blob("app", "x", b"content");
    let registry = knows_us(home.host());
    let error = registry.fetch_blob(&named(&home, "app"), &blob, Vec::new()).await.unwrap_err();
    assert!(
        error.to_string().contains("refused to follow the registry to http://192.0.2.1/token"),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains(SECRET));
    for nonsense in ["", "no url", "ftp://x/", "https://user:pass@x/token"] {
        let home = fake().await;
        home.guard(token_guard(Some(nonsense.into())));
        let error = knows_us(home.host()).blob_exists(&named(&home, "app"), &blob.digest).await.unwrap_err();
        assert!(!error.is_transient() && !error.to_string().contains("pass"), "{nonsense}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_for_what_is_done_and_no_more() {
    let home = fake().await;
    home.guard(token_guard(None));
    let registry = knows_us(home.host());
    let content = noise(1000, 3);
    let blob = home.put_blob("base", "x", &content);
    let base = named(&home, "base:1");
    registry.fetch_blob(&base, &blob, Vec::new()).await.unwrap();
    let pushed = registry
        .push_blob(&named(&home, "team/app:1"), &blob, &content, std::slice::from_ref(&base))
        .await
        .unwrap();
    assert_eq!(pushed, Pushed::Mounted(base));
    let asked: Vec<String> = home
        .seen()
        .into_iter()
        .filter(|seen| seen.path.starts_with("/token"))
        .map(|seen| seen.path.replace("%3A", ":").replace("%2F", "/").replace("%2C", ","))
        .collect();
    assert_eq!(
        asked,
        [
            "/token?service=fake&scope=repository:base:pull",
            "/token?service=fake&scope=repository:team/app:pull,push",
            "/token?service=fake&scope=repository:team/app:pull,push&scope=repository:base:pull",
        ]
    );
    // Kept tokens are used again.
    let before = home.seen().len();
    registry.fetch_blob(&named(&home, "base:1"), &blob, Vec::new()).await.unwrap();
    assert_eq!(home.seen().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_give_way_to_right_ones_and_to_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let public = fake().await;
    public.guard(token_guard(None));
    let blob = public.put_blob("team/app", "x", b"content");
    let host = public.host();
    let wrong = r#"{"username":"me","password":"wrong"}"#;
    let right = format!(r#"{{"username":"me","password":"{SECRET}"}}"#);
    let of = |entries: &str| {
        std::fs::write(&file, format!(r#"{{"auths":{{{entries}}}}}"#)).unwrap();
        Registry::new(Settings { credential_files: vec![file.clone()], ..settings() }).unwrap()
    };
    let target = named(&public, "team/app");
    // The token service refuses the wrong password; without one, reading is allowed.
    of(&format!(r#""{host}":{wrong}"#)).fetch_blob(&target, &blob, Vec::new()).await.unwrap();
    // Writing is not.
    let new = Descriptor::of("x", b"new");
    let error = of(&format!(r#""{host}":{wrong}"#))
        .push_blob(&target, &new, &b"new".to_vec(), &[])
        .await
        .unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert!(error.to_string().contains(&format!("tried `{host}` of {}", file.display())), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    // The more specific entry is wrong, the other is right.
    let registry = of(&format!(r#""{host}/team":{wrong},"{host}":{right}"#));
    registry.push_blob(&target, &new, &b"new".to_vec(), &[]).await.unwrap();
    public.fail("POST", "/uploads/", 1, Fault::Status(403, vec![], "no".into()));
    let error =
        registry.push_blob(&target, &Descriptor::of("x", b"1"), &b"1".to_vec(), &[]).await.unwrap_err();
    let expected = format!("denies this to the credentials of `{host}` of {}: no", file.display());
    assert!(error.to_string().contains(&expected), "{error}");
    // An identity token is exchanged.
    let registry = of(&format!(r#""{host}":{{"identitytoken":"{SECRET}"}}"#));
    registry.push_blob(&target, &Descriptor::of("x", b"2"), &b"2".to_vec(), &[]).await.unwrap();
    assert!(public.seen().iter().any(|seen| seen.method == "POST" && seen.path == "/token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_s_urls_are_never_asked() {
    let (home, thief) = (fake().await, fake().await);
    let mut image = image(Flavour::Oci, 1000);
    thief.put_blob("app", "x", &image.layers[0].1);
    let digest = image.layers[0].0.digest;
    image.manifest.layers[0].urls = vec![format!("http://{}/v2/app/blobs/{digest}", thief.host())];
    image.manifest.layers[0].media_type =
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".into();
    fill(&home, "other", &image);
    home.put_manifest("app", "1", media::OCI_MANIFEST, &image.manifest.to_bytes());
    home.put_blob("app", "x", &image.config);
    let registry = knows_us(thief.host());
    let resolved = registry.resolve(&named(&home, "app:1"), &Platform::host()).await.unwrap();
    let error =
        registry.fetch_blob(&resolved.reference, &resolved.manifest.layers[0], Vec::new()).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(thief.seen().is_empty(), "{:?}", thief.seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deceptive_manifests_are_refused() {
    let good = image(Flavour::Oci, 100);
    let text = String::from_utf8(good.manifest.to_bytes()).unwrap();
    let with = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
    let config_digest = good.manifest.config.digest.to_string();
    let config_size = format!("\"size\": {}", good.config.len());
    let mut fewer = good.manifest.clone();
    fewer.layers.pop();
    let mut chart = good.manifest.clone();
    chart.config.media_type = "application/vnd.cncf.helm.config.v1+json".into();
    let entry = |size: u64| {
        let mut entry = Descriptor::new(media::OCI_MANIFEST, good.digest(), size);
        entry.platform = Some(Platform::host());
        entry
    };
    let real_size = text.len() as u64;
    let table: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("layers and manifests", media::OCI_MANIFEST, with("{", r#"{"manifests":[],"#), "both"),
        ("an index by header", media::OCI_INDEX, text.clone().into(), "it is an image manifest"),
        (
            "another type by its word",
            media::OCI_MANIFEST,
            with(media::OCI_MANIFEST, media::DOCKER_MANIFEST),
            "own word",
        ),
        ("a web page", "text/html", b"<html>".to_vec(), "cannot be read"),
        ("too large", media::OCI_MANIFEST, vec![b' '; (4 << 20) + 1], "expected 4194304 bytes, got more"),
        (
            "another configuration",
            media::OCI_MANIFEST,
            with(&config_digest, &Digest::of(b"x").to_string()),
            "not found",
        ),
        (
            "a huge configuration",
            media::OCI_MANIFEST,
            with(&config_size, "\"size\": 99999999999"),
            "announced",
        ),
        (
            "a configuration of another size",
            media::OCI_MANIFEST,
            with(&config_size, "\"size\": 5"),
            "expected 5 bytes, got",
        ),
        (
            "fewer layers than diff_ids",
            media::OCI_MANIFEST,
            fewer.to_bytes(),
            "2 layers, its configuration has 3 diff_ids",
        ),
        ("a Helm chart", media::OCI_MANIFEST, chart.to_bytes(), "this is no image"),
        (
            "a wrong size in the index",
            media::OCI_INDEX,
            Index::new(Flavour::Oci, vec![entry(5)]).to_bytes(),
            "expected 5 bytes",
        ),
        ("no platform", media::OCI_INDEX, Index::new(Flavour::Oci, vec![]).to_bytes(), "no platform at all"),
    ];
    for (name, media_type, bytes, expected) in table {
        let home = fake().await;
        fill(&home, "app", &good);
        home.put_manifest("app", "1", media_type, &bytes);
        let error = Registry::new(settings())
            .unwrap()
            .resolve(&named(&home, "app:1"), &Platform::host())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    // The honest ones next to them are taken.
    let home = fake().await;
    fill(&home, "app", &good);
    home.put_manifest(
        "app",
        "index",
        media::OCI_INDEX,
        &Index::new(Flavour::Oci, vec![entry(real_size)]).to_bytes(),
    );
    Registry::new(settings()).unwrap().resolve(&named(&home, "app:index"), &Platform::host()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_are_of_the_bytes_that_came() {
    let good = image(Flavour::Oci, 100);
    let pinned = |home: &FakeRegistry| named(home, "app").pinned(good.digest());
    let lie = || Fault::Header("Docker-Content-Digest".into(), Digest::of(b"lie").to_string());
    let other = Fault::Body(b"{}".to_vec());

    let home = fake().await;
    fill(&home, "app", &good);
    home.fail("GET", "/manifests/", 9, other.clone());
    let error =
        Registry::new(settings()).unwrap().resolve(&pinned(&home), &Platform::host()).await.unwrap_err();
    assert!(matches!(error.what, What::Digest { expected, .. } if expected == good.digest()), "{error}");

    let home = fake().await;
    fill(&home, "app", &good);
    home.fail("GET", "/manifests/", 9, lie());
    // By digest the header is no one's business; by tag it shows that something is wrong.
    Registry::new(settings()).unwrap().resolve(&pinned(&home), &Platform::host()).await.unwrap();
    let error = Registry::new(settings())
        .unwrap()
        .resolve(&named(&home, "app:1"), &Platform::host())
        .await
        .unwrap_err();
    assert!(matches!(error.what, What::Digest { .. }), "{error}");

    let home = fake().await;
    fill(&home, "app", &good);
    home.fail("GET", "/blobs/", 9, Fault::Corrupt);
    let error = Registry::new(settings())
        .unwrap()
        .resolve(&named(&home, "app:1"), &Platform::host())
        .await
        .unwrap_err();
    assert!(matches!(error.what, What::Digest { .. }), "{error}");

    home.fail("PUT", "/manifests/", 1, lie());
    let registry = Registry::new(settings()).unwrap();
    let error =
        registry.push_manifest(&named(&home, "app:2"), good.manifest.to_bytes(), media::OCI_MANIFEST).await;
    assert!(matches!(error.unwrap_err().what, What::Digest { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_registry_says_is_fit_for_a_terminal() {
    let home = fake().await;
    let said = r#"{"errors":[{"code":"DENIED","message":"\u001b[2Jpay\nnow"}]}"#;
    home.fail("GET", "", 9, Fault::Status(400, vec![], said.into()));
    let error = Registry::new(settings())
        .unwrap()
        .resolve(&named(&home, "app:1"), &Platform::host())
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("[2Jpay now (DENIED)"), "{error}");
    assert!(!error.to_string().contains(['\u{1b}', '\n']), "{error}");
    let home = fake().await;
    home.fail("GET", "", 9, Fault::Status(400, vec![], "x".repeat(1 << 20)));
    let error = Registry::new(settings())
        .unwrap()
        .resolve(&named(&home, "app:1"), &Platform::host())
        .await
        .unwrap_err();
    assert!(error.to_string().len() < 500);
}

/// Also where nobody knows whether the registry itself speaks TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_stands_in_for_a_registry_that_is_away() {
    let good = image(Flavour::Oci, 50_000);
    let mirror = fake().await;
    fill(&mirror, "cache/app", &good);
    // A port that nobody is given: another test cannot come to listen there.
    let away = "127.0.0.1:1".to_owned();
    let mirrors = vec![Mirror { location: format!("http://{}/cache", mirror.host()) }];
    let registry =
        Registry::new(Settings { mirrors: BTreeMap::from([(away.clone(), mirrors)]), ..settings() }).unwrap();
    let target: Reference = format!("{away}/app:1").parse().unwrap();
    let resolved = registry.resolve(&target, &Platform::host()).await.unwrap();
    assert_eq!((resolved.digest, resolved.host.as_str()), (good.digest(), mirror.host()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_was_asked_is_left_out_of_the_error() {
    let (mirror, home) = (fake().await, fake().await);
    let mirrors = vec![Mirror { location: format!("http://{}/cache", mirror.host()) }];
    let registry = Registry::new(Settings {
        mirrors: BTreeMap::from([(home.host().to_owned(), mirrors)]),
        ..settings()
    })
    .unwrap();
    let target: Reference = format!("{}/app:1", home.host()).parse().unwrap();
    let error = registry.resolve(&target, &Platform::host()).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let said = format!("; before that, {} (a mirror of {}): not found", mirror.host(), home.host());
    assert!(error.to_string().contains(&said), "{error}");
    assert!(error.is_final());
    // A mirror that is unwell may have what the registry itself has not.
    mirror.fail("GET", "/", 99, Fault::Status(503, Vec::new(), "one moment".into()));
    let error = registry.resolve(&target, &Platform::host()).await.unwrap_err();
    assert!(error.is_not_found() && !error.is_final(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_are_asked_first_and_trusted_no_more() {
    let good = image(Flavour::Oci, 50_000);
    let (mirror, home) = (fake().await, fake().await);
    fill(&mirror, "cache/app", &good);
    fill(&home, "app", &good);
    let dead = "127.0.0.1:1".to_owned();
    let mirrors =
        vec![Mirror { location: dead }, Mirror { location: format!("http://{}/cache", mirror.host()) }];
    let registry = Registry::new(Settings {
        mirrors: BTreeMap::from([(home.host().to_owned(), mirrors)]),
        logins: login(home.host()),
        ..settings()
    })
    .unwrap();
    let target = named(&home, "app:1");

    let resolved = registry.resolve(&target, &Platform::host()).await.unwrap();
    assert_eq!((resolved.digest, resolved.host.as_str()), (good.digest(), mirror.host()));
    assert!(home.seen().is_empty(), "{:?}", home.seen());
    assert!(
        mirror
            .seen()
            .iter()
            .all(|seen| seen.path.contains(&format!("ns={}", home.host().replace(':', "%3A"))))
    );

    // A mirror that lies is left for the registry.
    let (layer, content) = &good.layers[2];
    mirror.fail("GET", "/blobs/", 9, Fault::Corrupt);
    assert!(registry.fetch_blob(&target, layer, Vec::new()).await.unwrap() == *content);
    assert!(home.seen().iter().any(|seen| seen.path.contains("/blobs/")));

    // One that is behind is as well.
    mirror.fail("GET", "/manifests/", 9, Fault::Status(404, vec![], String::new()));
    assert_eq!(registry.resolve(&target, &Platform::host()).await.unwrap().host, home.host());

    // The registry's credentials are not the mirror's.
    mirror.guard(Guard::Basic("me".into(), SECRET.into()));
    registry.fetch_blob(&target, layer, Vec::new()).await.unwrap();
    assert!(mirror.seen().iter().all(|seen| seen.authorization.is_none()));

    // What is pushed goes to the registry alone.
    registry.push_blob(&target, &Descriptor::of("x", b"new"), &b"new".to_vec(), &[]).await.unwrap();
    assert!(mirror.seen().iter().all(|seen| matches!(seen.method.as_str(), "GET" | "HEAD")));
}

/// Whatever a registry answers, nothing panics, hangs, or is believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_answered_with_errors() {
    let good = image(Flavour::Oci, 100);
    let seeds = [good.manifest.to_bytes(), good.config.clone(), b"{\"schemaVersion\":2}".to_vec()];
    let home = fake().await;
    fill(&home, "app", &good);
    let registry = Registry::new(settings()).unwrap();
    let mut refused = 0;
    for seed in 0..300_u64 {
        let mut bytes = seeds[seed as usize % seeds.len()].clone();
        for (at, byte) in noise(3, seed + 1).into_iter().enumerate() {
            let place = noise(8, seed * 7 + at as u64 + 1);
            let index = u64::from_le_bytes(place.try_into().unwrap()) as usize % bytes.len();
            bytes[index] = byte;
        }
        home.put_manifest("app", "fuzz", media::OCI_MANIFEST, &bytes);
        refused += usize::from(registry.resolve(&named(&home, "app:fuzz"), &Platform::host()).await.is_err());
    }
    assert!(refused > 150, "only {refused} were refused");
}
