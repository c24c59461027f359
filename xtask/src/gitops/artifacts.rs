//! What Flux's source-controller would serve: a folder of manifests as an archive over HTTP.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::host::{command::Run, folders};

/// A server of archives, for as long as this process lives.
pub(super) struct Artifacts {
    folder: PathBuf,
    address: String,
    count: u32,
}

impl Artifacts {
    pub(super) fn serve(folder: &Path) -> Result<Self> {
        folders::make(folder)?;
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
        let address = listener.local_addr()?.to_string();
        let served = folder.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is its own business.
                let _ = answer(stream, &served);
            }
        });
        Ok(Self { folder: folder.to_owned(), address, count: 0 })
    }

    /// Packs manifests, and returns the artifact as it stands in a source's status.
    pub(super) fn publish(&mut self, revision: &str, manifests: &[Value]) -> Result<Value> {
        self.count += 1;
        let content = self.folder.join("content");
        if content.exists() {
            std::fs::remove_dir_all(&content)?;
        }
        folders::make(&content)?;
        for (at, manifest) in manifests.iter().enumerate() {
            folders::write(&content.join(format!("{at}.yaml")), serde_yaml::to_string(manifest)?)?;
        }
        let name = format!("{}.tar.gz", self.count);
        let archive = self.folder.join(&name);
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&content).arg(".").text()?;
        let digest = Command::new("sha256sum").arg(&archive).text()?;
        let digest = digest.split_whitespace().next().unwrap_or_default();
        let now = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).text()?;
        Ok(json!({
            "path": format!("gitrepository/shop/{name}"),
            "url": format!("http://{}/{name}", self.address),
            "revision": revision,
            "digest": format!("sha256:{digest}"),
            "size": std::fs::metadata(&archive)?.len(),
            "lastUpdateTime": now.trim(),
        }))
    }
}

/// Answers one request for a file of the folder.
fn answer(mut stream: TcpStream, folder: &Path) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().context("no request")??;
    while lines.next().context("no end of the request")??.trim() != "" {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let body = std::fs::read(folder.join(name));
    let status = if body.is_ok() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)?;
    Ok(())
}
