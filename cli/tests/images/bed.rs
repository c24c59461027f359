//! A folder, a registry and images for a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use slipway_oci::archive::{Entry, Kind, Writer};
use slipway_oci::media::{self, Flavour};
use slipway_oci::{Descriptor, Digest, Index, Manifest, Platform};
use slipway_registry::testing::FakeRegistry;

/// A folder and a registry of a test's own.
pub(crate) struct Bed {
    pub(crate) folder: PathBuf,
    pub(crate) registry: FakeRegistry,
    _runtime: tokio::runtime::Runtime,
}

impl Bed {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("context")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registry = runtime.block_on(FakeRegistry::start()).unwrap();
        Self { folder, registry, _runtime: runtime }
    }

    /// Writes a file of the context.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.folder.join("context").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A reference in the registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    pub(crate) fn slipway(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            .args(args)
            .current_dir(&self.folder)
            .env("SLIPWAY_HOME", self.folder.join("store"))
            .env("DOCKER_CONFIG", self.folder.join("no-config"))
            .env_remove("SLIPWAY_MIRRORS")
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Builds the context.
    pub(crate) fn build(&self, args: &[&str]) -> Output {
        self.slipway(&["build", "--progress", "plain"]).args(args).arg("context").output().unwrap()
    }

    /// Builds the context, which must work; returns what was said.
    pub(crate) fn built(&self, args: &[&str]) -> String {
        good(&self.build(args))
    }

    /// Returns the document under a tag or digest of a repository.
    pub(crate) fn document(&self, repository: &str, key: &str) -> Value {
        serde_json::from_slice(&self.registry.manifest(repository, key).expect(key)).unwrap()
    }

    /// Returns a blob of a repository as JSON.
    pub(crate) fn config(&self, repository: &str, manifest: &Value) -> Value {
        let digest = digest(&manifest["config"]["digest"]);
        serde_json::from_slice(&self.registry.blob(repository, &digest).unwrap()).unwrap()
    }

    /// Puts an index of images for platforms into the registry, each with its platform in `/etc/arch`.
    pub(crate) fn base(&self, repository: &str, tag: &str, platforms: &[&str]) {
        let put = |media_type: &str, bytes: &[u8]| self.registry.put_blob(repository, media_type, bytes);
        let manifest = |bytes: &[u8]| {
            let digest = Digest::of(bytes).to_string();
            self.registry.put_manifest(repository, &digest, media::OCI_MANIFEST, bytes)
        };
        let index = index(platforms, &put, &manifest);
        self.registry.put_manifest(repository, tag, media::OCI_INDEX, &index);
    }

    /// Writes the same as a layout into a folder, called `v1`; returns the digest of the index.
    pub(crate) fn layout(&self, name: &str, platforms: &[&str]) -> Digest {
        let folder = self.folder.join(name);
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |media_type: &str, bytes: &[u8]| {
            let descriptor = Descriptor::of(media_type, bytes);
            fs::write(blobs.join(descriptor.digest.hex()), bytes).unwrap();
            descriptor
        };
        let index = index(platforms, &put, &|bytes| put(media::OCI_MANIFEST, bytes));
        let mut top = put(media::OCI_INDEX, &index);
        let digest = top.digest;
        top.annotations.insert("org.opencontainers.image.ref.name".into(), "v1".into());
        fs::write(folder.join("index.json"), Index::new(Flavour::Oci, vec![top]).to_bytes()).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        digest
    }
}

/// A program of another kind of machine: enough of a header for the kernel to see it.
pub(crate) fn foreign_program() -> Vec<u8> {
    let mut program = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    program.resize(16, 0);
    // An executable for AArch64.
    program.extend_from_slice(&[2, 0, 0xb7, 0, 1, 0, 0, 0]);
    program.resize(256, 0);
    program
}

/// Makes an index of small images, one a platform: `/etc/arch` names it, `/bin/sh` is no program of this machine.
fn index(
    platforms: &[&str],
    put: &dyn Fn(&str, &[u8]) -> Descriptor,
    manifest: &dyn Fn(&[u8]) -> Descriptor,
) -> Vec<u8> {
    let mut entries = vec![];
    for text in platforms {
        let platform: Platform = text.parse().unwrap();
        let layer = tar(&[("bin/sh", &foreign_program(), 0o755), ("etc/arch", text.as_bytes(), 0o644)]);
        let layer = put(media::OCI_LAYER, &layer);
        let mut config = json!({
            "os": platform.os, "architecture": platform.architecture,
            "config": {"Env": [format!("BASE={text}")]},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        });
        if let Some(variant) = &platform.variant {
            config["variant"] = json!(variant);
        }
        let config = put(media::OCI_CONFIG, config.to_string().as_bytes());
        let mut entry = manifest(&Manifest::new(Flavour::Oci, config, vec![layer]).to_bytes());
        entry.platform = Some(platform);
        entries.push(entry);
    }
    Index::new(Flavour::Oci, entries).to_bytes()
}

/// Makes an archive of files.
pub(crate) fn tar(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut tar = Writer::new(vec![]);
    for (name, bytes, mode) in files {
        let entry = Entry::new(*name, Kind::File { size: bytes.len() as u64 }, *mode);
        tar.append_file(&entry, &mut &bytes[..]).unwrap();
    }
    tar.finish().unwrap()
}

/// Makes an archive of a folder's files.
pub(crate) fn tar_of(folder: &Path) -> Vec<u8> {
    fn collect(root: &Path, at: &Path, all: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, all);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                all.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    let mut all = vec![];
    collect(folder, folder, &mut all);
    let files: Vec<(&str, &[u8], u32)> =
        all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice(), 0o644)).collect();
    tar(&files)
}

pub(crate) fn digest(value: &Value) -> Digest {
    value.as_str().unwrap().parse().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns what was said by a command that must have worked.
#[track_caller]
pub(crate) fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

/// Returns what was said by a command that must have failed, with this exit code.
#[track_caller]
pub(crate) fn bad(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    said(output)
}
