//! Downloads: a blob in the store, asked for again only when the server says that it changed.

use std::io::Write;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use slipway_oci::Digest;
use slipway_store::Store;

use super::{FetchError, trust};

/// A download in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// The blob.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// What the server calls this version.
    pub etag: Option<String>,
    /// When it changed last, as the server writes it.
    pub last_modified: Option<String>,
}

impl Download {
    /// Returns when it changed last in unix seconds; 0 where the server does not say.
    pub fn modified(&self) -> i64 {
        let text = self.last_modified.as_deref().unwrap_or_default();
        jiff::fmt::rfc2822::parse(text).map_or(0, |time| time.timestamp().as_second())
    }
}

/// How often a download is tried.
const TRIES: u32 = 4;

/// Downloads an address into the store, or finds that it is there already.
pub async fn fetch(
    store: &Store,
    url: &str,
    checksum: Option<&str>,
    headers: &HeaderMap,
) -> Result<Download, FetchError> {
    let memo = format!("download\n{url}");
    let known: Option<Download> = store.memo(&memo);
    let known = known.filter(|known| store.hold_blob(&known.digest).unwrap_or(false));
    let expected = checksum.map(|text| expected(url, text)).transpose()?;
    if let Some(known) = &known
        && expected == Some(known.digest)
    {
        return Ok(known.clone());
    }
    let mut pause = Duration::from_millis(300);
    let mut tries = 1;
    let found = loop {
        match attempt(store, url, headers, known.as_ref()).await {
            Err(error) if error.is_retryable() && tries < TRIES => {
                tracing::warn!(%error, "trying again");
                tokio::time::sleep(pause).await;
                pause *= 3;
                tries += 1;
            }
            other => break other?,
        }
    };
    if let Some(expected) = expected.filter(|expected| *expected != found.digest) {
        let (expected, actual) = (expected.to_string(), found.digest.to_string());
        return Err(FetchError::Checksum { url: url.to_owned(), expected, actual });
    }
    store.put_memo(&memo, &found).map_err(|source| FetchError::Store { url: url.to_owned(), source })?;
    Ok(found)
}

fn expected(url: &str, text: &str) -> Result<Digest, FetchError> {
    let wrong = |_| FetchError::Address {
        url: url.to_owned(),
        reason: format!("`{text}` is not a checksum of the form sha256:<64 hex digits>"),
    };
    text.parse().map_err(wrong)
}

async fn attempt(
    store: &Store,
    url: &str,
    headers: &HeaderMap,
    known: Option<&Download>,
) -> Result<Download, FetchError> {
    let transport =
        |source: reqwest::Error| FetchError::Transport { url: url.to_owned(), source: source.without_url() };
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_mins(1))
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .tls_certs_merge(trust::certificates())
        .build()
        .map_err(transport)?;
    let mut request = client.get(url).headers(headers.clone());
    if let Some(known) = known {
        if let Some(etag) = &known.etag {
            request = request.header(IF_NONE_MATCH, etag);
        } else if let Some(modified) = &known.last_modified {
            request = request.header(IF_MODIFIED_SINCE, modified);
        }
    }
    let mut answer = request.send().await.map_err(transport)?;
    let status = answer.status();
    if let Some(known) = known.filter(|_| status.as_u16() == 304) {
        return Ok(known.clone());
    }
    if !status.is_success() {
        let hint = match status.as_u16() {
            401 | 403 => {
                ": it wants credentials (a secret named HTTP_AUTH_TOKEN_<host> or HTTP_AUTH_HEADER_<host>)"
            }
            404 => ": there is nothing at this address",
            _ => "",
        };
        return Err(FetchError::Status { url: url.to_owned(), status: status.as_u16(), hint });
    }
    let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let (etag, last_modified) = (text(ETAG), text(LAST_MODIFIED));
    let in_store = |source| FetchError::Store { url: url.to_owned(), source };
    let mut writer = store.blob_writer().map_err(in_store)?;
    while let Some(chunk) = answer.chunk().await.map_err(transport)? {
        writer.write_all(&chunk).map_err(|source| FetchError::Io { url: url.to_owned(), source })?;
    }
    let (digest, size) = writer.finish(None).map_err(in_store)?;
    store.hold_blob(&digest).map_err(in_store)?;
    Ok(Download { digest, size, etag, last_modified })
}

/// Returns the name of the file that `ADD` makes of an address: the last part of its path.
pub fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let path = path.trim_end_matches('/');
    match path.split_once('/').map(|(_, path)| path.rsplit('/').next().unwrap_or_default()) {
        Some(name) if !name.is_empty() && name != "." && name != ".." => name.to_owned(),
        _ => "__unnamed__".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named_by_the_path() {
        for (url, name) in [
            ("https://h/a/b.tar.gz", "b.tar.gz"),
            ("https://h/a/b?x=/y", "b"),
            ("https://h/a/b/", "b"),
            ("https://h/", "__unnamed__"),
            ("https://h", "__unnamed__"),
            ("https://h/a/..", "__unnamed__"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }

    #[test]
    fn the_time_of_the_last_change_is_read() {
        let mut download = Download { digest: Digest::of(""), size: 0, etag: None, last_modified: None };
        assert_eq!(download.modified(), 0);
        download.last_modified = Some("Wed, 21 Oct 2015 07:28:00 GMT".into());
        assert_eq!(download.modified(), 1_445_412_480);
    }
}
