//! The HTTP clients: one that checks certificates, one that does not.

use std::sync::OnceLock;

use reqwest::{Certificate, Client, ClientBuilder};

use crate::error::What;
use crate::settings::Settings;

/// Made when the first request needs one: reading all of a system's authorities takes longer than a build that is cached.
pub(super) struct Clients {
    settings: Settings,
    authorities: Vec<Certificate>,
    /// None, with the reason, where the machine has no certificate authorities at all.
    strict: OnceLock<Result<Client, String>>,
    lax: OnceLock<Result<Client, String>>,
}

impl Clients {
    /// Reads the files of authorities that the settings name.
    pub(super) fn new(settings: &Settings) -> Result<Self, What> {
        // Fails if a provider is there already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut authorities = vec![];
        for path in &settings.ca_files {
            let shown = path.display();
            let text = std::fs::read(path).map_err(|error| What::Settings(format!("{shown}: {error}")))?;
            let bundle = Certificate::from_pem_bundle(&text)
                .map_err(|_| What::Settings(format!("{shown}: not PEM certificates")))?;
            if bundle.is_empty() {
                return Err(What::Settings(format!("{shown}: no certificate in it")));
            }
            authorities.extend(bundle);
        }
        let (strict, lax) = Default::default();
        Ok(Self { settings: settings.clone(), authorities, strict, lax })
    }

    /// Returns a client; a lax one does not check certificates.
    pub(super) fn get(&self, lax: bool) -> Result<&Client, What> {
        if lax {
            let client = self.lax.get_or_init(|| self.make_lax());
            return client.as_ref().map_err(|reason| What::Settings(format!("no HTTP client: {reason}")));
        }
        self.strict.get_or_init(|| self.make_strict()).as_ref().map_err(|reason| What::Tls {
            reason: reason.clone(),
            hint: "install ca-certificates, or name a CA file".into(),
        })
    }

    fn builder(&self) -> ClientBuilder {
        // Redirects are followed by us: only we know what must not go along.
        ClientBuilder::new()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.settings.timeouts.connect)
            .user_agent(self.settings.user_agent.clone())
            .pool_max_idle_per_host(self.settings.max_concurrency + 2)
            .tcp_nodelay(true)
    }

    fn make_lax(&self) -> Result<Client, String> {
        let made = self.builder().tls_danger_accept_invalid_certs(true).build();
        made.map_err(|error| super::failure::root(&error))
    }

    fn make_strict(&self) -> Result<Client, String> {
        let authorities = &self.authorities;
        let made = match self.builder().tls_certs_merge(authorities.clone()).build() {
            // A system without authorities of its own still has those that were given.
            Err(_) if !authorities.is_empty() => self.builder().tls_certs_only(authorities.clone()).build(),
            other => other,
        };
        made.map_err(|error| super::failure::root(&error))
    }
}
