//! Requests: where to, with whose word, through which redirects, and again if it may pass.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, Method, StatusCode, Url};
use slipway_oci::Reference;
use tokio::sync::{Mutex, Semaphore};

use crate::auth::{Access, Auth, Round};
use crate::challenge::Challenge;
use crate::counters::Atomics;
use crate::endpoint::{self, Endpoint, authority, shown_url};
use crate::error::{Error, What};
use crate::settings::Settings;

mod answer;
mod body;
mod clients;
mod failure;
mod flights;
mod retry;
#[cfg(test)]
mod tests;

pub(crate) use answer::Answer;
pub(crate) use body::Payload;

/// How many times a request is sent on.
const MAX_REDIRECTS: usize = 5;

/// A request.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    /// How long the answer may take once all is sent.
    pub(crate) patience: Duration,
}

/// Everything that requests share.
pub(crate) struct Transport {
    pub(crate) settings: Settings,
    pub(crate) counters: Arc<Atomics>,
    pub(crate) transfers: Semaphore,
    pub(crate) flights: flights::Flights,
    clients: clients::Clients,
    auth: Auth,
    /// How hosts that need not speak TLS do speak: found out once.
    origins: Mutex<HashMap<String, Url>>,
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        let clients = clients::Clients::new(&settings).map_err(|what| Error::new("", "", what))?;
        let transfers = Semaphore::new(settings.max_concurrency.max(1));
        let (counters, flights, auth, origins) = Default::default();
        Ok(Self { settings, counters, transfers, flights, clients, auth, origins })
    }

    /// Makes a request of a kind.
    pub(crate) fn call(&self, method: Method, url: Url) -> Call {
        let patience = self.settings.timeouts.idle;
        Call { method, url, headers: HeaderMap::new(), payload: Payload::Empty, patience }
    }

    /// Returns the registry that a reference names.
    pub(crate) async fn registry(&self, reference: &Reference) -> Result<Endpoint, Error> {
        let name = reference.registry();
        let host = endpoint::api_host(name);
        let failed = |what| Error::new(reference.to_string(), name, what);
        let lax = self.is_insecure(host);
        let mut pauses = retry::Pauses::new(self.settings.retry, false);
        let origin = loop {
            // Whether it speaks TLS is not known before it answers: a guess would be an error once it is back.
            match self.origin(host, None, lax).await.map_err(failed)? {
                Ok(origin) => break origin,
                Err(what) => match pauses.next(&what) {
                    Some(pause) => self.pause(pause, &what).await,
                    None => return Err(failed(what)),
                },
            }
        };
        Ok(Endpoint { origin, prefix: String::new(), name: name.to_owned(), lax, mirror_of: None })
    }

    /// Returns who may have a reference's content: mirrors first, then the registry.
    pub(crate) async fn sources(&self, reference: &Reference) -> Result<Vec<Endpoint>, Error> {
        let name = reference.registry();
        let mut sources = vec![];
        for mirror in self.settings.mirrors.get(name).into_iter().flatten() {
            let failed = |what| Error::new(reference.to_string(), &*mirror.location, what);
            let (scheme, host, prefix) = endpoint::read_mirror(mirror).map_err(failed)?;
            let lax = self.is_insecure(&host);
            let origin = self.answering_or_not(&host, scheme.as_deref(), lax).await.map_err(failed)?;
            sources.push(Endpoint { origin, prefix, name: host, lax, mirror_of: Some(name.to_owned()) });
        }
        if sources.is_empty() {
            return Ok(vec![self.registry(reference).await?]);
        }
        // With mirrors before it, it need not answer.
        let host = endpoint::api_host(name);
        let lax = self.is_insecure(host);
        let failed = |what| Error::new(reference.to_string(), name, what);
        let origin = self.answering_or_not(host, None, lax).await.map_err(failed)?;
        sources.push(Endpoint { origin, prefix: String::new(), name: name.to_owned(), lax, mirror_of: None });
        Ok(sources)
    }

    /// Returns where to ask one of several: with TLS if it does not answer now, and then it is passed over.
    async fn answering_or_not(&self, host: &str, scheme: Option<&str>, lax: bool) -> Result<Url, What> {
        match self.origin(host, scheme, lax).await? {
            Ok(origin) => Ok(origin),
            Err(_) => endpoint::base("https", host),
        }
    }

    fn is_insecure(&self, host: &str) -> bool {
        endpoint::is_loopback(host) || self.settings.insecure.iter().any(|name| name == host)
    }

    /// Returns the base URL of a host: https, except where plain http is allowed and nothing else is spoken; why it does not
    /// answer, where that is not known.
    async fn origin(&self, host: &str, scheme: Option<&str>, lax: bool) -> Result<Result<Url, What>, What> {
        match scheme {
            Some(scheme) => return endpoint::base(scheme, host).map(Ok),
            None if !lax => return endpoint::base("https", host).map(Ok),
            None => {}
        }
        // Not held while it is asked: others need not wait for one that keeps silent.
        if let Some(known) = self.origins.lock().await.get(host) {
            return Ok(Ok(known.clone()));
        }
        let (secure, plain) = (endpoint::base("https", host)?, endpoint::base("http", host)?);
        let mut has_tls = std::pin::pin!(self.answers(&secure));
        let mut has_none = std::pin::pin!(self.answers(&plain));
        // A server without TLS may keep silent at the start of one: after a moment both are asked.
        let (secure, plain) = (&secure, &plain);
        let found = match tokio::time::timeout(Duration::from_millis(500), &mut has_tls).await {
            Ok(Ok(())) => Ok(secure),
            Ok(Err(why)) => has_none.await.map(|()| plain).map_err(|plain| telling(why, plain)),
            Err(_) => tokio::select! {
                yes = &mut has_tls => match yes {
                    Ok(()) => Ok(secure),
                    Err(why) => has_none.await.map(|()| plain).map_err(|plain| telling(why, plain)),
                },
                yes = &mut has_none => if yes.is_ok() { Ok(plain) } else { has_tls.await.map(|()| secure) },
            },
        };
        if let Ok(base) = found {
            self.origins.lock().await.insert(host.to_owned(), base.clone());
        }
        Ok(found.cloned())
    }

    /// Tells why no registry answers there. A server with TLS answers plain requests with 400.
    async fn answers(&self, base: &Url) -> Result<(), What> {
        let ping = base.join("/v2/").map_err(|error| What::Settings(error.to_string()))?;
        let client = self.clients.get(true)?;
        match client.get(ping).timeout(self.settings.timeouts.connect).send().await {
            Ok(answer) if base.scheme() == "http" && answer.status() == StatusCode::BAD_REQUEST => {
                Err(What::Protocol("it answers a request without TLS by 400".into()))
            }
            Ok(_) => Ok(()),
            Err(error) if error.is_timeout() => Err(What::Slow(self.settings.timeouts.connect)),
            Err(error) => Err(failure::of_request(&error, 0)),
        }
    }

    /// Sends a request, with credentials if asked for them; answers of any status come back, except 401.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        call: &Call,
    ) -> Result<Answer, What> {
        let mut round = Round::default();
        loop {
            let header = self.auth.header(self, endpoint, access, &mut round).await?;
            let (mut answer, is_origin) = self.follow(endpoint, call, header.as_ref()).await?;
            answer.whom = round.whom(header.is_some() && is_origin);
            let asked = answer.status() == StatusCode::UNAUTHORIZED
                || (answer.status() == StatusCode::FORBIDDEN && round.has_more());
            if !(asked && is_origin) {
                if answer.status() != StatusCode::UNAUTHORIZED {
                    self.auth.remember(endpoint, access, &round).await;
                    return Ok(answer);
                }
                // Whoever we were sent to has no business asking for our credentials.
                let to = shown_url(answer.url());
                return Err(What::Refused {
                    to,
                    reason: "it asks for credentials that are not meant for it".into(),
                });
            }
            let values =
                answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            let challenge = Challenge::read(values);
            self.auth.challenged(endpoint, access, challenge, header.is_some(), &mut round).await?;
        }
    }

    /// Returns what to show an endpoint before it asks: for a client that is not ours. Finds out by asking for a blob that
    /// nobody has.
    pub(crate) async fn authorization(
        &self,
        endpoint: &Endpoint,
        access: &Access,
    ) -> Result<Option<String>, What> {
        let nothing = slipway_oci::Digest::from_bytes([0; 32]);
        let url = endpoint.url_in(&access.repository, &format!("blobs/{nothing}"))?;
        self.send(endpoint, access, &self.call(Method::HEAD, url)).await?;
        let header = self.auth.header(self, endpoint, access, &mut Round::default()).await?;
        Ok(header.and_then(|value| value.to_str().ok().map(str::to_owned)))
    }

    /// Sends a request where it leads; also says whether the answer is from the place that was asked.
    async fn follow(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Answer, bool), What> {
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let home = same_origin(&url, &endpoint.origin);
            let mut headers = call.headers.clone();
            if let Some(value) = authorization.filter(|_| home) {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let lax = if home { endpoint.lax } else { self.is_insecure(&authority(&url)) };
            let client = self.clients.get(lax)?;
            let answer = self.once(client, call, url.clone(), headers).await?;
            let next = match answer.status().as_u16() {
                301..=303 if matches!(call.method, Method::GET | Method::HEAD) => true,
                307 | 308 => true,
                _ => false,
            };
            if !next {
                return Ok((answer, home));
            }
            let target =
                answer.header(&LOCATION).ok_or_else(|| What::Protocol("a redirect to nowhere".into()))?;
            url = self.allowed(&url, target)?;
        }
        Err(What::Refused { to: shown_url(&url), reason: format!("more than {MAX_REDIRECTS} redirects") })
    }

    /// Checks where a registry sends us; the result is absolute.
    pub(crate) fn allowed(&self, from: &Url, target: &str) -> Result<Url, What> {
        let to = from.join(target).map_err(|_| What::Protocol("a location that is no URL".into()))?;
        let host = authority(&to);
        let refuse = |reason: &str| Err(What::Refused { to: shown_url(&to), reason: reason.to_owned() });
        match to.scheme() {
            "https" => {}
            "http" if from.scheme() == "http" || self.is_insecure(&host) => {}
            // Registries behind a proxy that ends TLS often name themselves wrongly.
            "http" if to.host_str() == from.host_str() => {
                let mut secure = to.clone();
                let _ = secure.set_scheme("https");
                if to.port().is_none() || to.port() == from.port() {
                    return Ok(secure);
                }
                return refuse("it leads from https to plain http");
            }
            "http" => return refuse("it leads from https to plain http"),
            _ => return refuse("only https and http are followed"),
        }
        if endpoint::is_link_local(&host) && !endpoint::is_link_local(&authority(from)) {
            return refuse("link-local addresses are where machines keep their own credentials");
        }
        Ok(to)
    }

    /// Sends one request and waits for the head of the answer.
    async fn once(&self, client: &Client, call: &Call, url: Url, headers: HeaderMap) -> Result<Answer, What> {
        Atomics::add(&self.counters.requests, 1);
        let request = client.request(call.method.clone(), url).headers(headers);
        let (request, progress) = call.payload.attach(request, &self.counters);
        let idle = self.settings.timeouts.idle;
        let answer = progress.watch(request.send(), idle, call.patience).await.ok_or(What::Slow(idle))?;
        match answer {
            Ok(response) => Ok(Answer::new(response, idle)),
            Err(error) => Err(failure::of_request(&error, progress.sent())),
        }
    }

    /// Repeats what may pass.
    pub(crate) async fn retrying<T, F: Future<Output = Result<T, What>>>(
        &self,
        subject: &str,
        endpoint: &Endpoint,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let mut pauses = retry::Pauses::new(self.settings.retry, endpoint.mirror_of.is_some());
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(what) => match pauses.next(&what) {
                    Some(pause) => self.pause(pause, &what).await,
                    None => return Err(Error::new(subject, endpoint.shown(), what)),
                },
            }
        }
    }

    /// Counts a retry and waits.
    pub(crate) async fn pause(&self, pause: Duration, what: &What) {
        Atomics::add(&self.counters.retries, 1);
        tracing::debug!(%what, pause = ?pause, "trying again");
        tokio::time::sleep(pause).await;
    }

    /// Returns the pauses between attempts at `endpoint`.
    pub(crate) fn pauses(&self, endpoint: &Endpoint) -> retry::Pauses {
        retry::Pauses::new(self.settings.retry, endpoint.mirror_of.is_some())
    }

    /// Sends a request outside the registry's own paths (a token service): no redirects, no credentials of ours added.
    pub(crate) async fn plain(&self, lax: bool, call: &Call) -> Result<Answer, What> {
        let client = self.clients.get(lax)?;
        self.once(client, call, call.url.clone(), call.headers.clone()).await
    }

    /// Returns true if certificates of a URL's host are not checked.
    pub(crate) fn is_lax(&self, url: &Url) -> bool {
        self.is_insecure(&authority(url))
    }
}

/// Turns an answer that is no success into what happened.
pub(crate) async fn refused(answer: Answer) -> What {
    let status = answer.status();
    let retry_after = answer.header(&RETRY_AFTER).and_then(retry::read_retry_after);
    let as_whom = answer.whom.clone();
    let message = failure::message(answer).await;
    match status.as_u16() {
        403 => What::Denied { as_whom, message },
        404 => What::NotFound { message },
        429 => What::TooManyRequests { retry_after, message },
        _ => What::Status { status, retry_after, message },
    }
}

/// Returns true if two URLs are of the same scheme, host and port.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Of the errors with TLS and without, the one that tells more: whoever answers plain requests by 400 speaks TLS.
fn telling(with_tls: What, without: What) -> What {
    if matches!(without, What::Protocol(_)) { with_tls } else { without }
}
