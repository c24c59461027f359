//! `--cache-from` and `--cache-to`, as buildx reads them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use slipway_executor::cache::export::{CacheTo, Target};
use slipway_executor::cache::import::{CacheFrom, Importer};
use slipway_executor::cache::{Imported, Mode};
use slipway_executor::event::Events;
use slipway_graph::Graph;
use slipway_graph::request::{NoCache, Request};
use slipway_oci::compress::Compression;
use slipway_registry::Registry;
use slipway_store::Store;

use super::args::Args;

/// The build argument that asks for an inline cache, as `docker build` without buildx knows it.
const INLINE_ARG: &str = "BUILDKIT_INLINE_CACHE";

/// What is read and written.
#[derive(Debug, Default)]
pub(super) struct Caches {
    from: Vec<CacheFrom>,
    /// What to write.
    pub(super) to: Vec<CacheTo>,
}

impl Caches {
    /// Tells whether one of them is written from packed layers in the store.
    pub(super) fn needs_blobs(&self) -> bool {
        self.to.iter().any(|cache| matches!(cache.target, Target::Folder { .. }))
    }
}

/// Reads the flags.
pub(super) fn read(args: &Args, request: &Request) -> anyhow::Result<Caches> {
    let mut caches = Caches::default();
    for text in &args.cache_from {
        caches.from.extend(from(text).with_context(|| format!("`--cache-from {text}`"))?);
    }
    for text in &args.cache_to {
        caches.to.extend(to(text).with_context(|| format!("`--cache-to {text}`"))?);
    }
    let asked =
        request.build_args.get(INLINE_ARG).is_some_and(|value| matches!(value.as_str(), "1" | "true"));
    if asked && !caches.inline() {
        caches.to.push(CacheTo::new(Target::Inline));
    }
    // Without the cache nothing is taken from elsewhere either; what is built is written as usual.
    if request.no_cache == NoCache::All {
        caches.from.clear();
    }
    Ok(caches)
}

impl Caches {
    /// Tells whether images hold their own cache.
    pub(super) fn inline(&self) -> bool {
        self.to.iter().any(|cache| cache.target == Target::Inline)
    }

    /// Reads what is to be read, for a graph.
    pub(super) fn import(
        &self,
        graph: &Graph,
        store: &Store,
        registry: &Arc<Registry>,
        remotes: &tokio::runtime::Handle,
        events: &Events,
    ) -> Imported {
        let importer =
            Importer { store, registry: registry.clone(), remotes: remotes.clone(), events: events.clone() };
        let targets: Vec<_> = graph.outputs.iter().map(|output| output.stage).collect();
        let (sources, _) = importer.import(&self.from, graph, &targets);
        Imported::new(&sources)
    }
}

/// The parts of a flag: `type=…` and the others; or references alone.
enum Spec<'a> {
    References(Vec<&'a str>),
    Typed { kind: String, fields: Vec<(String, &'a str)> },
}

fn spec(text: &str) -> anyhow::Result<Spec<'_>> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.iter().all(|part| !part.contains('=')) {
        return Ok(Spec::References(parts));
    }
    let mut kind = None;
    let mut fields: Vec<(String, &str)> = Vec::new();
    for part in parts {
        let (key, value) = part.split_once('=').with_context(|| format!("`{part}` is not KEY=VALUE"))?;
        let key = key.trim().to_ascii_lowercase();
        if fields.iter().any(|(known, _)| *known == key) {
            bail!("`{key}` is there twice");
        }
        if key == "type" {
            kind = Some(value.trim().to_ascii_lowercase());
        } else {
            fields.push((key, value.trim()));
        }
    }
    let kind = kind.context("it has no type: registry, local or inline")?;
    match kind.as_str() {
        "registry" | "local" | "inline" => Ok(Spec::Typed { kind, fields }),
        "gha" | "s3" | "azblob" => bail!(
            "`type={kind}` is not supported: Slipway keeps caches in registries (type=registry), folders (type=local) and images (type=inline)"
        ),
        _ => bail!("`type={kind}` is not known; there are registry, local and inline"),
    }
}

fn from(text: &str) -> anyhow::Result<Vec<CacheFrom>> {
    let (kind, fields) = match spec(text)? {
        Spec::References(all) => {
            return all.into_iter().map(|name| Ok(CacheFrom::Registry(name.parse()?))).collect();
        }
        Spec::Typed { kind, fields } => (kind, fields),
    };
    let mut fields = Fields(fields);
    let from = match kind.as_str() {
        "registry" => CacheFrom::Registry(fields.need("ref")?.parse()?),
        "local" => CacheFrom::Folder {
            path: PathBuf::from(fields.need("src")?),
            tag: fields.take("tag").unwrap_or("latest").to_owned(),
            digest: fields.take("digest").map(str::parse).transpose()?,
        },
        _ => bail!("an inline cache is read by the name of its image: `--cache-from NAME`"),
    };
    fields.end()?;
    Ok(vec![from])
}

fn to(text: &str) -> anyhow::Result<Vec<CacheTo>> {
    let (kind, fields) = match spec(text)? {
        Spec::References(all) => {
            return all.into_iter().map(|name| Ok(CacheTo::new(Target::Registry(name.parse()?)))).collect();
        }
        Spec::Typed { kind, fields } => (kind, fields),
    };
    let mut fields = Fields(fields);
    let target = match kind.as_str() {
        "registry" => {
            let reference: slipway_oci::Reference = fields.need("ref")?.parse()?;
            if reference.digest().is_some() {
                bail!("`{reference}` has a digest: a cache is written under a tag");
            }
            Target::Registry(reference)
        }
        "local" => Target::Folder {
            path: PathBuf::from(fields.need("dest")?),
            tag: fields.take("tag").unwrap_or("latest").to_owned(),
        },
        _ => Target::Inline,
    };
    let inline = target == Target::Inline;
    let mut cache = CacheTo::new(target);
    cache.mode = match fields.take("mode") {
        None | Some("min") => Mode::Min,
        Some("max") if inline => {
            bail!("an image holds its own layers only: mode=max needs type=registry or type=local")
        }
        Some("max") => Mode::Max,
        Some(other) => bail!("`mode={other}` is neither min nor max"),
    };
    if !inline {
        let (name, level) = (fields.take("compression"), fields.take("compression-level"));
        if name.is_some() || level.is_some() {
            let level = level.map(str::parse).transpose().context("`compression-level` is not a number")?;
            cache.compression = Some(Compression::parse(name.unwrap_or("gzip"), level)?);
        }
        cache.force_compression = fields.switch("force-compression")?.unwrap_or(false);
        cache.ignore_error = fields.switch("ignore-error")?.unwrap_or(false);
        for key in ["image-manifest", "oci-mediatypes"] {
            if fields.switch(key)? == Some(false) {
                bail!("`{key}=false`: a cache is always an OCI image manifest here; leave it out");
            }
        }
    }
    fields.end()?;
    Ok(vec![cache])
}

/// Fields that are still to be read.
struct Fields<'a>(Vec<(String, &'a str)>);

impl<'a> Fields<'a> {
    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }

    fn need(&mut self, key: &str) -> anyhow::Result<&'a str> {
        self.take(key).filter(|value| !value.is_empty()).with_context(|| format!("it has no {key}"))
    }

    fn switch(&mut self, key: &str) -> anyhow::Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some("true" | "1" | "") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => bail!("`{key}={other}` is neither true nor false"),
        }
    }

    fn end(self) -> anyhow::Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => bail!("`{key}` is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(result: anyhow::Result<impl std::fmt::Debug>) -> String {
        format!("{:#}", result.expect_err("an error"))
    }

    #[test]
    fn caches_are_read_as_buildx_reads_them() {
        let registry = |name: &str| CacheFrom::Registry(name.parse().expect("a name"));
        assert_eq!(from("my-app:latest").expect("a name"), [registry("my-app:latest")]);
        assert_eq!(from("a,b:1").expect("two names"), [registry("a"), registry("b:1")]);
        assert_eq!(from("type=registry,ref=r.example/c:x").expect("typed"), [registry("r.example/c:x")]);
        let folder = CacheFrom::Folder { path: "in".into(), tag: "latest".into(), digest: None };
        assert_eq!(from("type=local,src=in").expect("a folder"), [folder]);

        let all = to("type=registry,ref=r.example/c,mode=max,compression=zstd,compression-level=9,ignore-error=true,image-manifest=true,oci-mediatypes=true")
            .expect("all of it");
        assert_eq!(all[0].mode, Mode::Max);
        assert_eq!(all[0].compression, Some(Compression::Zstd(9)));
        assert!(all[0].ignore_error && !all[0].force_compression);
        assert_eq!(to("type=inline").expect("inline"), [CacheTo::new(Target::Inline)]);
        let folder = Target::Folder { path: "out".into(), tag: "main".into() };
        assert_eq!(to("type=local,dest=out,tag=main").expect("a folder"), [CacheTo::new(folder)]);
    }

    #[test]
    fn what_is_not_known_is_said() {
        for kind in ["gha", "s3", "azblob"] {
            assert!(error(from(&format!("type={kind}"))).contains("not supported"), "{kind}");
            assert!(error(to(&format!("type={kind},mode=max"))).contains("type=registry"), "{kind}");
        }
        for (text, words) in [
            ("type=tape", "not known"),
            ("ref=x", "no type"),
            ("type=registry", "no ref"),
            ("type=registry,ref=x,ref=y", "twice"),
            ("type=registry,ref=UPPER", "UPPER"),
            ("type=local,dest=x", "no src"),
            ("type=inline", "name of its image"),
            ("type=registry,ref=x,colour=red", "`colour` is not known"),
        ] {
            assert!(error(from(text)).contains(words), "{text}: {}", error(from(text)));
        }
        for (text, words) in [
            ("type=local", "no dest"),
            ("type=inline,mode=max", "mode=max needs"),
            ("type=inline,compression=zstd", "not known"),
            ("type=registry,ref=x,mode=all", "neither min nor max"),
            ("type=registry,ref=x,image-manifest=false", "always an OCI image manifest"),
            ("type=registry,ref=x,compression=rar", "rar"),
        ] {
            assert!(error(to(text)).contains(words), "{text}: {}", error(to(text)));
        }
    }
}
