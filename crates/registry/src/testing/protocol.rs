//! The distribution protocol as the fake registry speaks it, and the faults.

use std::io;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use slipway_oci::Digest;
use tokio::net::TcpStream;

use super::http::{Connection, Request, Response};
use super::{Fault, Guard, Seen, State, lock};

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, host: &str, state: &Mutex<State>) -> io::Result<()> {
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.request().await? {
        let fault = take_fault(state, &request);
        let limit = match fault {
            Some(Fault::Close) => 0,
            Some(Fault::CutRequest(after)) => after,
            _ => usize::MAX,
        };
        let body = if limit == 0 { vec![] } else { connection.body(&request, limit).await };
        record(state, &request, body.len());
        match &fault {
            Some(Fault::Close) => return Ok(()),
            Some(Fault::CutRequest(_)) => {
                keep_part(&mut lock(state), &request, &body);
                return Ok(());
            }
            Some(Fault::RevokeTokens) => lock(state).tokens.clear(),
            Some(Fault::ForgetUpload) => lock(state).uploads.clear(),
            _ => {}
        }
        let mut response = match &fault {
            Some(Fault::Status(status, headers, text)) => {
                let mut response = Response::new(*status).body(text.clone());
                response.headers.clone_from(headers);
                response
            }
            Some(Fault::Redirect(to)) => {
                Response::new(307).with("Location", format!("{to}{}", request.target))
            }
            _ => {
                let ignore_range = matches!(fault, Some(Fault::IgnoreRange));
                answer(&mut lock(state), host, &request, &body, ignore_range)
            }
        };
        match &fault {
            Some(Fault::LoseAnswer) => return Ok(()),
            Some(Fault::Corrupt) => {
                if let Some(byte) = response.body.first_mut() {
                    *byte ^= 1;
                }
            }
            Some(Fault::Body(other)) => response.body.clone_from(other),
            Some(Fault::Header(name, value)) => response.set(name, value),
            _ => {}
        }
        connection.head(&response, response.body.len()).await?;
        if request.method == "HEAD" {
            continue;
        }
        match fault {
            Some(Fault::CutAnswer(after)) => {
                return connection.send(&response.body[..after.min(response.body.len())]).await;
            }
            Some(Fault::Stall(after, pause)) => {
                connection.send(&response.body[..after.min(response.body.len())]).await?;
                tokio::time::sleep(pause).await;
                return Ok(());
            }
            Some(Fault::Trickle(pause)) => {
                for byte in &response.body {
                    connection.send(&[*byte]).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            _ => connection.send(&response.body).await?,
        }
    }
    Ok(())
}

fn take_fault(state: &Mutex<State>, request: &Request) -> Option<Fault> {
    let mut state = lock(state);
    let rule = state.rules.iter_mut().find(|rule| {
        rule.times > 0
            && request.path() != "/v2/"
            && (rule.method.is_empty() || rule.method == request.method)
            && request.target.contains(&rule.path)
    })?;
    rule.times -= 1;
    Some(rule.fault.clone())
}

fn record(state: &Mutex<State>, request: &Request, body: usize) {
    if request.path() != "/v2/" {
        let text = |name: &str| request.header(name).map(str::to_owned);
        lock(state).seen.push(Seen {
            method: request.method.clone(),
            path: request.target.clone(),
            authorization: text("authorization"),
            body,
            range: text("content-range").or_else(|| text("range")),
        });
    }
}

/// Adds what came of a cut body to its upload.
fn keep_part(state: &mut State, request: &Request, body: &[u8]) {
    let id = request.path().rsplit('/').next().unwrap_or_default();
    if let Some(upload) = state.uploads.get_mut(id) {
        upload.extend_from_slice(body);
    }
}

fn answer(state: &mut State, host: &str, request: &Request, body: &[u8], ignore_range: bool) -> Response {
    let path = request.path().to_owned();
    if path == "/token" {
        return token(state, request, body);
    }
    if path == "/v2/" {
        return Response::new(200);
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return Response::new(404) };
    if let Some(refusal) = refuse(state, host, request) {
        return refusal;
    }
    if let Some((repository, key)) = rest.split_once("/manifests/") {
        return manifest(state, request, repository, key, body);
    }
    if let Some((repository, id)) = rest.split_once("/blobs/uploads/") {
        return upload(state, request, repository, id, body);
    }
    if let Some((repository, digest)) = rest.split_once("/blobs/") {
        return blob(state, request, repository, digest, ignore_range);
    }
    Response::new(404)
}

fn error(status: u16, code: &str, message: &str) -> Response {
    Response::new(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#))
}

/// Returns the refusal of whoever lacks what the guard wants.
fn refuse(state: &State, host: &str, request: &Request) -> Option<Response> {
    let header = request.header("authorization").unwrap_or_default();
    let writes = !matches!(request.method.as_str(), "GET" | "HEAD");
    match &state.guard {
        Guard::Open => None,
        Guard::Basic(username, password) => (header != basic(username, password)).then(|| {
            error(401, "UNAUTHORIZED", "authentication required")
                .with("WWW-Authenticate", r#"Basic realm="fake""#)
        }),
        Guard::Token { realm, .. } => {
            let granted = header.strip_prefix("Bearer ").and_then(|token| state.tokens.get(token));
            let repository = request.path().trim_start_matches("/v2/");
            let repository =
                repository.split("/blobs/").next().and_then(|path| path.split("/manifests/").next());
            let wanted = format!("repository:{}:", repository.unwrap_or_default());
            let fits = granted.is_some_and(|scopes| {
                scopes
                    .split(' ')
                    .any(|scope| scope.starts_with(&wanted) && (!writes || scope.contains("push")))
            });
            let realm = realm.clone().unwrap_or_else(|| format!("http://{host}/token"));
            let challenge = format!(r#"Bearer realm="{realm}",service="fake""#);
            (!fits).then(|| {
                error(401, "UNAUTHORIZED", "a token is required").with("WWW-Authenticate", challenge)
            })
        }
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

fn token(state: &mut State, request: &Request, body: &[u8]) -> Response {
    let Guard::Token { username, password, .. } = &state.guard else { return Response::new(404) };
    let header = request.header("authorization");
    let form: reqwest::Url = match format!("http://x/?{}", String::from_utf8_lossy(body)).parse() {
        Ok(form) => form,
        Err(_) => return Response::new(400),
    };
    let field =
        |name: &str| form.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let known =
        header == Some(&basic(username, password)) || field("refresh_token").as_ref() == Some(password);
    if (header.is_some() || request.method == "POST") && !known {
        return error(401, "UNAUTHORIZED", "wrong password");
    }
    let url: reqwest::Url = match format!("http://x{}", request.target).parse() {
        Ok(url) => url,
        Err(_) => return Response::new(400),
    };
    let scopes: Vec<String> =
        url.query_pairs().filter(|(key, _)| key == "scope").map(|(_, scope)| scope.into()).collect();
    let scopes = field("scope").unwrap_or_else(|| scopes.join(" "));
    let granted = if known { scopes } else { scopes.replace(",push", "") };
    state.next += 1;
    let token = format!("token-{}", state.next);
    state.tokens.insert(token.clone(), granted);
    Response::new(200).body(format!(r#"{{"token":"{token}","expires_in":300}}"#))
}

fn manifest(state: &mut State, request: &Request, repository: &str, key: &str, body: &[u8]) -> Response {
    if request.method == "PUT" {
        let digest = Digest::of(body).to_string();
        let media_type = request.header("content-type").unwrap_or_default().to_owned();
        for key in [key.to_owned(), digest.clone()] {
            state.manifests.insert((repository.to_owned(), key), (media_type.clone(), body.to_vec()));
        }
        return Response::new(201).with("Docker-Content-Digest", digest);
    }
    match state.manifests.get(&(repository.to_owned(), key.to_owned())) {
        Some((media_type, bytes)) => Response::new(200)
            .with("Content-Type", media_type)
            .with("Docker-Content-Digest", Digest::of(bytes))
            .body(bytes.clone()),
        None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

fn blob(state: &State, request: &Request, repository: &str, digest: &str, ignore_range: bool) -> Response {
    let Some(bytes) = state.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
        return error(404, "BLOB_UNKNOWN", "blob unknown");
    };
    let range = request.header("range").filter(|_| !ignore_range);
    let start =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match start {
        Some(start) if start >= bytes.len() => Response::new(416),
        Some(start) => Response::new(206)
            .with("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[start..]),
        None => Response::new(200).body(bytes.clone()),
    }
}

fn upload(state: &mut State, request: &Request, repository: &str, id: &str, body: &[u8]) -> Response {
    let location = |id: &str| format!("/v2/{repository}/blobs/uploads/{id}?state=opaque");
    if request.method == "POST" {
        if let (Some(digest), Some(from)) = (request.query("mount"), request.query("from"))
            && let Some(bytes) = state.blobs.get(&(from, digest.clone())).cloned()
        {
            state.blobs.insert((repository.to_owned(), digest), bytes);
            return Response::new(201);
        }
        state.next += 1;
        let id = format!("upload-{}", state.next);
        state.uploads.insert(id.clone(), vec![]);
        return Response::new(202).with("Location", location(&id)).with("Range", "0-0");
    }
    let Some(upload) = state.uploads.get_mut(id) else {
        return error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown");
    };
    let range = |upload: &[u8]| format!("0-{}", upload.len().saturating_sub(1));
    match request.method.as_str() {
        "PATCH" => {
            let start = request
                .header("content-range")
                .and_then(|range| range.split('-').next()?.parse::<usize>().ok());
            if start.is_some_and(|start| start != upload.len()) {
                return Response::new(416).with("Range", range(upload));
            }
            upload.extend_from_slice(body);
            Response::new(202).with("Range", range(upload)).with("Location", location(id))
        }
        "PUT" => {
            let mut all = upload.clone();
            all.extend_from_slice(body);
            state.uploads.remove(id);
            let digest = Digest::of(&all).to_string();
            if request.query("digest") != Some(digest.clone()) {
                return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
            }
            state.blobs.insert((repository.to_owned(), digest), all);
            Response::new(201)
        }
        "DELETE" => {
            state.uploads.remove(id);
            Response::new(204)
        }
        _ => Response::new(204).with("Range", range(upload)).with("Location", location(id)),
    }
}
