//! Pushing: blobs that are not there yet, then manifests.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use slipway_oci::{Descriptor, Digest, Reference};

use crate::Registry;
use crate::auth::Access;
use crate::counters::Atomics;
use crate::endpoint::Endpoint;
use crate::error::{Error, What};
use crate::transport::{Payload, refused};

mod session;
mod source;
mod stream;
pub use source::Source;

use session::Session;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// How many repositories are tried as origin of a mount.
const MAX_MOUNTS: usize = 3;

/// How a blob came to be in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry linked it from another of its repositories.
    Mounted(Reference),
    /// It was sent.
    Uploaded,
}

impl Registry {
    /// Returns true if a repository has a blob.
    pub async fn blob_exists(&self, repository: &Reference, digest: &Digest) -> Result<bool, Error> {
        let endpoint = self.transport().registry(repository).await?;
        let access = Access { repository: endpoint.repository(repository), push: false, from: None };
        self.exists(&endpoint, &access, repository, digest).await
    }

    /// Brings a blob into a repository in the cheapest way: not at all if it is there, by a mount from one of
    /// `mount_candidates` (those of the same registry), else by uploading it. An upload that is cut is taken up where the
    /// registry has it, or begun again.
    ///
    /// Tag and digest of `repository` do not matter.
    pub async fn push_blob(
        &self,
        repository: &Reference,
        descriptor: &Descriptor,
        source: &dyn Source,
        mount_candidates: &[Reference],
    ) -> Result<Pushed, Error> {
        let transport = self.transport();
        let endpoint = transport.registry(repository).await?;
        let access = push(&endpoint, repository);
        // Two builds with one layer: the second finds it there.
        let place = format!("{} {} {}", endpoint.key(), access.repository, descriptor.digest);
        let only = transport.flights.of(&place).await;
        let _only = only.lock().await;
        let _permit = transport.transfers.acquire().await;
        if self.exists(&endpoint, &access, repository, &descriptor.digest).await? {
            Atomics::add(&transport.counters.existed, 1);
            return Ok(Pushed::Existed);
        }
        let subject = format!("blob {} of {}", descriptor.digest.short(), repository.name());
        let mut open = None;
        let mut candidates: Vec<&Reference> = vec![];
        for candidate in mount_candidates {
            let foreign = candidate.registry() != repository.registry()
                || candidate.repository() == repository.repository();
            if !foreign && candidates.iter().all(|known| known.repository() != candidate.repository()) {
                candidates.push(candidate);
            }
        }
        for candidate in candidates.into_iter().take(MAX_MOUNTS) {
            match self.mount(&endpoint, &access, descriptor, candidate, &subject).await {
                Ok(None) => {
                    Atomics::add(&transport.counters.mounted, 1);
                    return Ok(Pushed::Mounted(candidate.clone()));
                }
                // The registry would not, and opened an upload instead.
                Ok(session) => {
                    if let Some(unused) = std::mem::replace(&mut open, session) {
                        unused.cancel(transport, &endpoint, &access).await;
                    }
                }
                // We may not read there, or the registry knows no mounts: not needed anyway.
                Err(error) => tracing::debug!(%error, "no mount"),
            }
        }
        self.upload(&endpoint, &access, descriptor, source, open, &subject).await?;
        Atomics::add(&transport.counters.uploaded, 1);
        Ok(Pushed::Uploaded)
    }

    /// Pushes a manifest or an index under the reference's tag, or by digest where it has none, and returns its digest.
    ///
    /// Everything that it names must be there before.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        bytes: impl Into<Bytes>,
        media_type: &str,
    ) -> Result<Digest, Error> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let transport = self.transport();
        let endpoint = transport.registry(reference).await?;
        let failed = |what| Error::new(reference.to_string(), endpoint.shown(), what);
        if let Some(expected) = reference.digest().filter(|expected| **expected != digest) {
            return Err(failed(What::Digest { expected: *expected, got: digest.to_string() }));
        }
        let media_type = HeaderValue::try_from(media_type)
            .map_err(|_| failed(What::Settings(format!("`{media_type}` is not a media type"))))?;
        let locator = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let access = push(&endpoint, reference);
        transport
            .retrying(&reference.to_string(), &endpoint, async || {
                let mut call =
                    transport.call(Method::PUT, endpoint.url(reference, &format!("manifests/{locator}"))?);
                call.headers.insert(CONTENT_TYPE, media_type.clone());
                call.payload = Payload::Bytes(bytes.clone());
                call.patience = transport.settings.timeouts.commit;
                let answer = transport.send(&endpoint, &access, &call).await?;
                if !answer.status().is_success() {
                    return Err(refused(answer).await);
                }
                let word = answer.header(&CONTENT_DIGEST).and_then(|word| word.parse::<Digest>().ok());
                match word.filter(|word| *word != digest) {
                    Some(word) => Err(What::Digest { expected: digest, got: word.to_string() }),
                    None => Ok(digest),
                }
            })
            .await
    }

    async fn exists(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        repository: &Reference,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let transport = self.transport();
        let subject = format!("blob {} of {}", digest.short(), repository.name());
        transport
            .retrying(&subject, endpoint, async || {
                let call =
                    transport.call(Method::HEAD, endpoint.url(repository, &format!("blobs/{digest}"))?);
                let answer = transport.send(endpoint, access, &call).await?;
                match answer.status() {
                    StatusCode::OK => Ok(true),
                    StatusCode::NOT_FOUND => Ok(false),
                    _ => Err(refused(answer).await),
                }
            })
            .await
    }

    /// Asks the registry to link a blob from another repository; an open upload if it would not.
    async fn mount(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        descriptor: &Descriptor,
        candidate: &Reference,
        subject: &str,
    ) -> Result<Option<Session>, Error> {
        let transport = self.transport();
        let from = endpoint.repository(candidate);
        let access = Access { from: Some(from.clone()), ..access.clone() };
        transport
            .retrying(subject, endpoint, async || {
                let mut url = endpoint.url_in(&access.repository, "blobs/uploads/")?;
                url.query_pairs_mut()
                    .append_pair("mount", &descriptor.digest.to_string())
                    .append_pair("from", &from);
                let answer = transport.send(endpoint, &access, &transport.call(Method::POST, url)).await?;
                match answer.status() {
                    StatusCode::CREATED => Ok(None),
                    StatusCode::ACCEPTED => Session::of(transport, &answer).map(Some),
                    _ => Err(refused(answer).await),
                }
            })
            .await
    }

    /// Uploads a blob; `open` is an upload that the registry has opened already.
    async fn upload(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        descriptor: &Descriptor,
        source: &dyn Source,
        mut open: Option<Session>,
        subject: &str,
    ) -> Result<(), Error> {
        let transport = self.transport();
        let mut pauses = transport.pauses(endpoint);
        loop {
            let before = open.as_ref().map_or(0, |session| session.offset);
            let what = match self.upload_once(endpoint, access, descriptor, source, &mut open).await {
                Ok(()) => return Ok(()),
                Err(what) => what,
            };
            let Some(pause) = pauses.next(&what) else {
                if let Some(session) = open {
                    session.cancel(transport, endpoint, access).await;
                }
                return Err(Error::new(subject, endpoint.shown(), what));
            };
            transport.pause(pause, &what).await;
            // What did arrive? If the registry cannot say, all of it is sent again.
            if let Some(session) = &mut open
                && session.offset_unknown
                && session.ask(transport, endpoint, access).await.is_err()
            {
                open = None;
            }
            if let Some(session) = &open {
                Atomics::add(&transport.counters.resumed, 1);
                if session.offset >= before + session::PROGRESS {
                    pauses.progressed();
                }
            }
            // The answer may be what got lost.
            let repository = &access.repository;
            let url = endpoint.url_in(repository, &format!("blobs/{}", descriptor.digest));
            if let Ok(url) = url
                && let Ok(answer) = transport.send(endpoint, access, &transport.call(Method::HEAD, url)).await
                && answer.status() == StatusCode::OK
            {
                return Ok(());
            }
        }
    }

    /// Goes on with an upload, or opens one, until it is complete or fails.
    async fn upload_once(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        descriptor: &Descriptor,
        source: &dyn Source,
        open: &mut Option<Session>,
    ) -> Result<(), What> {
        let transport = self.transport();
        let size = descriptor.size;
        let offset = open.as_ref().map_or(0, |session| session.offset);
        if offset > size {
            return Err(What::Protocol("the registry has more of the blob than there is".into()));
        }
        let whole = offset == 0 && size <= transport.settings.small_blob;
        // Before anything is opened there: what we do not have cannot be sent.
        let rest = if offset < size {
            Some(source::payload(source, offset, size - offset).map_err(What::Local)?)
        } else {
            None
        };
        let mut session = match open.take() {
            Some(session) => session,
            None => Session::open(transport, endpoint, access).await?,
        };
        if let Some(rest) = rest.as_ref().filter(|_| !whole) {
            let payload = rest.payload.clone();
            let sent = session.patch(transport, endpoint, access, payload, Some(size - offset)).await;
            if let Some(local) = rest.failure.take() {
                return Err(What::Local(local));
            }
            match sent {
                Ok(()) if session.offset < size => {
                    // Took a part only: the rest follows.
                    let what =
                        What::Cut { bytes: session.offset, reason: "the registry took a part only".into() };
                    *open = Some(session);
                    return Err(what);
                }
                Ok(()) => {}
                Err(
                    What::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, .. } | What::NotFound { .. },
                ) => {
                    // The upload is not what we think it is: begin again.
                    return Err(What::Cut {
                        bytes: session.offset,
                        reason: "the registry lost the upload".into(),
                    });
                }
                Err(what) => {
                    session.offset_unknown = true;
                    *open = Some(session);
                    return Err(what);
                }
            }
        }
        let rest = rest.filter(|_| whole);
        let payload = rest.as_ref().map_or(Payload::Empty, |rest| rest.payload.clone());
        let committed = session.commit(transport, endpoint, access, &descriptor.digest, payload).await;
        if let Some(local) = rest.and_then(|rest| rest.failure.take()) {
            return Err(What::Local(local));
        }
        match committed {
            Err(What::NotFound { .. }) => {
                Err(What::Cut { bytes: size, reason: "the registry lost the upload".into() })
            }
            Err(what) if !whole && what.is_transient() => {
                // All bytes are there: if the registry still knows them, committing again is enough.
                session.offset_unknown = true;
                *open = Some(session);
                Err(what)
            }
            other => other,
        }
    }
}

/// What a push may do.
pub(crate) fn push(endpoint: &Endpoint, reference: &Reference) -> Access {
    Access { repository: endpoint.repository(reference), push: true, from: None }
}
