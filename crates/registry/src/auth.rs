//! Who we are to a registry: answering challenges, getting tokens, keeping them.
//!
//! Credentials are tried from the most specific to the least, then no credentials. They are shown to the registry itself
//! and to the token service that the registry names over a trusted connection, to nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use slipway_oci::Reference;
use tokio::sync::Mutex;

use crate::challenge::Challenge;
use crate::credentials::{self, Found};
use crate::endpoint::{Endpoint, authority, is_loopback, shown_url};
use crate::error::What;
use crate::settings::Login;
use crate::transport::{Payload, Transport, refused, same_origin};

/// The largest answer of a token service.
const MAX_TOKEN: usize = 1 << 20;

/// How long a token lasts if nobody says (the protocol's word), and at least.
const TOKEN_LIFE: Duration = Duration::from_mins(1);

/// What a request is allowed to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// The repository as the endpoint names it.
    pub(crate) repository: String,
    /// Reading and writing, else reading alone.
    pub(crate) push: bool,
    /// A repository that a blob is mounted from.
    pub(crate) from: Option<String>,
}

impl Access {
    fn scopes(&self) -> Vec<String> {
        let actions = if self.push { "pull,push" } else { "pull" };
        let mut scopes = vec![format!("repository:{}:{actions}", self.repository)];
        scopes.extend(self.from.as_ref().map(|from| format!("repository:{from}:pull")));
        scopes
    }
}

/// The attempts to get one request through.
#[derive(Default)]
pub(crate) struct Round {
    /// All that may be tried, last nobody; none until asked for.
    logins: Option<Vec<Option<Found>>>,
    at: usize,
    /// What worked before was tried first: if it does not any more, all are.
    jumped: bool,
    /// The token at hand was refused: get another one.
    renew: bool,
    /// The token at hand is new: if it is refused, the credentials are.
    fresh: bool,
    tried: Vec<String>,
}

impl Round {
    /// Returns true if other credentials could be tried.
    pub(crate) fn has_more(&self) -> bool {
        self.logins
            .as_ref()
            .is_some_and(|logins| logins[self.at.min(logins.len())..].iter().skip(1).any(Option::is_some))
    }
}

#[derive(Clone)]
struct Token {
    value: String,
    until: Instant,
}

/// Endpoint, scopes, and which credentials.
type Key = (String, String, usize);

/// A place that one task fills while the others wait.
type Slot = Arc<Mutex<Option<Token>>>;

#[derive(Default)]
pub(crate) struct Auth {
    challenges: Mutex<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<Key, Slot>>,
    /// Which credentials worked.
    good: Mutex<HashMap<(String, String), usize>>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Auth {
    /// Returns the header to send; none before the registry asked, and for nobody.
    pub(crate) async fn header(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        access: &Access,
        round: &mut Round,
    ) -> Result<Option<HeaderValue>, What> {
        let Some(challenge) = self.challenges.lock().await.get(&endpoint.key()).cloned() else {
            return Ok(None);
        };
        if round.logins.is_none() {
            let found = find(transport, endpoint, access).await?;
            round.at = *self.good.lock().await.get(&good_key(endpoint, access)).unwrap_or(&0);
            // Files may have changed since.
            round.at = round.at.min(found.len());
            round.jumped = round.at > 0;
            round.logins = Some(found.into_iter().map(Some).chain([None]).collect());
        }
        loop {
            let Some(login) = round.logins.as_ref().and_then(|logins| logins.get(round.at)).cloned() else {
                if std::mem::take(&mut round.jumped) {
                    round.at = 0;
                    continue;
                }
                return Err(unauthorized(endpoint, round));
            };
            let header = match (&challenge, login.as_ref().map(|found| &found.login)) {
                (_, Some(Login::Bearer(token))) => Some(format!("Bearer {token}")),
                (Challenge::Basic, Some(Login::Basic { username, password })) => {
                    Some(basic(username, password))
                }
                (Challenge::Basic, None | Some(Login::Identity(_))) => None,
                (Challenge::Bearer { .. }, _) => {
                    match self.token(transport, endpoint, access, &challenge, login.as_ref(), round).await {
                        Ok(token) => Some(format!("Bearer {token}")),
                        Err(what) if is_refusal(&what) => None,
                        Err(what) => return Err(what),
                    }
                }
            };
            if let Some(header) = header {
                let mut value = HeaderValue::try_from(header).map_err(|_| {
                    What::Credentials("a name, password or token cannot stand in a header".into())
                })?;
                value.set_sensitive(true);
                return Ok(Some(value));
            }
            round.next();
        }
    }

    /// Takes in a refusal: decides what the next attempt tries.
    pub(crate) async fn challenged(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        challenge: Option<Challenge>,
        had_header: bool,
        round: &mut Round,
    ) -> Result<(), What> {
        if let Some(challenge) = challenge {
            self.challenges.lock().await.insert(endpoint.key(), challenge);
        } else if !self.challenges.lock().await.contains_key(&endpoint.key()) {
            return Err(What::Protocol("401 without saying how to authenticate".into()));
        }
        if !had_header {
            return Ok(());
        }
        self.good.lock().await.remove(&good_key(endpoint, access));
        let is_token = round.current().is_none_or(|found| !matches!(found.login, Login::Bearer(_)));
        if is_token && !round.fresh {
            // The token may just have run out.
            round.renew = true;
            round.fresh = true;
        } else {
            round.next();
        }
        Ok(())
    }

    /// Remembers which credentials got through.
    pub(crate) async fn remember(&self, endpoint: &Endpoint, access: &Access, round: &Round) {
        if round.at > 0 && round.logins.is_some() {
            self.good.lock().await.insert(good_key(endpoint, access), round.at);
        }
    }

    /// Returns a token, a kept one if it lasts a while.
    async fn token(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        access: &Access,
        challenge: &Challenge,
        login: Option<&Found>,
        round: &mut Round,
    ) -> Result<String, What> {
        let Challenge::Bearer { realm, service, scope } = challenge else {
            return Err(What::Protocol("no token is asked for".into()));
        };
        let mut scopes = access.scopes();
        // What the registry asks for beyond what we know of; never less than what we need.
        let theirs =
            scope.iter().flat_map(|scope| scope.split(' ')).filter(|scope| scope.starts_with("registry:"));
        scopes.extend(theirs.map(str::to_owned));
        let key = (endpoint.key(), scopes.join(" "), round.at);
        let slot = Arc::clone(self.tokens.lock().await.entry(key).or_default());
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| !round.renew && token.until > Instant::now()) {
            return Ok(token.value.clone());
        }
        let realm = check_realm(endpoint, realm, login.is_some(), transport)?;
        let token = exchange(transport, realm, service.as_deref(), &scopes, login).await?;
        (round.renew, round.fresh) = (false, true);
        let value = token.value.clone();
        *slot = Some(token);
        Ok(value)
    }
}

impl Round {
    /// Returns whose word a request had, for people.
    pub(crate) fn whom(&self, had_header: bool) -> String {
        match self.current().filter(|_| had_header) {
            Some(found) => format!("the credentials of {}", found.origin),
            None => "those without credentials".into(),
        }
    }

    fn current(&self) -> Option<&Found> {
        self.logins.as_ref()?.get(self.at)?.as_ref()
    }

    fn next(&mut self) {
        let who = self.current().map_or_else(|| "no credentials".to_owned(), |found| found.origin.clone());
        if !self.tried.contains(&who) {
            self.tried.push(who);
        }
        self.at += 1;
        (self.renew, self.fresh) = (false, false);
    }
}

fn good_key(endpoint: &Endpoint, access: &Access) -> (String, String) {
    (endpoint.key(), access.scopes().join(" "))
}

async fn find(transport: &Transport, endpoint: &Endpoint, access: &Access) -> Result<Vec<Found>, What> {
    let name = format!("{}/{}", endpoint.name, access.repository);
    let reference: Reference =
        name.parse().map_err(|_| What::Settings(format!("`{name}` is not a repository")))?;
    let settings = &transport.settings;
    credentials::find(&settings.logins, &settings.credential_files, &reference)
        .await
        .map_err(What::Credentials)
}

fn unauthorized(endpoint: &Endpoint, round: &Round) -> What {
    let named: Vec<&str> =
        round.tried.iter().map(String::as_str).filter(|who| *who != "no credentials").collect();
    let (tried, hint) = if named.is_empty() {
        let tried = format!("there are no credentials for {}", endpoint.name);
        (
            tried,
            format!(
                "add them with `docker login {}` or a Secret of type kubernetes.io/dockerconfigjson",
                endpoint.name
            ),
        )
    } else {
        (
            format!("tried {}, and without", named.join(", ")),
            "check that they are still good for this repository".into(),
        )
    };
    What::Unauthorized {
        tried,
        hint: format!("{hint}; registries also answer so for names that do not exist"),
    }
}

/// Returns true if a token service says no to these credentials, so that others may be tried.
fn is_refusal(what: &What) -> bool {
    match what {
        What::Denied { .. } | What::NotFound { .. } => true,
        What::Status { status, .. } => matches!(status.as_u16(), 400 | 401),
        _ => false,
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// Checks the place that a registry sends us to for a token.
fn check_realm(
    endpoint: &Endpoint,
    realm: &str,
    with_credentials: bool,
    transport: &Transport,
) -> Result<Url, What> {
    let realm: Url =
        realm.parse().map_err(|_| What::Protocol(format!("the token service `{realm}` is no URL")))?;
    let refuse = |reason: &str| Err(What::Refused { to: shown_url(&realm), reason: reason.to_owned() });
    let here = same_origin(&realm, &endpoint.origin);
    match (realm.scheme(), endpoint.origin.scheme()) {
        ("https", "https") => {}
        ("http", "https") => return refuse("the token service would be asked in plain http"),
        ("http" | "https", "http") => {
            // Anyone on the way could have named that service.
            let known = here || is_loopback(&authority(&realm)) || transport.is_lax(&realm);
            if with_credentials && !known {
                return refuse("a registry without TLS may not send credentials to another host");
            }
        }
        _ => return refuse("the token service must speak https"),
    }
    if !realm.username().is_empty() || realm.password().is_some() {
        return refuse("the token service's URL has a user in it");
    }
    Ok(realm)
}

/// Gets a token from a token service.
async fn exchange(
    transport: &Transport,
    realm: Url,
    service: Option<&str>,
    scopes: &[String],
    login: Option<&Found>,
) -> Result<Token, What> {
    let lax = transport.is_lax(&realm);
    let call = match login.map(|found| &found.login) {
        Some(Login::Identity(token)) => {
            // The form encoding is the one of a query.
            let mut form = realm.clone();
            form.query_pairs_mut()
                .clear()
                .append_pair("grant_type", "refresh_token")
                .append_pair("service", service.unwrap_or_default())
                .append_pair("client_id", "slipway")
                .append_pair("scope", &scopes.join(" "))
                .append_pair("refresh_token", token);
            let mut call = transport.call(Method::POST, realm);
            call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            call.payload = Payload::Bytes(form.query().unwrap_or_default().to_owned().into());
            call
        }
        other => {
            let mut url = realm;
            {
                let mut query = url.query_pairs_mut();
                if let Some(service) = service {
                    query.append_pair("service", service);
                }
                for scope in scopes {
                    query.append_pair("scope", scope);
                }
            }
            let mut call = transport.call(Method::GET, url);
            if let Some(Login::Basic { username, password }) = other {
                let mut value = HeaderValue::try_from(basic(username, password))
                    .map_err(|_| What::Credentials("a name or password cannot stand in a header".into()))?;
                value.set_sensitive(true);
                call.headers.insert(AUTHORIZATION, value);
            }
            call
        }
    };
    let answer = transport.plain(lax, &call).await?;
    if !answer.status().is_success() {
        if answer.status().is_redirection() {
            let to = shown_url(answer.url());
            return Err(What::Refused { to, reason: "the token service sends us elsewhere".into() });
        }
        return Err(refused(answer).await);
    }
    let body = answer.bytes(MAX_TOKEN).await?;
    let nonsense = || What::Protocol("the token service's answer has no token".into());
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| nonsense())?;
    let value =
        answer.token.or(answer.access_token).filter(|token| !token.is_empty()).ok_or_else(nonsense)?;
    let life =
        answer.expires_in.map_or(TOKEN_LIFE, Duration::from_secs).clamp(TOKEN_LIFE, Duration::from_hours(24));
    // A tenth earlier: the request must arrive before the end, by the registry's clock.
    Ok(Token { value, until: Instant::now() + life * 9 / 10 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn token_services_are_where_they_may_be() {
        let transport =
            Transport::new(Settings { insecure: vec!["auth.lan".into()], ..Settings::default() }).unwrap();
        let table = [
            // registry, token service, with credentials, without
            ("https://r.example", "https://r.example/token", true, true),
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true, true),
            ("https://r.example", "http://r.example/token", false, false),
            ("https://r.example", "http://auth.lan/token", false, false),
            ("http://r.lan", "http://r.lan/token", true, true),
            ("http://r.lan", "http://r.lan:81/token", false, true),
            ("http://r.lan", "http://evil.example/token", false, true),
            ("http://r.lan", "https://evil.example/token", false, true),
            ("http://r.lan", "http://auth.lan/token", true, true),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true, true),
            ("https://r.example", "https://user:pass@r.example/token", false, false),
            ("https://r.example", "ftp://r.example/token", false, false),
            ("https://r.example", "/token", false, false),
        ];
        for (registry, realm, with, without) in table {
            let endpoint = Endpoint {
                origin: registry.parse().unwrap(),
                prefix: String::new(),
                name: "r".into(),
                lax: false,
                mirror_of: None,
            };
            let allowed = |credentials| check_realm(&endpoint, realm, credentials, &transport).is_ok();
            assert_eq!((allowed(true), allowed(false)), (with, without), "{registry} sends to {realm}");
        }
    }
}
