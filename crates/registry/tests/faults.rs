//! Registries that fail in passing: everything still arrives, byte for byte, or the error says why not.

#![allow(clippy::unwrap_used, clippy::panic)] // a test: its helpers may fail loudly

mod support;

use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use slipway_oci::{Descriptor, Digest, Reference};
use slipway_registry::testing::{FakeRegistry, Fault, Guard};
use slipway_registry::{Login, Pushed, Registry, Retry, Settings, Source, Timeouts, What};
use support::noise;

/// What fails, how often, and whether the transfer is taken up in the middle.
type Pull = (&'static str, Vec<(usize, Fault)>, bool);

/// A blob, what fails at which method and path, and what the bodies of the PATCHes must have been, if that matters.
type Push<'a> = (&'static str, &'a [u8], Vec<(&'static str, &'static str, usize, Fault)>, Option<Vec<usize>>);

/// What fails at which method.
type Stream = (&'static str, Vec<(&'static str, usize, Fault)>);

fn settings() -> Settings {
    Settings {
        retry: Retry { attempts: 5, first: Duration::from_millis(2), longest: Duration::from_secs(2) },
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            idle: Duration::from_secs(20),
            commit: Duration::from_secs(20),
        },
        small_blob: 64 << 10,
        replay_buffer: 8 << 20,
        ..Settings::default()
    }
}

/// Settings for registries that stand still. With others nobody is impatient: this machine may stand still too.
fn impatient(idle: Duration) -> Settings {
    let usual = settings();
    Settings { timeouts: Timeouts { idle, ..usual.timeouts }, ..usual }
}

fn registry() -> Registry {
    Registry::new(settings()).unwrap()
}

fn status(code: u16, headers: &[(&str, &str)]) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status(code, headers, "try later".into())
}

fn named(fake: &FakeRegistry, path: &str) -> Reference {
    format!("{}/{path}", fake.host()).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_survives_what_passes() {
    let content = noise(1_000_000, 1);
    let wrong = noise(1_000_000, 2);
    let header = |name: &str, value: &str| Fault::Header(name.into(), value.into());
    let table: Vec<Pull> = vec![
        ("nothing", vec![], false),
        ("cut before the first byte", vec![(1, Fault::CutAnswer(0))], false),
        ("cut after one byte", vec![(1, Fault::CutAnswer(1))], true),
        ("cut before the last byte", vec![(1, Fault::CutAnswer(999_999))], true),
        ("cut more often than there are attempts", vec![(12, Fault::CutAnswer(80_000))], true),
        (
            "cut, then the range is not heard",
            vec![(1, Fault::CutAnswer(500_000)), (1, Fault::IgnoreRange)],
            false,
        ),
        ("closed at once", vec![(4, Fault::Close)], false),
        ("500", vec![(4, status(500, &[]))], false),
        (
            "502, 503, 504, 408",
            vec![(1, status(502, &[])), (1, status(503, &[])), (1, status(504, &[])), (1, status(408, &[]))],
            false,
        ),
        ("429 without a time", vec![(4, status(429, &[]))], false),
        ("stalled", vec![(1, Fault::Stall(400_000, Duration::from_secs(5)))], true),
        ("trickling", vec![(1, Fault::Trickle(Duration::from_millis(5)))], true),
        ("a wrong byte", vec![(1, Fault::Corrupt)], false),
        ("other content of the same size", vec![(1, Fault::Body(wrong))], false),
        ("too short", vec![(1, Fault::Body(content[..300_000].to_vec()))], true),
        ("too long", vec![(1, Fault::Body([&content[..], b"more"].concat()))], false),
        ("announced too long", vec![(1, header("Content-Length", "1000500"))], false),
        ("announced too short", vec![(1, header("Content-Length", "999000"))], true),
    ];
    for (name, faults, resumes) in table {
        let fake = FakeRegistry::start().await.unwrap();
        let blob = fake.put_blob("app", "x", &content);
        for (times, fault) in faults {
            fake.fail("GET", "/blobs/", times, fault);
        }
        let registry = match name {
            "stalled" | "trickling" | "announced too long" => {
                Registry::new(impatient(Duration::from_secs(2))).unwrap()
            }
            _ => registry(),
        };
        let got = registry.fetch_blob(&named(&fake, "app"), &blob, Vec::new()).await;
        let got = got.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(got == content, "{name}: other content");
        assert_eq!(fake.faults_left(), 0, "{name}: not all faults happened");
        assert_eq!(registry.counters().resumed > 0, resumes, "{name}: {:?}", registry.counters());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_gives_up_with_the_reason() {
    let content = noise(200_000, 1);
    let (close, corrupt) = (Fault::Close, Fault::Corrupt);
    let table: Vec<(&str, Fault, usize, &str)> = vec![
        ("always cut at the start", close, 5, "the connection broke after 0 bytes"),
        ("always 500", status(500, &[]), 5, "answers 500 Internal Server Error: try later"),
        ("always 429", status(429, &[]), 5, "too many requests: try later"),
        ("always wrong", corrupt, 2, "sent other content than asked for: expected sha256:"),
        ("always too long", Fault::Body(vec![0; 300_000]), 2, "expected 200000 bytes, got more"),
        ("429 for an hour", status(429, &[("Retry-After", "3600")]), 1, "again in 3600 s"),
        ("404", status(404, &[]), 1, "not found: try later"),
        ("403", status(403, &[]), 1, "denies this to those without credentials: try later"),
        ("400", status(400, &[]), 1, "answers 400 Bad Request: try later"),
    ];
    for (name, fault, requests, expected) in table {
        let fake = FakeRegistry::start().await.unwrap();
        let blob = fake.put_blob("app", "x", &content);
        fake.fail("GET", "/blobs/", 99, fault);
        let error = registry().fetch_blob(&named(&fake, "app"), &blob, Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(error.to_string().contains(fake.host()), "{name}: {error}");
        assert_eq!(fake.seen().len(), requests, "{name}");
        assert_eq!(error.is_final(), matches!(name, "404" | "403"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_heard() {
    let fake = FakeRegistry::start().await.unwrap();
    let blob = fake.put_blob("app", "x", b"content");
    fake.fail("GET", "/blobs/", 1, status(429, &[("Retry-After", "1")]));
    let begun = Instant::now();
    registry().fetch_blob(&named(&fake, "app"), &blob, Vec::new()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_are_asked_for_again_too() {
    let fake = FakeRegistry::start().await.unwrap();
    let image = support::image(slipway_oci::media::Flavour::Oci, 10);
    let target = named(&fake, "app:1");
    for (descriptor, blob) in image.blobs() {
        fake.put_blob("app", &descriptor.media_type, &blob);
    }
    for fault in
        [Fault::Close, Fault::CutAnswer(10), status(503, &[]), Fault::Stall(5, Duration::from_secs(5))]
    {
        fake.fail("GET", "/manifests/", 1, fault.clone());
        fake.fail("GET", "/blobs/", 1, fault.clone());
        fake.fail(
            "PUT",
            "/manifests/",
            1,
            match fault {
                Fault::CutAnswer(_) => Fault::CutRequest(20),
                Fault::Stall(..) => Fault::LoseAnswer,
                ref other => other.clone(),
            },
        );
        let registry = match fault {
            Fault::Stall(..) => Registry::new(impatient(Duration::from_secs(2))).unwrap(),
            _ => registry(),
        };
        registry
            .push_manifest(&target, image.manifest.to_bytes(), image.manifest.content_type())
            .await
            .unwrap();
        let resolved = registry.resolve(&target, &slipway_oci::Platform::host()).await.unwrap();
        assert_eq!(resolved.digest, image.digest());
        assert_eq!(registry.counters().retries, 3);
    }
    assert_eq!(fake.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_survives_what_passes() {
    let large = noise(3_000_000, 3);
    let small = noise(1000, 4);
    let range = status(416, &[]);
    let table: Vec<Push> = vec![
        ("nothing", &large, vec![], Some(vec![3_000_000])),
        ("nothing, small", &small, vec![], Some(vec![])),
        ("nothing, empty", b"", vec![], Some(vec![])),
        (
            "cut",
            &large,
            vec![("PATCH", "", 1, Fault::CutRequest(1_000_000))],
            Some(vec![1_000_000, 2_000_000]),
        ),
        (
            "cut twice",
            &large,
            vec![("PATCH", "", 2, Fault::CutRequest(1_000_000))],
            Some(vec![1_000_000, 1_000_000, 1_000_000]),
        ),
        (
            "cut at the end",
            &large,
            vec![("PATCH", "", 1, Fault::CutRequest(2_999_999))],
            Some(vec![2_999_999, 1]),
        ),
        ("cut at once", &large, vec![("PATCH", "", 4, Fault::Close)], None),
        (
            "the answer to all bytes is lost",
            &large,
            vec![("PATCH", "", 1, Fault::LoseAnswer)],
            Some(vec![3_000_000]),
        ),
        (
            "the answer to the commit is lost",
            &large,
            vec![("PUT", "", 1, Fault::LoseAnswer)],
            Some(vec![3_000_000]),
        ),
        ("the answer to a small one is lost", &small, vec![("PUT", "", 1, Fault::LoseAnswer)], Some(vec![])),
        ("a small one is cut", &small, vec![("PUT", "", 1, Fault::CutRequest(10))], None),
        ("the upload is lost before bytes", &large, vec![("PATCH", "", 1, Fault::ForgetUpload)], None),
        ("the upload is lost before the commit", &large, vec![("PUT", "", 1, Fault::ForgetUpload)], None),
        ("416", &large, vec![("PATCH", "", 1, range)], None),
        (
            "cut, and nobody knows how much came",
            &large,
            vec![("PATCH", "", 1, Fault::CutRequest(500_000)), ("GET", "uploads", 1, status(500, &[]))],
            None,
        ),
        (
            "5xx everywhere",
            &large,
            vec![
                ("HEAD", "", 1, status(500, &[])),
                ("POST", "", 1, status(503, &[])),
                ("PATCH", "", 1, status(502, &[])),
                ("PUT", "", 1, status(500, &[])),
            ],
            None,
        ),
        (
            "429 everywhere",
            &large,
            vec![
                ("POST", "", 1, status(429, &[])),
                ("PATCH", "", 1, status(429, &[])),
                ("PUT", "", 1, status(429, &[])),
            ],
            None,
        ),
        ("opening is cut", &large, vec![("POST", "", 2, Fault::Close)], None),
    ];
    for (name, content, faults, patches) in table {
        let fake = FakeRegistry::start().await.unwrap();
        for (method, path, times, fault) in faults {
            fake.fail(method, path, times, fault);
        }
        let blob = Descriptor::of("x", content);
        let pushed = registry().push_blob(&named(&fake, "app"), &blob, &content.to_vec(), &[]).await;
        assert_eq!(pushed.unwrap_or_else(|error| panic!("{name}: {error}")), Pushed::Uploaded);
        assert!(fake.blob("app", &blob.digest).as_deref() == Some(content), "{name}: other content");
        assert_eq!(fake.faults_left(), 0, "{name}: not all faults happened");
        if let Some(expected) = patches {
            let got: Vec<_> =
                fake.seen().into_iter().filter(|seen| seen.method == "PATCH").map(|seen| seen.body).collect();
            assert_eq!(got, expected, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_gives_up_with_the_reason_and_leaves_no_upload() {
    let content = noise(500_000, 3);
    let table = [
        ("always cut", "PATCH", Fault::Close, "the connection broke"),
        ("always 500", "PATCH", status(500, &[]), "answers 500"),
        ("never committed", "PUT", status(500, &[]), "answers 500"),
        ("denied", "POST", status(403, &[]), "denies this"),
        ("not allowed", "PATCH", status(405, &[]), "answers 405"),
        ("too large for it", "PATCH", status(413, &[]), "answers 413"),
    ];
    for (name, method, fault, expected) in table {
        let fake = FakeRegistry::start().await.unwrap();
        fake.fail(method, "", 99, fault);
        let blob = Descriptor::of("x", &content);
        let error = registry().push_blob(&named(&fake, "app"), &blob, &content, &[]).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(fake.seen().len() < 40, "{name}: {} requests", fake.seen().len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changed_is_found_out() {
    let fake = FakeRegistry::start().await.unwrap();
    let content = noise(500_000, 3);
    let announced = Descriptor::of("x", &content);
    let mut other = content.clone();
    other[7] ^= 1;
    let push = async |blob: &Descriptor, source: &dyn Source| {
        registry().push_blob(&named(&fake, "app"), blob, source, &[]).await.unwrap_err().to_string()
    };
    let error = push(&announced, &other).await;
    assert!(error.contains("DIGEST_INVALID"), "{error}");
    let error = push(&announced, &content[..400_000].to_vec()).await;
    assert!(error.contains("shorter than its descriptor says"), "{error}");
    let error = push(&announced, &std::path::PathBuf::from("/no/such/blob")).await;
    assert!(error.contains("local: /no/such/blob"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_survives_what_passes() {
    let content = noise(3_000_000, 5);
    let table: Vec<Stream> = vec![
        ("nothing", vec![]),
        ("cut", vec![("PATCH", 1, Fault::CutRequest(1_000_000))]),
        ("cut often", vec![("PATCH", 8, Fault::CutRequest(300_000))]),
        ("cut at once", vec![("PATCH", 3, Fault::Close)]),
        (
            "5xx",
            vec![("POST", 1, status(500, &[])), ("PATCH", 1, status(503, &[])), ("PUT", 2, status(502, &[]))],
        ),
        ("the answer to all bytes is lost", vec![("PATCH", 1, Fault::LoseAnswer)]),
        ("the answer to the commit is lost", vec![("PUT", 1, Fault::LoseAnswer)]),
    ];
    for (name, faults) in table {
        let fake = FakeRegistry::start().await.unwrap();
        for (method, times, fault) in faults {
            fake.fail(method, "", times, fault);
        }
        let pushed = registry().push_stream(&named(&fake, "app"), Cursor::new(content.clone())).await;
        let (digest, size) = pushed.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((digest, size), (Digest::of(&content), 3_000_000), "{name}");
        assert!(fake.blob("app", &digest).as_ref() == Some(&content), "{name}: other content");
        assert_eq!(fake.faults_left(), 0, "{name}: not all faults happened");
    }
}

/// What is kept for sending again is bounded: memory does not grow with the blob.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_go_back_says_so() {
    let fake = FakeRegistry::start().await.unwrap();
    fake.fail("PATCH", "", 1, Fault::ForgetUpload);
    let registry = Registry::new(Settings { replay_buffer: 256 << 10, ..settings() }).unwrap();
    let error =
        registry.push_stream(&named(&fake, "app"), Cursor::new(noise(3_000_000, 5))).await.unwrap_err();
    assert!(error.is_not_found() || error.is_transient(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let fake = FakeRegistry::start().await.unwrap();
    fake.guard(Guard::Token { username: "me".into(), password: "secret".into(), realm: None });
    let login = Login::Basic { username: "me".into(), password: "secret".into() };
    let registry =
        Registry::new(Settings { logins: vec![(fake.host().into(), login)], ..settings() }).unwrap();
    let content = noise(1_000_000, 6);
    let blob = Descriptor::of("x", &content);
    for method in ["HEAD", "POST", "PATCH", "PUT"] {
        fake.fail(method, "/app/", 1, Fault::RevokeTokens);
    }
    registry.push_blob(&named(&fake, "app"), &blob, &content, &[]).await.unwrap();
    assert!(fake.blob("app", &blob.digest).as_ref() == Some(&content));
    assert_eq!(fake.faults_left(), 0);
    fake.fail("GET", "/app/blobs", 1, Fault::CutAnswer(300_000));
    fake.fail("GET", "/app/blobs", 1, Fault::RevokeTokens);
    let got = registry.fetch_blob(&named(&fake, "app"), &blob, Vec::new()).await.unwrap();
    assert!(got == content);
    assert_eq!(fake.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_producer_is_not_a_slow_registry() {
    struct Slow(usize);
    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            std::thread::sleep(Duration::from_millis(1500));
            self.0 = self.0.saturating_sub(1);
            buffer[..1].fill(7);
            Ok(self.0.min(1))
        }
    }
    let fake = FakeRegistry::start().await.unwrap();
    let registry = Registry::new(impatient(Duration::from_secs(1))).unwrap();
    let (digest, size) = registry.push_stream(&named(&fake, "app"), Slow(3)).await.unwrap();
    assert_eq!((digest, size), (Digest::of([7; 2]), 2));
    assert_eq!(registry.counters().retries, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_home() {
    // A port that nobody is given: another test cannot come to listen there.
    let target: Reference = "127.0.0.1:1/app".parse().unwrap();
    let error = registry().resolve(&target, &slipway_oci::Platform::host()).await.unwrap_err();
    assert!(matches!(error.what, What::Unreachable { .. }) && error.is_transient(), "{error}");
    assert!(error.to_string().contains("is it running, and is the port right?"), "{error}");
}

/// Nothing is known of it before it answers, so also not that it speaks no TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_home_late_is_understood() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let target: Reference = format!("{free}/app").parse().unwrap();
    let patient =
        Retry { attempts: 20, first: Duration::from_millis(50), longest: Duration::from_millis(200) };
    let registry = Registry::new(Settings { retry: patient, ..settings() }).unwrap();
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        FakeRegistry::start_at(&free).await.unwrap()
    };
    let blob = Descriptor::of("x", b"late");
    let bytes = b"late".to_vec();
    let (pushed, fake) = tokio::join!(registry.push_blob(&target, &blob, &bytes, &[]), late);
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    assert_eq!(fake.blob("app", &blob.digest).unwrap(), b"late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_ours_and_final() {
    struct Full;
    impl slipway_registry::Sink for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
    }
    let fake = FakeRegistry::start().await.unwrap();
    let blob = fake.put_blob("app", "x", &noise(100_000, 1));
    let Err(error) = registry().fetch_blob(&named(&fake, "app"), &blob, Full).await else {
        panic!("it fitted")
    };
    assert!(matches!(error.what, What::Local(_)) && !error.is_transient(), "{error}");
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_passes_from_one_registry_to_another() {
    let content = noise(2_000_000, 8);
    let (from, to) = (FakeRegistry::start().await.unwrap(), FakeRegistry::start().await.unwrap());
    let blob = from.put_blob("base", "x", &content);
    let registry = registry();
    let source = registry.remote_blob(&named(&from, "base"), &blob);
    for (fake, method, fault) in [
        (&from, "GET", Fault::CutAnswer(700_000)),
        (&from, "GET", status(503, &[])),
        (&to, "PATCH", Fault::CutRequest(900_000)),
        (&to, "PATCH", status(502, &[])),
    ] {
        fake.fail(method, "/", 1, fault);
    }
    let pushed = registry.push_blob(&named(&to, "app"), &blob, &source, &[]).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert!(to.blob("app", &blob.digest).as_ref() == Some(&content));
    assert_eq!(from.faults_left() + to.faults_left(), 0);
    // What is there already is not asked for.
    let before = from.seen().len();
    assert_eq!(registry.push_blob(&named(&to, "app"), &blob, &source, &[]).await.unwrap(), Pushed::Existed);
    assert_eq!(from.seen().len(), before);
    // What is not there fails with the origin's words.
    let missing = Descriptor::of("x", b"missing");
    let source = registry.remote_blob(&named(&from, "base"), &missing);
    let error = registry.push_blob(&named(&to, "app"), &missing, &source, &[]).await.unwrap_err();
    assert!(error.to_string().contains("BLOB_UNKNOWN"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_blob_pushed_at_once_from_several_sides_is_sent_once() {
    let fake = FakeRegistry::start().await.unwrap();
    let (registry, content) = (registry(), noise(1_000_000, 9));
    let (target, blob) = (named(&fake, "app"), Descriptor::of("x", &content));
    let pushes = (0..5).map(|_| registry.push_blob(&target, &blob, &content, &[]));
    let pushed: Vec<_> = futures::future::join_all(pushes).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(pushed.iter().filter(|pushed| **pushed == Pushed::Uploaded).count(), 1, "{pushed:?}");
    assert_eq!(fake.seen().iter().filter(|seen| seen.method == "PATCH").count(), 1);
}
