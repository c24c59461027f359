//! The HTTP clients: one that checks certificates, one that does not.

use reqwest::{Certificate, Client, ClientBuilder};

use crate::error::What;
use crate::settings::Settings;

pub(super) struct Clients {
    /// None, with the reason, where the machine has no certificate authorities at all.
    strict: Result<Client, String>,
    pub(super) lax: Client,
}

impl Clients {
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
        let builder = || {
            // Redirects are followed by us: only we know what must not go along.
            ClientBuilder::new()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(settings.timeouts.connect)
                .user_agent(settings.user_agent.clone())
                .pool_max_idle_per_host(settings.max_concurrency + 2)
                .tcp_nodelay(true)
        };
        let lax = builder()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .map_err(|error| What::Settings(format!("no HTTP client: {}", super::failure::root(&error))))?;
        let strict = builder().tls_certs_merge(authorities.clone()).build();
        let strict = match strict {
            // A system without authorities of its own still has those that were given.
            Err(_) if !authorities.is_empty() => builder().tls_certs_only(authorities).build(),
            other => other,
        };
        Ok(Self { strict: strict.map_err(|error| super::failure::root(&error)), lax })
    }

    pub(super) fn get(&self, lax: bool) -> Result<&Client, What> {
        if lax {
            return Ok(&self.lax);
        }
        self.strict.as_ref().map_err(|reason| What::Tls {
            reason: reason.clone(),
            hint: "install ca-certificates, or name a CA file".into(),
        })
    }
}
