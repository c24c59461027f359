//! Flags that several verbs share: where the cache lies and how registries are reached.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;

/// Where the cache lies.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct HomeArgs {
    /// The folder of the cache. [default: `$SLIPWAY_HOME`, else `slipway` in the user's data folder]
    #[arg(long = "root", value_name = "FOLDER", env = "SLIPWAY_HOME", hide_env_values = true)]
    pub(crate) root: Option<PathBuf>,
}

impl HomeArgs {
    /// Returns the folder: as said, else where the XDG rules put it.
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(root) = &self.root {
            return Ok(root.clone());
        }
        let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
        let data = data.context(
            "neither --root, SLIPWAY_HOME, XDG_DATA_HOME nor HOME says where the cache should lie",
        )?;
        Ok(data.join("slipway"))
    }
}

/// How registries are reached.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RegistryArgs {
    /// Asks this mirror first: `HOST=MIRROR`, or a mirror for docker.io. Also `SLIPWAY_MIRRORS`, separated by commas.
    #[arg(
        long = "registry-mirror",
        value_name = "[HOST=]MIRROR",
        env = "SLIPWAY_MIRRORS",
        value_delimiter = ','
    )]
    pub(crate) mirrors: Vec<String>,

    /// Speaks plain HTTP with this registry; loopback addresses need no word.
    #[arg(
        long = "insecure-registry",
        value_name = "HOST",
        env = "SLIPWAY_INSECURE_REGISTRIES",
        value_delimiter = ','
    )]
    pub(crate) insecure: Vec<String>,

    /// Trusts the certificates in this file too.
    #[arg(long = "registry-ca", value_name = "FILE", env = "SLIPWAY_REGISTRY_CA")]
    pub(crate) ca: Option<PathBuf>,
}

impl RegistryArgs {
    /// Returns the mirrors as pairs of host and mirror; a mirror without a host is one of docker.io.
    pub(crate) fn mirror_pairs(&self) -> Vec<(String, String)> {
        let pair = |text: &String| match text.split_once('=') {
            Some((host, mirror)) => (host.to_owned(), mirror.to_owned()),
            None => ("docker.io".to_owned(), text.clone()),
        };
        self.mirrors.iter().filter(|text| !text.is_empty()).map(pair).collect()
    }
}

impl RegistryArgs {
    /// Returns the settings of a client: these flags, and the credentials of docker.
    pub(crate) fn settings(&self) -> slipway_registry::Settings {
        let mut settings = slipway_registry::Settings::default();
        for (host, mirror) in self.mirror_pairs() {
            settings.mirrors.entry(host).or_default().push(mirror.as_str().into());
        }
        settings.insecure = self.insecure.iter().filter(|host| !host.is_empty()).cloned().collect();
        settings.ca_files = self.ca.iter().cloned().collect();
        let docker = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let docker = docker.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".docker")));
        settings.credential_files = docker
            .map(|folder| folder.join("config.json"))
            .filter(|path| path.exists())
            .into_iter()
            .collect();
        settings
    }
}
