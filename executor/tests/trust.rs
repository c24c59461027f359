//! Certificates of an installation: downloads and git trust what they did not trust before.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use slipway_executor::fetch::{git, trust, url};
use slipway_store::Store;

/// A web server with a certificate of a made-up authority; it ends with the value.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(folder: &Path, words: &str) -> bool {
    Command::new("openssl")
        .current_dir(folder)
        .args(words.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes an authority and a certificate for 127.0.0.1, and serves the folder.
fn serve(folder: &Path) -> Option<Server> {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let made = openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.pem",
    ) && openssl(
        folder,
        "req -newkey rsa:2048 -nodes -subj /CN=server -keyout key.pem -out csr.pem",
    ) && openssl(
        folder,
        "x509 -req -days 2 -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out cert.pem",
    );
    if !made {
        eprintln!("skipped: there is no `openssl` that makes certificates");
        return None;
    }
    (0..5).find_map(|_| try_serve(folder)).or_else(|| panic!("no server starts"))
}

/// Starts a server on a port that was free just now; none where it did not stay free.
fn try_serve(folder: &Path) -> Option<Server> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let child = Command::new("openssl")
        .current_dir(folder)
        .args(["s_server", "-quiet", "-WWW", "-cert", "cert.pem", "-key", "key.pem", "-accept", &address])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Server { child, address };
    let start = Instant::now();
    while TcpStream::connect(&server.address).is_err() {
        assert!(start.elapsed() < Duration::from_mins(1), "the server does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Who answers may be another one.
    std::thread::sleep(Duration::from_millis(50));
    server.child.try_wait().unwrap().is_none().then_some(server)
}

// One test, because what a process trusts cannot be taken back.
#[tokio::test]
async fn an_installations_certificates_are_trusted_besides_the_usual_ones() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.txt"), "content").unwrap();
    let Some(server) = serve(folder.path()) else { return };
    let store = Store::open(folder.path().join("store")).unwrap();
    let address = format!("https://{}/file.txt", server.address);
    let repository = git::Source::parse(&format!("https://{}/repo.git", server.address)).unwrap();
    let ask_git = async || {
        git::resolve(&repository, &git::Credentials::default()).await.unwrap_err().to_string().to_lowercase()
    };

    assert!(url::fetch(&store, &address, None, &HeaderMap::new()).await.is_err());
    assert!(ask_git().await.contains("certificate"), "git trusts everybody");

    let nothing = folder.path().join("names");
    let error = trust::add(&nothing, folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds no PEM certificate"), "{error}");
    trust::add(&folder.path().join("ca.pem"), folder.path()).unwrap();

    let download = url::fetch(&store, &address, None, &HeaderMap::new()).await.unwrap();
    assert_eq!(download.size, 7);
    // There is no repository, and git gets as far as to see that.
    let said = ask_git().await;
    assert!(!said.contains("certificate"), "{said}");
    let bundle = std::fs::read_to_string(folder.path().join("ca-bundle.pem")).unwrap();
    let own = std::fs::read_to_string(folder.path().join("ca.pem")).unwrap();
    assert!(bundle.ends_with(&own) && bundle.matches("BEGIN CERTIFICATE").count() >= 1);
}
