//! As much of HTTP/1.1 as the fake registry needs, by hand: a library would not break the rules.

use std::fmt::Write;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns a parameter of the query, decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let url: reqwest::Url = format!("http://x{}", self.target).parse().ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

#[derive(Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.set(name, &value.to_string());
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Reads the head of a request; none at the connection's end.
    pub(super) async fn request(&mut self) -> io::Result<Option<Request>> {
        // A client that tries TLS first is none of ours.
        if !self.stream.fill_buf().await?.first().is_some_and(u8::is_ascii_uppercase) {
            return Ok(None);
        }
        let Some(first) = self.line().await? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(io::Error::other("not HTTP"));
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut headers = vec![];
        loop {
            let line = self.line().await?.unwrap_or_default();
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.trim().to_owned(), value.trim().to_owned())),
                None => return Ok(Some(Request { method, target, headers })),
            }
        }
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = vec![];
        let count = (&mut self.stream).take(64 << 10).read_until(b'\n', &mut line).await?;
        Ok((count > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
    }

    /// Reads a request's body, at most `limit` bytes of it. A client that closes early leaves what came until then.
    pub(super) async fn body(&mut self, request: &Request, limit: usize) -> Vec<u8> {
        let mut body = vec![];
        if request.header("transfer-encoding").is_some() {
            while body.len() < limit {
                let Ok(Some(size)) = self.line().await else { break };
                let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
                self.take(size, limit, &mut body).await;
                let _ = self.line().await;
                if size == 0 {
                    break;
                }
            }
        } else {
            let size = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            self.take(size, limit, &mut body).await;
        }
        body
    }

    async fn take(&mut self, size: usize, limit: usize, body: &mut Vec<u8>) {
        let room = size.min(limit - body.len()) as u64;
        // What came before an error is in the body.
        let _ = (&mut self.stream).take(room).read_to_end(body).await;
    }

    /// Sends an answer's head.
    pub(super) async fn head(&mut self, response: &Response, length: usize) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Fake\r\n", response.status);
        for (name, value) in &response.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        head += "\r\n";
        self.send(head.as_bytes()).await
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes).await?;
        self.stream.get_mut().flush().await
    }
}
