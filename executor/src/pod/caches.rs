//! The caches of a request: what `plan` imports and `conduct` exports.

use slipway_oci::Reference;
use slipway_oci::compress::Compression;
use slipway_protocol::report::Failure;
use slipway_protocol::request::BuildRequest;

use crate::cache::Mode;
use crate::cache::export::{CacheTo, Target};
use crate::cache::import::CacheFrom;
use crate::engine::Cause;

fn wrong(field: &str, at: usize, error: &dyn std::error::Error) -> Box<Failure> {
    let message = format!("spec.cache.{field}[{at}]: {}", Cause::text(error));
    Box::new(Failure { reason: "SpecInvalid".into(), message, ..Failure::default() })
}

/// Returns the caches to read.
pub(super) fn from(request: &BuildRequest) -> Result<Vec<CacheFrom>, Box<Failure>> {
    let read = |(at, text): (usize, &String)| {
        text.parse::<Reference>().map(CacheFrom::Registry).map_err(|error| wrong("from", at, &error))
    };
    request.cache_from.iter().enumerate().map(read).collect()
}

/// Returns the caches to write.
pub(super) fn to(request: &BuildRequest) -> Result<Vec<CacheTo>, Box<Failure>> {
    let mut caches = Vec::new();
    for (at, wanted) in request.cache_to.iter().enumerate() {
        let reference: Reference = wanted
            .reference
            .parse()
            .map_err(|error: slipway_oci::reference::InvalidReference| wrong("to", at, &error))?;
        let mut cache = CacheTo::new(Target::Registry(reference));
        cache.mode = if wanted.max { Mode::Max } else { Mode::Min };
        cache.ignore_error = wanted.ignore_error;
        if !wanted.compression.is_empty() {
            let parsed = Compression::parse(&wanted.compression, None);
            cache.compression = Some(parsed.map_err(|error| wrong("to", at, &error))?);
        }
        caches.push(cache);
    }
    Ok(caches)
}
