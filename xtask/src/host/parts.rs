//! Programs of other projects, built from their Go modules and kept in the cache.
//!
//! A part is a folder below `xtask/parts` with a `go.mod` that pins everything. Its programs land in a cache folder
//! named after a hash of the recipe, by a rename: a build that was killed leaves nothing that looks finished.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};

use super::{
    command::{Run, cargo},
    folders, packages,
};

/// How a part is built.
#[derive(Debug)]
pub(crate) struct Part {
    /// The folder below `xtask/parts`, and the name in messages.
    pub(crate) name: &'static str,
    /// The packages to build, `tool` for all that the module names as tools.
    packages: &'static str,
    /// The file to write, where the package's own name says nothing.
    output: &'static str,
    flags: &'static [&'static str],
    /// Linker settings beyond leaving out symbols.
    link: &'static str,
    cgo: bool,
    /// Other names of `output`.
    links: &'static [&'static str],
    /// How long it takes on two cores with nothing cached.
    minutes: &'static str,
}

const PLAIN: Part = Part {
    name: "",
    packages: "tool",
    output: "",
    flags: &[],
    link: "",
    cgo: false,
    links: &[],
    minutes: "1 min",
};

/// Container images from archives, and inspection of registries.
pub(crate) const CRANE: Part = Part { name: "crane", minutes: "10 s", ..PLAIN };
/// Checks manifests against schemas.
pub(crate) const KUBECONFORM: Part = Part { name: "kubeconform", minutes: "5 s", ..PLAIN };
/// Runs Lua as Argo CD does.
pub(crate) const LUA: Part =
    Part { name: "lua", packages: ".", output: "argo-lua", minutes: "10 s", ..PLAIN };
/// Flux's controller that applies folders and waits.
pub(crate) const FLUX: Part = Part { name: "flux", minutes: "3 min", ..PLAIN };
/// Installs charts.
pub(crate) const HELM: Part = Part { name: "helm", minutes: "2 min", ..PLAIN };
/// The image registry.
pub(crate) const REGISTRY: Part = Part { name: "registry", ..PLAIN };
/// Network plugins of pods.
pub(crate) const CNI: Part = Part { name: "cni", minutes: "10 s", ..PLAIN };
/// The program that starts containers; it needs C for its seccomp filters.
pub(crate) const RUNC: Part =
    Part { name: "runc", flags: &["-tags", "seccomp"], cgo: true, minutes: "10 s", ..PLAIN };
/// The container runtime.
pub(crate) const CONTAINERD: Part = Part { name: "containerd", ..PLAIN };
/// Names of services for pods, with the few plugins that this takes.
pub(crate) const COREDNS: Part = Part { name: "coredns", packages: ".", output: "coredns", ..PLAIN };
/// The database of the API server.
pub(crate) const ETCD: Part =
    Part { name: "etcd", packages: "go.etcd.io/etcd/server/v3", output: "etcd", ..PLAIN };
/// The node's and control plane's programs and kubectl, in one link.
pub(crate) const KUBERNETES: Part = Part {
    name: "kubernetes",
    packages: ".",
    output: "hk",
    link: "-X k8s.io/component-base/version.gitVersion=v1.36.3",
    links: &[
        "kubectl",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
    ],
    minutes: "5 min",
    ..PLAIN
};

impl Part {
    /// Returns the folder with the programs, built now if they were not yet.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let recipe = folders::xtask().join("parts").join(self.name);
        let shelf = folders::cache()?.join("parts");
        let finished = shelf.join(format!("{}-{:016x}", self.name, self.key(&recipe)?));
        if finished.is_dir() {
            return Ok(finished);
        }
        folders::make(&shelf)?;
        let _lock = folders::lock(&format!("parts/{}", self.name))?;
        if finished.is_dir() {
            return Ok(finished);
        }
        packages::ensure(packages::CLUSTER)?;
        packages::ensure_go()?;
        println!("building {} (once per machine; about {} on two cores)", self.name, self.minutes);
        let start = Instant::now();
        let scratch = shelf.join(format!("{}.unfinished", self.name));
        if scratch.exists() {
            fs::remove_dir_all(&scratch)
                .with_context(|| format!("failed to delete {}", scratch.display()))?;
        }
        folders::make(&scratch)?;
        self.build(&recipe, &scratch)?;
        for link in self.links {
            symlink(self.output, scratch.join(link)).with_context(|| format!("failed to link {link}"))?;
        }
        fs::rename(&scratch, &finished).with_context(|| format!("failed to move {}", scratch.display()))?;
        println!("built {} in {:.0} s", self.name, start.elapsed().as_secs_f64());
        Ok(finished)
    }

    fn build(&self, recipe: &Path, target: &Path) -> Result<()> {
        let link = format!("-s -w {}", self.link);
        Command::new("go")
            .current_dir(recipe)
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", link.trim_end()])
            .args(self.flags)
            .arg("-o")
            .arg(if self.output.is_empty() { target.join("") } else { target.join(self.output) })
            .arg(self.packages)
            .env("CGO_ENABLED", if self.cgo { "1" } else { "0" })
            .env("GOWORK", "off")
            .text()
            .map(drop)
    }

    /// A hash of everything that decides on the result.
    fn key(&self, recipe: &Path) -> Result<u64> {
        let mut hash = fnv(FNV_START, format!("{self:?} {}", std::env::consts::ARCH).as_bytes());
        let mut files: Vec<PathBuf> = fs::read_dir(recipe)
            .with_context(|| format!("failed to read {}", recipe.display()))?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        files.sort();
        for file in files {
            let text = fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
            hash = fnv(hash, file.file_name().unwrap_or_default().as_encoded_bytes());
            hash = fnv(hash, &text);
        }
        Ok(hash)
    }
}

/// The dependency checker, installed by cargo into a folder of its own.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    const VERSION: &str = "0.20.2";
    let finished = folders::cache()?.join(format!("parts/cargo-deny-{VERSION}"));
    let program = finished.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    println!("building cargo-deny (once per machine; about 5 min on two cores)");
    cargo()
        .args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"])
        .arg(&finished)
        .text()?;
    Ok(program)
}

/// Where a hash starts.
pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: stable between compilers, and enough to tell our own files apart. The length keeps fields apart.
pub(crate) fn fnv(start: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(bytes.len().to_le_bytes().iter().fold(start, step), step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_pinned_module() {
        for part in
            [CNI, CONTAINERD, COREDNS, CRANE, ETCD, FLUX, HELM, KUBECONFORM, KUBERNETES, LUA, REGISTRY, RUNC]
        {
            let recipe = folders::xtask().join("parts").join(part.name);
            assert!(recipe.join("go.mod").is_file() && recipe.join("go.sum").is_file(), "{}", part.name);
        }
    }

    #[test]
    fn the_key_follows_the_recipe() {
        let recipe = folders::xtask().join("parts/crane");
        let key = CRANE.key(&recipe).expect("readable");
        assert_eq!(key, CRANE.key(&recipe).expect("readable"));
        assert_ne!(key, Part { cgo: true, ..CRANE }.key(&recipe).expect("readable"));
        assert_ne!(key, CRANE.key(&folders::xtask().join("parts/cni")).expect("readable"));
    }
}
