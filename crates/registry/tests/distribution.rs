//! Against a real registry (CNCF distribution), and with real readers: what we push, crane and skopeo read.
//!
//! Skipped with a note where the machine has no registry program (`docker-registry` of Debian, or `registry`).

#![allow(clippy::unwrap_used, clippy::panic)] // a test: its helpers may fail loudly

mod support;

use std::fmt::Write as _;
use std::io::{Cursor, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, Index, Platform, Reference};
use slipway_registry::{Login, Pushed, Registry, Settings};
use support::{Image, image, noise};

/// A registry program at work.
struct Distribution {
    child: Child,
    host: String,
    _folder: tempfile::TempDir,
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds a program on the path, or where the development tools keep theirs.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let parts = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/slipway/parts"));
    let parts = parts.and_then(|parts| std::fs::read_dir(parts).ok()).into_iter().flatten().flatten();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(parts.map(|entry| entry.path())).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

/// Starts a registry with optional basic authentication.
fn distribution(password: Option<&str>) -> Option<Distribution> {
    start(password, None)
}

/// Starts a registry, with TLS if there is a certificate and key in a folder.
fn start(password: Option<&str>, tls: Option<&Path>) -> Option<Distribution> {
    let Some(program) = program(&["docker-registry", "registry"]) else {
        eprintln!("skipped: there is no registry program");
        return None;
    };
    // One at a time: a port that one has found free must not be found by another before it is used.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..5).find_map(|_| try_start(&program, password, tls)).or_else(|| panic!("no registry starts"))
}

static TURN: Mutex<()> = Mutex::new(());

/// Starts a registry on a port that was free just now; none where it did not stay free.
fn try_start(program: &Path, password: Option<&str>, tls: Option<&Path>) -> Option<Distribution> {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let root = folder.path().display();
    let mut config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {root}/data}}\n  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    );
    if let Some(line) = password {
        std::fs::write(folder.path().join("htpasswd"), line).unwrap();
        let _ = writeln!(config, "auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}");
    }
    if let Some(tls) = tls {
        let tls = tls.display();
        let with_tls =
            format!("'127.0.0.1:{port}', tls: {{certificate: {tls}/cert.pem, key: {tls}/key.pem}}");
        config = config.replace(&format!("'127.0.0.1:{port}'"), &with_tls);
    }
    let file = folder.path().join("config.yml");
    std::fs::write(&file, config).unwrap();
    let mut child = Command::new(program)
        .arg("serve")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        // Whoever has taken the port answers too, while ours has ended.
        std::thread::sleep(Duration::from_millis(50));
        let answers = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if answers {
            // Ours would have ended by now, had it not got the port.
            std::thread::sleep(Duration::from_millis(100));
            return child.try_wait().unwrap().is_none().then(|| Distribution {
                child,
                host: format!("127.0.0.1:{port}"),
                _folder: folder,
            });
        }
    }
    None
}

async fn push(registry: &Registry, target: &Reference, image: &Image) -> Vec<Pushed> {
    let mut pushed = vec![];
    for (descriptor, blob) in image.blobs() {
        pushed.push(registry.push_blob(target, &descriptor, &blob, &[]).await.unwrap());
    }
    let manifest = image.manifest.to_bytes();
    assert_eq!(
        registry.push_manifest(target, manifest, image.manifest.content_type()).await.unwrap(),
        image.digest()
    );
    pushed
}

fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_go_there_and_come_back() {
    let Some(server) = distribution(None) else { return };
    // Small enough that both ways of uploading are used.
    let registry = Registry::new(Settings { small_blob: 1 << 20, ..Settings::default() }).unwrap();
    for flavour in [Flavour::Oci, Flavour::Docker] {
        let image = image(flavour, 3 << 20);
        let target: Reference =
            format!("{}/team/app-{flavour:?}:1", server.host).to_lowercase().parse().unwrap();
        let pushed = push(&registry, &target, &image).await;
        assert!(pushed.contains(&Pushed::Uploaded), "{pushed:?}");
        let again = push(&registry, &target, &image).await;
        assert!(again.iter().all(|pushed| *pushed == Pushed::Existed), "{again:?}");

        let resolved = registry.resolve(&target, &Platform::host()).await.unwrap();
        assert_eq!((resolved.digest, resolved.top), (image.digest(), image.digest()));
        assert_eq!(resolved.raw, image.manifest.to_bytes());
        assert_eq!(registry.digest(&target).await.unwrap(), image.digest());
        for (descriptor, blob) in &image.layers {
            assert!(registry.fetch_blob(&target, descriptor, Vec::new()).await.unwrap() == *blob);
        }
        assert_eq!(registry.list_tags(&target).await.unwrap(), ["1"]);
        let by_digest = target.pinned(image.digest());
        assert_eq!(registry.resolve(&by_digest, &Platform::host()).await.unwrap().digest, image.digest());

        // Its check knows gzip alone; the other image has one layer of each packing.
        if let Some(crane) = program(&["crane"]).filter(|_| flavour == Flavour::Docker) {
            run(&crane, &["validate", "--insecure", "--remote", &target.to_string()]);
        }
        if let Some(skopeo) = program(&["skopeo"]) {
            let source = format!("docker://{target}");
            let text = run(&skopeo, &["inspect", "--tls-verify=false", &source]);
            assert!(text.contains(&image.digest().to_string()), "{text}");
            let folder = tempfile::tempdir().unwrap();
            let layout = format!("oci:{}:x", folder.path().join("layout").display());
            run(&skopeo, &["copy", "--src-tls-verify=false", &source, &layout]);
        }
    }
    assert_eq!(registry.counters().retries, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_are_mounted_from_a_neighbour() {
    let Some(server) = distribution(None) else { return };
    let registry = Registry::new(Settings::default()).unwrap();
    let image = image(Flavour::Oci, 100_000);
    let base: Reference = format!("{}/base:1", server.host).parse().unwrap();
    push(&registry, &base, &image).await;
    let target: Reference = format!("{}/app:1", server.host).parse().unwrap();
    let nowhere: Reference = format!("{}/nowhere:1", server.host).parse().unwrap();
    let elsewhere: Reference = "registry.example/base:1".parse().unwrap();
    let (descriptor, blob) = &image.layers[2];
    let candidates = [elsewhere, nowhere, base.clone()];
    let pushed = registry.push_blob(&target, descriptor, blob, &candidates).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted(base));
    assert!(registry.blob_exists(&target, &descriptor.digest).await.unwrap());
    // Nobody has it: the open upload is used.
    let (descriptor, blob) = (Descriptor::of("x", b"new"), b"new".to_vec());
    let pushed = registry.push_blob(&target, &descriptor, &blob, &candidates).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_pushed_while_it_is_made() {
    let Some(server) = distribution(None) else { return };
    let registry = Registry::new(Settings::default()).unwrap();
    let target: Reference = format!("{}/streamed:1", server.host).parse().unwrap();
    for size in [0, 5, 3 << 20] {
        let content = noise(size, 7);
        let (digest, sent) = registry.push_stream(&target, Cursor::new(content.clone())).await.unwrap();
        assert_eq!((digest, sent), (Digest::of(&content), size as u64));
        let descriptor = Descriptor::new("x", digest, sent);
        assert!(registry.fetch_blob(&target, &descriptor, Vec::new()).await.unwrap() == content);
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    let slow = std::thread::spawn(move || {
        for _ in 0..10 {
            writer.write_all(&[7; 1000]).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let (digest, _) = registry.push_stream(&target, reader).await.unwrap();
    slow.join().unwrap();
    assert_eq!(digest, Digest::of([7; 10_000]));
    let broken = Read::chain(&[1_u8; 10][..], Broken);
    let error = registry.push_stream(&target, broken).await.unwrap_err();
    assert!(error.to_string().contains("local: disk on fire"), "{error}");
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("disk on fire"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_are_pushed_and_resolved() {
    let Some(server) = distribution(None) else { return };
    let registry = Registry::new(Settings::default()).unwrap();
    let image = image(Flavour::Oci, 1000);
    let target: Reference = format!("{}/multi:1", server.host).parse().unwrap();
    push(&registry, &target.pinned(image.digest()), &image).await;
    let mut entry = Descriptor::of(image.manifest.content_type(), &image.manifest.to_bytes());
    entry.platform = Some(Platform::host());
    let index = Index::new(Flavour::Oci, vec![entry]);
    let top = registry.push_manifest(&target, index.to_bytes(), index.content_type()).await.unwrap();
    let resolved = registry.resolve(&target, &Platform::host()).await.unwrap();
    assert_eq!((resolved.top, resolved.digest), (top, image.digest()));
    let error = registry.resolve(&target, &"linux/s390x".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("there is no image for linux/s390x; there is one for"), "{error}");
}

/// `user:secret`, hashed with bcrypt.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for_and_given() {
    let Some(server) = distribution(Some(HTPASSWD)) else { return };
    let target: Reference = format!("{}/private:1", server.host).parse().unwrap();
    let with = |password: &str| {
        let login = Login::Basic { username: "user".into(), password: password.into() };
        Registry::new(Settings { logins: vec![(server.host.clone(), login)], ..Settings::default() }).unwrap()
    };
    let image = image(Flavour::Oci, 1000);
    push(&with("secret"), &target, &image).await;
    with("secret").resolve(&target, &Platform::host()).await.unwrap();
    assert_eq!(with("secret").list_tags(&target).await.unwrap(), ["1"]);
    assert!(with("wrong").list_tags(&target).await.unwrap_err().is_unauthorized());

    let error = with("wrong").resolve(&target, &Platform::host()).await.unwrap_err();
    assert!(error.is_unauthorized());
    assert!(error.to_string().contains(&format!("tried `{}`", server.host)), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let error =
        Registry::new(Settings::default()).unwrap().resolve(&target, &Platform::host()).await.unwrap_err();
    assert!(error.to_string().contains("there are no credentials for 127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said_so() {
    let Some(server) = distribution(None) else { return };
    let registry = Registry::new(Settings::default()).unwrap();
    let missing: Reference = format!("{}/missing:1", server.host).parse().unwrap();
    let error = registry.resolve(&missing, &Platform::host()).await.unwrap_err();
    assert!(error.is_not_found() && !error.is_transient(), "{error}");
    assert!(error.to_string().starts_with(&missing.to_string()), "{error}");
    assert!(registry.digest(&missing).await.unwrap_err().is_not_found());
    assert!(registry.list_tags(&missing).await.unwrap_err().is_not_found());
    assert!(registry.referrers(&missing, &Digest::of(b"x"), None).await.unwrap().is_empty());
    assert!(!registry.blob_exists(&missing, &Digest::of(b"x")).await.unwrap());
    let image = image(Flavour::Oci, 10);
    let error = registry
        .push_manifest(&missing, image.manifest.to_bytes(), image.manifest.content_type())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("BLOB_UNKNOWN"), "{error}");
}

/// Makes a CA (`ca.pem`) and a certificate for a name that it signed (`cert.pem`, `key.pem`).
fn certificate(name: &str) -> Option<tempfile::TempDir> {
    let openssl = program(&["openssl"])?;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let new = |subject: &str, key: &str, out: &str, more: &[&str]| {
        let fixed = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject];
        run(&openssl, &[&fixed[..], &["-keyout", &file(key), "-out", &file(out)], more].concat());
    };
    new("/CN=Test CA", "ca.key", "ca.pem", &[]);
    let (ca, ca_key, names) = (file("ca.pem"), file("ca.key"), format!("subjectAltName=DNS:{name}"));
    let signed = ["-CA", &ca, "-CAkey", &ca_key, "-addext", &names, "-addext", "basicConstraints=CA:FALSE"];
    new(&format!("/CN={name}"), "key.pem", "cert.pem", &signed);
    Some(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked() {
    // Loopback addresses are trusted as they are, so the machine's own name is used, where it leads here.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    let here =
        std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), 1)).ok().and_then(|mut all| all.next());
    if here.is_none_or(|address| address.ip() != std::net::Ipv4Addr::LOCALHOST) {
        eprintln!("skipped: `{name}` does not lead to 127.0.0.1");
        return;
    }
    let Some(tls) = certificate(&name) else { return };
    let Some(server) = start(None, Some(tls.path())) else { return };
    let Some(plain) = distribution(None) else { return };
    let port = server.host.rsplit(':').next().unwrap();
    let target: Reference = format!("{name}:{port}/app:1").parse().unwrap();
    let resolve = async |target: &Reference, settings: Settings| {
        Registry::new(settings).unwrap().resolve(target, &Platform::host()).await.map(|image| image.digest)
    };
    let trusted = Settings { ca_files: vec![tls.path().join("ca.pem")], ..Settings::default() };
    let image = image(Flavour::Oci, 100);
    push(&Registry::new(trusted.clone()).unwrap(), &target, &image).await;
    assert_eq!(resolve(&target, trusted.clone()).await.unwrap(), image.digest());
    assert_eq!(Registry::new(trusted.clone()).unwrap().list_tags(&target).await.unwrap(), ["1"]);
    let insecure =
        |target: &Reference| Settings { insecure: vec![target.registry().into()], ..Settings::default() };
    assert_eq!(resolve(&target, insecure(&target)).await.unwrap(), image.digest());
    // Trusted because of its address, over TLS.
    let by_address: Reference = format!("{}/app:1", server.host).parse().unwrap();
    assert_eq!(resolve(&by_address, Settings::default()).await.unwrap(), image.digest());

    let error = resolve(&target, Settings::default()).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("give its CA file, or name the registry as insecure"), "{error}");
    // A server that shows its CA's certificate, as many tutorials make it.
    let own = tempfile::tempdir().unwrap();
    for (from, to) in [("ca.pem", "cert.pem"), ("ca.key", "key.pem")] {
        std::fs::copy(tls.path().join(from), own.path().join(to)).unwrap();
    }
    let Some(odd) = start(None, Some(own.path())) else { return };
    let at_odd: Reference = format!("{name}:{}/app:1", odd.host.rsplit(':').next().unwrap()).parse().unwrap();
    let error = resolve(&at_odd, trusted.clone()).await.unwrap_err();
    assert!(error.to_string().contains("it shows a CA's certificate as its own"), "{error}");
    // A server without TLS, under a name that is not trusted.
    let port = plain.host.rsplit(':').next().unwrap();
    let target: Reference = format!("{name}:{port}/app:1").parse().unwrap();
    let error = resolve(&target, Settings::default()).await.unwrap_err();
    assert!(error.to_string().contains("if it speaks plain http, name it as insecure"), "{error}");
    assert!(resolve(&target, insecure(&target)).await.unwrap_err().is_not_found());

    let no_file = Settings { ca_files: vec!["/no/such/ca.pem".into()], ..Settings::default() };
    assert!(Registry::new(no_file).unwrap_err().to_string().contains("settings: /no/such/ca.pem"));
    let no_ca = Settings { ca_files: vec![tls.path().join("key.pem")], ..Settings::default() };
    assert!(Registry::new(no_ca).unwrap_err().to_string().contains("no certificate in it"));
}

/// Returns the most memory that this process ever had, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_blobs() {
    struct Discard;
    impl slipway_registry::Sink for Discard {
        fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
            Ok(())
        }
    }
    let Some(server) = distribution(None) else { return };
    let registry = Registry::new(Settings::default()).unwrap();
    let target: Reference = format!("{}/large:1", server.host).parse().unwrap();
    let size = 300 << 20;
    let before = peak_memory();
    let (digest, sent) = registry.push_stream(&target, std::io::repeat(7).take(size)).await.unwrap();
    assert_eq!(sent, size);
    registry.fetch_blob(&target, &Descriptor::new("x", digest, size), Discard).await.unwrap();
    // Other tests run beside this one; a tenth of the blob would show.
    let grown = peak_memory() - before;
    assert!(grown < 100, "{grown} MiB more");
}
