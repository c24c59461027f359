//! An upload that a registry has opened: where its next byte goes and how far it is.

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, StatusCode, Url};
use slipway_oci::Digest;

use crate::auth::Access;
use crate::endpoint::Endpoint;
use crate::error::What;
use crate::transport::{Answer, Payload, Transport, refused};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Progress that earns another attempt.
pub(super) const PROGRESS: u64 = 64 << 10;

/// An upload.
pub(super) struct Session {
    url: Url,
    /// How many bytes the registry has.
    pub(super) offset: u64,
    /// A request failed: the registry must be asked how many.
    pub(super) offset_unknown: bool,
}

impl Session {
    /// Opens an upload.
    pub(super) async fn open(
        transport: &Transport,
        endpoint: &Endpoint,
        access: &Access,
    ) -> Result<Self, What> {
        let url = endpoint.url_in(&access.repository, "blobs/uploads/")?;
        let mut call = transport.call(Method::POST, url);
        call.payload = Payload::Bytes(Bytes::new());
        let answer = transport.send(endpoint, access, &call).await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(refused(answer).await);
        }
        Self::of(transport, &answer)
    }

    /// Reads an upload out of the answer that opened it.
    pub(super) fn of(transport: &Transport, answer: &Answer) -> Result<Self, What> {
        Ok(Self { url: next(transport, answer)?, offset: 0, offset_unknown: false })
    }

    /// Sends bytes; `length` is how many, where that is known. Takes over how many the registry has now.
    pub(super) async fn patch(
        &mut self,
        transport: &Transport,
        endpoint: &Endpoint,
        access: &Access,
        payload: Payload,
        length: Option<u64>,
    ) -> Result<(), What> {
        let mut call = transport.call(Method::PATCH, self.url.clone());
        call.headers.insert(CONTENT_TYPE, OCTETS);
        call.patience = transport.settings.timeouts.commit;
        // A range is given only where it says something: several registries do not know it on a first, whole request.
        if let Some(length) = length.filter(|_| self.offset > 0) {
            let range = format!("{}-{}", self.offset, self.offset + length.max(1) - 1);
            call.headers.insert(
                CONTENT_RANGE,
                HeaderValue::try_from(range).map_err(|_| What::Protocol("range".into()))?,
            );
        }
        call.payload = payload;
        let answer = transport.send(endpoint, access, &call).await?;
        if !matches!(answer.status(), StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::CREATED) {
            return Err(refused(answer).await);
        }
        if answer.header(&LOCATION).is_some() {
            self.url = next(transport, &answer)?;
        }
        match (read_range(&answer), length) {
            (Some(offset), _) => self.offset = offset,
            (None, Some(length)) => self.offset += length,
            (None, None) => self.offset_unknown = true,
        }
        Ok(())
    }

    /// Asks how many bytes the registry has.
    pub(super) async fn ask(
        &mut self,
        transport: &Transport,
        endpoint: &Endpoint,
        access: &Access,
    ) -> Result<(), What> {
        let call = transport.call(Method::GET, self.url.clone());
        let answer = transport.send(endpoint, access, &call).await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        if answer.header(&LOCATION).is_some() {
            self.url = next(transport, &answer)?;
        }
        self.offset =
            read_range(&answer).ok_or_else(|| What::Protocol("it does not say what it has".into()))?;
        self.offset_unknown = false;
        Ok(())
    }

    /// Completes the upload, with the whole blob if nothing was sent before.
    pub(super) async fn commit(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        access: &Access,
        digest: &Digest,
        payload: Payload,
    ) -> Result<(), What> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut call = transport.call(Method::PUT, url);
        call.headers.insert(CONTENT_TYPE, OCTETS);
        call.patience = transport.settings.timeouts.commit;
        call.payload = match payload {
            Payload::Empty => Payload::Bytes(Bytes::new()),
            other => other,
        };
        let answer = transport.send(endpoint, access, &call).await?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(refused(answer).await),
        }
    }

    /// Gives the upload up, so that the registry need not keep it until it times out.
    pub(super) async fn cancel(self, transport: &Transport, endpoint: &Endpoint, access: &Access) {
        let call = transport.call(Method::DELETE, self.url);
        if let Err(what) = transport.send(endpoint, access, &call).await {
            tracing::debug!(%what, "an upload could not be given up");
        }
    }
}

/// Returns where an upload goes on.
fn next(transport: &Transport, answer: &Answer) -> Result<Url, What> {
    let location = answer
        .header(&LOCATION)
        .ok_or_else(|| What::Protocol("it does not say where the upload goes on".into()))?;
    transport.allowed(answer.url(), location)
}

/// Reads how many bytes a registry has: `Range: 0-99` is 100, and `0-0` is none to some and one to others.
fn read_range(answer: &Answer) -> Option<u64> {
    let range = answer.header(&RANGE)?;
    let (_, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}
