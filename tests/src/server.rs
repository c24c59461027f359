//! What a case downloads: a server on loopback that gives files and git repositories, and an SSH agent without keys.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Result;

/// Serves the folder that [`Server::show`] names last. It ends with the process.
pub struct Server {
    /// Its address, `http://127.0.0.1:…`.
    pub url: String,
    folder: Arc<Mutex<PathBuf>>,
}

impl Server {
    /// Starts it on a free port of loopback.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let folder = Arc::new(Mutex::new(PathBuf::new()));
        let shown = Arc::clone(&folder);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let folder = shown.lock().map(|folder| folder.clone()).unwrap_or_default();
                // A client that goes away is the client's affair.
                thread::spawn(move || answer(&connection, &folder).ok());
            }
        });
        Ok(Self { url, folder })
    }

    /// Serves this folder from now on.
    pub fn show(&self, folder: &Path) {
        if let Ok(mut shown) = self.folder.lock() {
            folder.clone_into(&mut shown);
        }
    }
}

/// The request line and the headers that matter.
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

fn read(connection: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    reader.take(length).read_to_end(&mut request.body)?;
    Ok(request)
}

fn answer(mut connection: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut request = read(connection)?;
    if request.path.contains("..") {
        return connection.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    }
    // The first part of the path makes addresses differ, and has no other meaning.
    let (_, below) = request.path.trim_start_matches('/').split_once('/').unwrap_or_default();
    request.path = format!("/{below}");
    if request.path.contains(".git/") {
        return connection.write_all(&backend(&request, folder)?);
    }
    // `/auth/…` asks for credentials; what it wants is in the folder beside the files.
    let wanted = fs::read_to_string(folder.join("authorization")).unwrap_or_default();
    if request.path.starts_with("/auth/") && request.header("authorization") != wanted.trim() {
        return connection.write_all(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n");
    }
    let name = if request.path == "/" { "index" } else { request.path.trim_matches('/') };
    let Ok(content) = fs::read(folder.join(name)) else {
        return connection
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    // Names with `dated` say when they were changed; the others do not.
    let date =
        if request.path.contains("dated") { "Last-Modified: Sat, 03 Feb 2001 04:05:06 GMT\r\n" } else { "" };
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{date}Connection: close\r\n\r\n",
        content.len()
    )?;
    if request.method == "HEAD" { Ok(()) } else { connection.write_all(&content) }
}

/// Lets git itself answer.
fn backend(request: &Request, folder: &Path) -> io::Result<Vec<u8>> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .envs([
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", "*"),
        ])
        .envs([("GIT_CONFIG_KEY_1", "uploadpack.allowAnySHA1InWant"), ("GIT_CONFIG_VALUE_1", "true")])
        .envs([("REQUEST_METHOD", &request.method), ("PATH_INFO", &request.path)])
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&request.body)?;
    }
    let said = child.wait_with_output()?.stdout;
    let status = match said.strip_prefix(b"Status: ") {
        Some(rest) => String::from_utf8_lossy(rest).lines().next().unwrap_or_default().to_owned(),
        None => "200 OK".to_owned(),
    };
    let mut whole = format!("HTTP/1.1 {status}\r\nConnection: close\r\n").into_bytes();
    whole.extend(said);
    Ok(whole)
}

/// Starts an SSH agent that has no keys, which is enough to be reached.
pub fn agent(socket: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || no_identities(connection).ok());
        }
    });
    Ok(())
}

fn no_identities(mut connection: UnixStream) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        connection.read_exact(&mut length)?;
        let mut request = Vec::new();
        connection.try_clone()?.take(u64::from(u32::from_be_bytes(length))).read_to_end(&mut request)?;
        // SSH_AGENTC_REQUEST_IDENTITIES is answered with none of them, everything else with failure.
        let answer: &[u8] =
            if request.first() == Some(&11) { &[0, 0, 0, 5, 12, 0, 0, 0, 0] } else { &[0, 0, 0, 1, 5] };
        connection.write_all(answer)?;
    }
}
