//! An answer whose body is read with patience and limits.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Response, StatusCode, Url};

use super::failure;
use crate::error::What;

pub(crate) struct Answer {
    response: Response,
    idle: Duration,
    read: u64,
    /// Whose credentials the request had, for people.
    pub(super) whom: String,
}

impl Answer {
    pub(super) fn new(response: Response, idle: Duration) -> Self {
        Self { response, idle, read: 0, whom: String::new() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    /// Returns a header's value, where it is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Returns the next piece of the body; none at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, What> {
        let chunk = tokio::time::timeout(self.idle, self.response.chunk())
            .await
            .map_err(|_| What::Slow(self.idle))?;
        let chunk = chunk.map_err(|error| What::Cut { bytes: self.read, reason: failure::root(&error) })?;
        self.read += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(chunk)
    }

    /// Reads the whole body; more than `limit` bytes are refused, whatever the length that is announced.
    pub(crate) async fn bytes(mut self, limit: usize) -> Result<Bytes, What> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > limit {
                return Err(What::Size { expected: limit as u64, got: "more".into() });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }
}
