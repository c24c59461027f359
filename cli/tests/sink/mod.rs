//! A registry that takes everything and keeps nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The registry. Its threads end with the program.
pub(crate) struct Sink {
    host: String,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { host }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Answers one connection until it ends.
fn serve(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let line = line(&mut reader)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut length, mut chunked) = (0, false);
        loop {
            let header = self::line(&mut reader)?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            chunked |= header.starts_with("transfer-encoding:");
        }
        let taken = if chunked { chunks(&mut reader)? } else { skip(&mut reader, length)? };
        let path = target.split('?').next().unwrap_or_default();
        let answer = match method.as_str() {
            "GET" if path == "/v2/" => "200 OK\r\n".to_owned(),
            "POST" => format!("202 Accepted\r\nLocation: {path}1\r\nRange: 0-0\r\n"),
            "PATCH" => {
                format!("202 Accepted\r\nLocation: {path}\r\nRange: 0-{}\r\n", taken.saturating_sub(1))
            }
            "PUT" => "201 Created\r\n".to_owned(),
            _ => "404 Not Found\r\n".to_owned(),
        };
        writer.write_all(format!("HTTP/1.1 {answer}Content-Length: 0\r\n\r\n").as_bytes()).ok()?;
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
}

fn skip(reader: &mut impl Read, length: u64) -> Option<u64> {
    let taken = std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    (taken == length).then_some(taken)
}

fn chunks(reader: &mut impl BufRead) -> Option<u64> {
    let mut taken = 0;
    loop {
        let size = u64::from_str_radix(line(reader)?.trim(), 16).ok()?;
        taken += skip(reader, size)?;
        line(reader)?;
        if size == 0 {
            return Some(taken);
        }
    }
}
