//! Base pulls and pushes through a registry that cuts, delays, refuses and lies: a right image, or an error that says why.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use slipway_oci::archive::{Entry, Kind, Writer};
use slipway_oci::compress::{Compression, LayerWriter};
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, ImageConfig, Manifest, Platform};
use slipway_registry::testing::{FakeRegistry, Fault, Guard};

use crate::bed::Bed;
use crate::left;
use crate::{Dice, alone, setting};

/// Pushes a base image with a shell and a few files, and returns its name.
pub(crate) fn base(fake: &FakeRegistry, repository: &str, seed: u64) -> String {
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let mut config = ImageConfig {
        architecture: Platform::host().architecture,
        os: "linux".into(),
        ..ImageConfig::default()
    };
    config.config.env = vec!["PATH=/bin".into()];
    config.config.shell = ["/bin/busybox", "sh", "-c"].map(str::to_owned).to_vec();
    let mut layers = vec![];
    for (name, content, mode) in
        [("bin/busybox", &busybox[..], 0o755), ("etc/seed", &seed.to_le_bytes()[..], 0o644)]
    {
        let mut tar = Writer::new(LayerWriter::new(vec![], Compression::GZIP, 2));
        let folder = name.split('/').next().unwrap();
        tar.append(&Entry::new(folder, Kind::Directory, 0o755)).unwrap();
        let file = Entry::new(name, Kind::File { size: content.len() as u64 }, mode);
        tar.append_file(&file, &mut &content[..]).unwrap();
        let (blob, digests) = tar.finish().unwrap().finish().unwrap();
        config.rootfs.diff_ids.push(digests.diff_id);
        layers.push(fake.put_blob(repository, Flavour::Oci.layer(Compression::GZIP.format()), &blob));
    }
    let config = serde_json::to_vec(&config).unwrap();
    let config = fake.put_blob(repository, Flavour::Oci.config(), &config);
    let manifest = Manifest::new(Flavour::Oci, config, layers);
    fake.put_manifest(repository, "1", manifest.content_type(), &manifest.to_bytes());
    format!("{}/{repository}:1", fake.host())
}

/// What may go wrong at which request.
fn fault(dice: &mut Dice) -> (&'static str, &'static str, Fault) {
    let method = ["GET", "GET", "HEAD", "POST", "PATCH", "PUT", "PUT"][dice.roll(7) as usize];
    let path = match method {
        "GET" | "HEAD" => ["/manifests/", "/blobs/"][dice.roll(2) as usize],
        "PUT" => ["/manifests/", "/blobs/uploads/"][dice.roll(2) as usize],
        _ => "/blobs/uploads/",
    };
    let status = |code: u16, headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Fault::Status(
            code,
            headers,
            "{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"on purpose\"}]}".into(),
        )
    };
    let header = |name: &str, value: String| Fault::Header(name.into(), value);
    // Manifests are small, and the base's shell is the only large blob.
    let most = [300, 900_000][dice.roll(2) as usize];
    let bytes = dice.roll(most) as usize;
    let fault = match dice.roll(17) {
        0 => status(429, &[("Retry-After", "1")]),
        1 => status(429, &[]),
        2 => status(500, &[]),
        3 => status(502, &[]),
        4 => status(503, &[("Retry-After", "0")]),
        5 => Fault::Close,
        6 => Fault::CutRequest(bytes),
        7 => Fault::LoseAnswer,
        8 => Fault::CutAnswer(bytes),
        9 => Fault::Stall(bytes, Duration::from_millis(300)),
        10 => Fault::Corrupt,
        11 => Fault::Body(vec![b'x'; bytes / 100]),
        // A promise of more than comes is found out after a minute of silence: for long runs only.
        12 if setting("SLIPWAY_SOAK_ROUNDS", 0) == 0 => header("Content-Length", "7".into()),
        12 => header("Content-Length", format!("{}", bytes + 7)),
        13 => header("Docker-Content-Digest", Digest::of("a lie").to_string()),
        14 => Fault::IgnoreRange,
        15 => Fault::ForgetUpload,
        _ => Fault::RevokeTokens,
    };
    (method, path, fault)
}

/// What an error has to say: what went wrong, in words of ours.
const REASONS: [&str; 19] = [
    "too many requests",
    "answers 500",
    "answers 502",
    "answers 503",
    "answers 40",
    "answers 41",
    "the connection broke",
    "sent other content than asked for",
    "expected",
    "not found",
    "no answer",
    "nothing came",
    "cannot be unpacked",
    "is not a manifest",
    "lost the upload",
    "credentials",
    "answered",
    "failed to connect",
    "too slow",
];

/// Waits for a build, but not for ever.
fn wait(mut child: Child, patience: Duration) -> (bool, String) {
    let end = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!(
                "still at it after {patience:?}: {}",
                String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr)
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Reads an image back, every byte against its digest; none where the tag is not there.
fn image(fake: &FakeRegistry, repository: &str, tag: &str) -> Option<Digest> {
    let manifest = fake.manifest(repository, tag)?;
    let parsed: Manifest = serde_json::from_slice(&manifest).unwrap();
    let blob = |descriptor: &Descriptor| {
        let blob = fake.blob(repository, &descriptor.digest).expect("a tag without its blobs");
        assert_eq!((Digest::of(&blob), blob.len() as u64), (descriptor.digest, descriptor.size));
    };
    parsed.layers.iter().chain([&parsed.config]).for_each(blob);
    Some(Digest::of(&manifest))
}

#[test]
fn whatever_a_registry_does_the_image_is_right_or_the_error_is_clear() {
    let _alone = alone();
    let Some(bed) = Bed::new("registry") else { return };
    let rounds = setting("SLIPWAY_SOAK_ROUNDS", 8);
    let mut dice = Dice::new(2);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut right = 0;
    let mut expected = None;
    for round in 0..=rounds {
        let fake = runtime.block_on(FakeRegistry::start()).unwrap();
        let base = base(&fake, "base", 7);
        if round % 2 == 1 {
            fake.guard(Guard::Token { username: "me".into(), password: "secret".into(), realm: None });
        }
        // The host differs from round to round and is part of no layer.
        let dockerfile =
            format!("FROM {base}\nENV {}\nRUN echo x > /out\nCOPY busybox /copied\n", left::mark(&bed));
        let context = bed.context("context", &dockerfile);
        let config = bed.path("no-docker-config");
        std::fs::create_dir_all(&config).unwrap();
        let login =
            format!("{{\"auths\":{{\"{}\":{{\"username\":\"me\",\"password\":\"secret\"}}}}}}", fake.host());
        std::fs::write(config.join("config.json"), login).unwrap();
        let mut told = vec![];
        if round > 0 {
            for _ in 0..=dice.roll(4) {
                let (method, path, fault) = fault(&mut dice);
                let times = [1, 1, 2, 3, 99][dice.roll(5) as usize];
                let fault_name: String = format!("{fault:?}").chars().take(70).collect();
                told.push(format!("{times} × {method} {path} {fault_name}"));
                fake.fail(method, path, times, fault);
            }
        }
        let store = bed.path("store");
        let name = format!("{}/app:{round}", fake.host());
        let mut build = bed.build(&store, &context);
        build.args(["--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-o"]);
        build.arg(format!("type=registry,rewrite-timestamp=true,name={name}"));
        let begun = Instant::now();
        let child = build.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (succeeded, said) = wait(child, Duration::from_mins(4));
        println!("round {round}: {succeeded} in {:.1} s; {told:?}", begun.elapsed().as_secs_f64());
        let found = image(&fake, "app", &round.to_string());
        let expected = *expected.get_or_insert_with(|| found.expect("nothing was wrong in the first round"));
        assert!(found.is_none_or(|found| found == expected), "{told:?}: a wrong image under the tag: {said}");
        if succeeded {
            right += 1;
            assert_eq!(found, Some(expected), "{told:?}: success without an image: {said}");
        } else {
            let error = said.lines().filter(|line| line.starts_with("error")).collect::<String>();
            assert!(error.contains(fake.host()), "{told:?}: does not say where: {said}");
            assert!(
                REASONS.iter().any(|reason| error.contains(reason)),
                "{told:?}: does not say why: {said}"
            );
        }
        left::nothing_runs(&bed, &store);
        left::is_clean(&bed, &store);
        std::fs::remove_dir_all(store).unwrap();
    }
    println!("{right} of {} images are right, the others have an error", rounds + 1);
    assert!(right > 0);
}
