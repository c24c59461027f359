//! kaniko, given by path: a fresh root folder for each build, as a pod has one, and its cache in the registry.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

use super::{Builder, Job, complete, names};
use crate::{
    host::{command::Run, folders},
    speed::volume::Volume,
};

pub(in crate::speed) struct Kaniko {
    pub(in crate::speed) program: PathBuf,
    pub(in crate::speed) volume: Volume,
    pub(in crate::speed) mirror: String,
}

/// Makes the root folder what a container of kaniko's image sees, and runs it there.
const INSIDE: &str = "root=$1 program=$2 context=$3; shift 3
    mkdir -p $root/kaniko/ssl/certs $root/workspace $root/proc $root/dev $root/etc $root/tmp $root/sys
    cp $program $root/kaniko/executor
    cp /etc/ssl/certs/ca-certificates.crt $root/kaniko/ssl/certs/
    cp /etc/resolv.conf /etc/hosts $root/etc/
    mount --bind $root $root
    mount -t proc proc $root/proc
    mount --rbind /dev $root/dev
    mount --bind $context $root/workspace
    exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/kaniko \
        SSL_CERT_DIR=/kaniko/ssl/certs chroot $root /kaniko/executor \"$@\"";

impl Builder for Kaniko {
    fn name(&self) -> &'static str {
        "kaniko"
    }

    fn version(&self) -> Result<String> {
        version(&self.program)
    }

    fn engine(&self) -> Vec<String> {
        names(&["executor"])
    }

    /// It has no store: what it knows lies in the registry, which is emptied with it.
    fn reset(&self) -> Result<()> {
        self.volume.renew()
    }

    /// What an earlier build made and deleted shall not cost this one time, as `volume` tells.
    fn rest(&self) -> Result<()> {
        self.volume.renew()
    }

    fn end(&self) -> Result<()> {
        self.volume.remove()
    }

    fn build(&self, job: &Job<'_>) -> Result<()> {
        let beside =
            job.dockerfile.strip_prefix(job.context).context("a Dockerfile outside of its context")?;
        // A new root each time, as in a pod; they go with the volume.
        let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let root = self.volume.folder().join(format!("root-{start}"));
        folders::make(&root)?;
        let mut build = Command::new("unshare");
        build.args(["--mount", "--pid", "--fork", "--propagation=private", "sh", "-euc", INSIDE, "kaniko"]);
        build.arg(&root).arg(&self.program).arg(job.context);
        build.arg("--force").args(flags(job, beside, &self.mirror)?);
        complete(&build)
    }
}

/// What it says of itself.
pub(in crate::speed) fn version(program: &Path) -> Result<String> {
    Ok(Command::new(program).arg("version").text()?.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How it is called where the context is mounted at `/workspace`: with a cache of all layers, and with the settings that it
/// is quickest with and that still make the same layers.
pub(in crate::speed) fn flags(job: &Job<'_>, dockerfile: &Path, mirror: &str) -> Result<Vec<String>> {
    let mut words = vec![
        "--context=dir:///workspace".to_owned(),
        format!("--dockerfile=/workspace/{}", dockerfile.display()),
        format!("--registry-mirror={mirror}"),
        format!("--insecure-registry={mirror}"),
    ];
    words.extend(QUICK.iter().map(|flag| (*flag).to_owned()));
    words.extend(job.arguments.iter().map(|(name, value)| format!("--build-arg={name}={value}")));
    let Some(tag) = &job.tag else {
        words.push("--no-push".to_owned());
        return Ok(words);
    };
    let repository = tag.rsplit_once(':').context("a tag without a colon")?.0;
    let registry = tag.split_once('/').context("a tag without a registry")?.0;
    words.extend([
        format!("--destination={tag}"),
        format!("--insecure-registry={registry}"),
        "--cache=true".to_owned(),
        format!("--cache-repo={repository}/cache"),
    ]);
    Ok(words)
}

/// `docs/benchmarks/method.md` says why these.
const QUICK: &[&str] = &["--cache-copy-layers=true", "--snapshot-mode=redo", "--use-new-run=true"];
