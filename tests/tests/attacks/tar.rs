//! Archives written byte by byte, as no honest program writes them, and OCI layouts of them.

use std::fs;
use std::path::Path;

use anyhow::Result;
use slipway_oci::Digest;

/// An archive in the making.
pub(crate) struct Tar(Vec<u8>);

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A ustar header; a path that is too long for it is cut.
fn header(path: &[u8], kind: u8, mode: u32, size: u64, link: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, &path[..path.len().min(100)]);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\x000000000\0");
    put(124, format!("{size:011o}\x0007033231662\0").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A record of an extended header, which begins with its own length.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    fn extended(mut self, records: &[u8]) -> Self {
        self.0.extend(header(b"x", b'x', 0o644, records.len() as u64, b""));
        self.0.extend(padded(records.to_vec()));
        self
    }

    fn entry(self, path: &str, kind: u8, mode: u32, link: &str, content: &[u8]) -> Self {
        let mut records = Vec::new();
        if path.len() > 100 {
            records.extend(record("path", path.as_bytes()));
        }
        if link.len() > 100 {
            records.extend(record("linkpath", link.as_bytes()));
        }
        let mut tar = if records.is_empty() { self } else { self.extended(&records) };
        tar.0.extend(header(path.as_bytes(), kind, mode, content.len() as u64, link.as_bytes()));
        tar.0.extend(padded(content.to_vec()));
        tar
    }

    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(path, b'0', 0o4777, "", content)
    }

    pub(crate) fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(path, b'5', mode, "", b"")
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, b'2', 0o777, target, b"")
    }

    pub(crate) fn hard(self, path: &str, target: &str) -> Self {
        self.entry(path, b'1', 0o644, target, b"")
    }

    /// A file whose path stands in an extended header, whatever bytes it has.
    pub(crate) fn renamed(self, path: &[u8], content: &[u8]) -> Self {
        self.extended(&record("path", path)).entry("plain", b'0', 0o644, "", content)
    }

    /// Without an end, so that something can follow.
    pub(crate) fn open(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// One reader sees a file with another archive inside; one that ignores the extended size sees the entries of that archive.
pub(crate) fn desynchronised(path: &str) -> Tar {
    let inner = Tar::new().file(path, b"evil").open();
    let mut tar = Tar::new().extended(&record("size", inner.len().to_string().as_bytes()));
    tar.0.extend(header(b"harmless", b'0', 0o644, 0, b""));
    tar.0.extend(padded(inner));
    tar
}

/// A file that is all hole, as GNU tar writes it.
pub(crate) fn hole(size: u64) -> Vec<u8> {
    let size = size.to_string();
    let map = padded(b"0\n".to_vec());
    let records = [
        record("GNU.sparse.major", b"1"),
        record("GNU.sparse.minor", b"0"),
        record("GNU.sparse.name", b"hole"),
        record("GNU.sparse.realsize", size.as_bytes()),
    ];
    let mut tar = Tar::new().file("first", b"harmless").extended(&records.concat());
    tar.0.extend(header(b"GNUSparseFile.0/hole", b'0', 0o644, map.len() as u64, b""));
    tar.0.extend(map);
    tar.end()
}

/// Writes an image of these layers as an OCI layout.
pub(crate) fn layout(place: &Path, layers: &[&[u8]]) -> Result<()> {
    let blobs = place.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |bytes: &[u8]| -> Result<String> {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes)?;
        Ok(digest.to_string())
    };
    let descriptor = |media: &str, digest: &str, size: usize| serde_json::json!({"mediaType": format!("application/vnd.oci.image.{media}"), "digest": digest, "size": size});
    let mut stored = Vec::new();
    for layer in layers {
        stored.push(descriptor("layer.v1.tar", &put(layer)?, layer.len()));
    }
    let ids: Vec<_> = stored.iter().map(|layer| layer["digest"].clone()).collect();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids},
    }))?;
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &put(&config)?, config.len()), "layers": stored,
    }))?;
    let mut entry = descriptor("manifest.v1+json", &put(&manifest)?, manifest.len());
    entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "latest"});
    fs::write(
        place.join("index.json"),
        serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": [entry]}))?,
    )?;
    Ok(fs::write(place.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?)
}
