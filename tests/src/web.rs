//! A small web server for tests, on the address that pods reach: files, git repositories, passwords, TLS.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a request with a password gets: nothing to say, or a status with words.
pub type Guard = dyn Fn(Option<&str>) -> Result<(), (u16, &'static str)> + Send + Sync;

/// How to serve.
#[derive(Default)]
pub struct Options {
    /// Looks at the value of `Authorization`, where there is one.
    pub guard: Option<Box<Guard>>,
    /// With a certificate of its own: [`WebServer::authority`].
    pub tls: bool,
}

/// A server of one folder. Repositories below it are served by `git http-backend` under `/git/`.
pub struct WebServer {
    /// `http://address:port`.
    pub url: String,
    /// The certificate, as PEM; empty without TLS.
    pub authority: String,
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    address: std::net::SocketAddr,
}

struct Shared {
    folder: PathBuf,
    guard: Option<Box<Guard>>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl WebServer {
    /// Serves a new folder on any port of an address.
    pub fn start(host: &str, name: &str, options: Options) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("slipway-web-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let listener = TcpListener::bind((host, 0)).with_context(|| format!("cannot listen on {host}"))?;
        let address = listener.local_addr()?;
        let (tls, authority) = if options.tls { certificate(&folder, host)? } else { (None, String::new()) };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared { folder: folder.clone(), guard: options.guard, tls });
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A client that goes away is no concern of the test.
                    let _ = serve(&shared, stream);
                });
            }
        });
        Ok(Self { url: format!("{scheme}://{address}"), authority, folder, stop, address })
    }

    /// The folder that is served.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Makes a certificate for an address.
fn certificate(folder: &Path, host: &str) -> Result<(Option<Arc<rustls::ServerConfig>>, String)> {
    let place = folder.with_extension("tls");
    std::fs::create_dir_all(&place)?;
    let (key, certificate) = (place.join("key.pem"), place.join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=slipway test"])
        .args(["-addext", &format!("subjectAltName=IP:{host}"), "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("openssl is needed")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let authority = std::fs::read_to_string(&certificate)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(
        vec![CertificateDer::from_pem_file(&certificate)?],
        PrivateKeyDer::from_pem_file(&key)?,
    )?;
    std::fs::remove_dir_all(&place)?;
    Ok((Some(Arc::new(config)), authority))
}

fn serve(shared: &Shared, stream: TcpStream) -> Result<()> {
    match &shared.tls {
        None => answer(shared, stream.try_clone()?, stream),
        Some(config) => {
            let connection = rustls::ServerConnection::new(config.clone())?;
            let stream = Arc::new(std::sync::Mutex::new(rustls::StreamOwned::new(connection, stream)));
            answer(shared, Both(stream.clone()), Both(stream.clone()))?;
            if let Ok(mut stream) = stream.lock() {
                stream.conn.send_close_notify();
                stream.flush()?;
            }
            Ok(())
        }
    }
}

/// Both directions of one encrypted stream: a request is read whole before the answer is written.
struct Both(Arc<std::sync::Mutex<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>>);

fn poisoned<E>(_: E) -> std::io::Error {
    std::io::Error::other("another thread panicked")
}

impl Read for Both {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(poisoned)?.read(buffer)
    }
}

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(poisoned)?.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().map_err(poisoned)?.flush()
    }
}

/// Answers one request, and closes.
fn answer(shared: &Shared, input: impl Read, mut output: impl Write) -> Result<()> {
    let mut input = BufReader::new(input);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(ToOwned::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: u64 = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    input.take(length).read_to_end(&mut body)?;
    let given = headers.get("authorization").map(String::as_str);
    if let Some((status, said)) = shared.guard.as_ref().and_then(|guard| guard(given).err()) {
        let challenge = "WWW-Authenticate: Basic realm=\"test\"\r\nContent-Type: text/plain\r\n";
        return reply(&mut output, status, challenge, said.as_bytes());
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if let Some(repository) = path.strip_prefix("/git/") {
        return git(shared, &mut output, &method, (repository, query), &headers, &body);
    }
    let file = shared.folder.join(path.trim_start_matches('/'));
    match std::fs::read(file) {
        Ok(bytes) if !path.contains("..") => reply(&mut output, 200, "", &bytes),
        _ => reply(&mut output, 404, "", b"not here"),
    }
}

fn reply(output: &mut impl Write, status: u16, headers: &str, body: &[u8]) -> Result<()> {
    write!(
        output,
        "HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )?;
    output.write_all(body)?;
    Ok(output.flush()?)
}

/// Lets git answer: the protocol of CGI.
fn git(
    shared: &Shared,
    output: &mut impl Write,
    method: &str,
    (path, query): (&str, &str),
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> Result<()> {
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "-c", "uploadpack.allowAnySHA1InWant=true", "http-backend"])
        .env("GIT_PROJECT_ROOT", &shared.folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "test")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("git is needed")?;
    child.stdin.take().context("no pipe")?.write_all(body)?;
    let said = child.wait_with_output()?.stdout;
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").context("git answered no headers")?;
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")?.get(..3)?.parse().ok());
    let mut kept: Vec<&str> = head.lines().filter(|line| !line.starts_with("Status:")).collect();
    kept.push("");
    reply(output, status.unwrap_or(200), &kept.join("\r\n"), &said[end + 4..])
}

/// A guard that wants a name and a password, and knows some that have expired.
pub fn password(user: &str, right: &str, expired: &str) -> Box<Guard> {
    let basic = |password: &str| format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
    let (right, expired) = (basic(right), basic(expired));
    Box::new(move |given| match given {
        Some(given) if given == right => Ok(()),
        Some(given) if given == expired => Err((401, "HTTP Basic: the token has expired")),
        Some(_) => Err((401, "HTTP Basic: access denied")),
        None => Err((401, "HTTP Basic: who are you?")),
    })
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(LETTERS[(word >> (18 - 6 * place)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_it_is() {
        for (plain, packed) in
            [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("u:pw", "dTpwdw==")]
        {
            assert_eq!(base64(plain.as_bytes()), packed);
        }
    }
}
