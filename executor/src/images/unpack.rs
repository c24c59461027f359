//! Unpacked layers of an image: found in the store, or fetched and unpacked, all of them at once.
//!
//! A layer is unpacked alone where that is possible, and named by its content, so images share it. One that leaves out
//! parent directories, or links to files below, is unpacked over the layers below and named by its chain.

use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use slipway_graph::ir::ImageId;
use slipway_oci::archive::{Limits, Reader};
use slipway_oci::compress::Decoder;
use slipway_oci::digest::Hasher;
use slipway_oci::{Descriptor, Digest, Reference};
use slipway_store::{Flight, LayerId, LayerMeta, Record};

use super::{PulledImages, open};
use crate::engine::Cause;
use crate::local::tree_cause;
use crate::tree::LayerStack;
use crate::tree::Time;
use crate::tree::unpack::{self, Options, Unpacked};

/// How long to wait for another process that fetches the same layer.
pub(super) const FLIGHT_LIMIT: Duration = Duration::from_hours(1);

/// Returns the layers of an image, lowest first.
pub(super) fn layers(images: &PulledImages<'_>, image: ImageId) -> Result<Vec<LayerId>, Cause> {
    let missing = || Cause::Infrastructure(format!("the graph has no image {}", image.0));
    let config = &images.graph.images.get(image.0).ok_or_else(missing)?.config;
    let diff_ids = &config.rootfs.diff_ids;
    let chains = chain_ids(diff_ids);
    let known = |at: usize| -> Result<Option<LayerId>, Cause> {
        for id in [LayerId::diff(diff_ids[at]), LayerId::chain(chains[at])] {
            if images.store.hold_layer(&id)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    };
    let mut found: Vec<Option<LayerId>> = (0..diff_ids.len()).map(known).collect::<Result<_, _>>()?;
    if found.iter().all(Option::is_some) {
        return Ok(found.into_iter().flatten().collect());
    }
    let manifest = images.manifest(image)?;
    manifest.check_config(config).map_err(|error| Cause::Image(Cause::text(&error)))?;
    let reference = images.reference(image)?;
    let alone: Vec<Option<Result<Option<LayerId>, Cause>>> = thread::scope(|scope| {
        let begun: Vec<_> = found
            .iter()
            .enumerate()
            .map(|(at, known)| {
                let (reference, layer, diff_id) = (&reference, &manifest.layers[at], diff_ids[at]);
                known.is_none().then(|| scope.spawn(move || once(images, reference, layer, diff_id)))
            })
            .collect();
        begun
            .into_iter()
            .map(|thread| thread.map(|thread| thread.join().unwrap_or_else(|_| Err(panicked()))))
            .collect()
    });
    for (at, result) in alone.into_iter().enumerate() {
        let Some(result) = result else { continue };
        found[at] = if let Some(layer) = result? {
            Some(layer)
        } else {
            let below: Vec<LayerId> = found[..at].iter().flatten().copied().collect();
            let id = LayerId::chain(chains[at]);
            from_blob(images, &reference, &manifest.layers[at], |blob| {
                over(images, blob, diff_ids[at], &below, id)
            })?;
            Some(id)
        };
    }
    Ok(found.into_iter().flatten().collect())
}

fn panicked() -> Cause {
    Cause::Infrastructure("unpacking a layer failed without a word".to_owned())
}

/// Returns the chain ids of layers, as the image specification defines them.
fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chains.push(match chains.last() {
            None => *diff_id,
            Some(below) => Digest::of(format!("{below} {diff_id}")),
        });
    }
    chains
}

/// Fetches and unpacks a layer alone, unless another build does it: then waits. None: it cannot be unpacked alone.
fn once(
    images: &PulledImages<'_>,
    reference: &Reference,
    layer: &Descriptor,
    diff_id: Digest,
) -> Result<Option<LayerId>, Cause> {
    let id = LayerId::diff(diff_id);
    let key = Digest::of(format!("unpacked layer\n{diff_id}"));
    let flight = images.store.wait(&key, FLIGHT_LIMIT, &|| false)?;
    if images.store.hold_layer(&id)? {
        return Ok(Some(id));
    }
    let unpacked = from_blob(images, reference, layer, |blob| alone(images, blob, diff_id, id))?;
    if matches!(flight, Flight::Mine(_)) && unpacked {
        let record = Record {
            layer: Some(id),
            created: Timestamp::now(),
            seconds: 0.0,
            size: layer.size,
            parts: vec![],
            made: None,
            content: None,
        };
        images.store.put_record(&key, &record)?;
    }
    Ok(unpacked.then_some(id))
}

/// Works on a layer's blob. Where that fails since the store's copy is damaged, it is fetched again.
fn from_blob<T>(
    images: &PulledImages<'_>,
    reference: &Reference,
    layer: &Descriptor,
    work: impl Fn(&Path) -> Result<T, Cause>,
) -> Result<T, Cause> {
    match work(&images.blob(reference, layer)?) {
        Err(cause @ (Cause::Full { .. } | Cause::Cancelled)) => Err(cause),
        Err(_) if !images.store.check_blob(&layer.digest)? => work(&images.blob(reference, layer)?),
        other => other,
    }
}

/// Unpacks a layer without anything below. False: that is not possible.
pub(super) fn alone(
    images: &PulledImages<'_>,
    blob: &Path,
    diff_id: Digest,
    id: LayerId,
) -> Result<bool, Cause> {
    let writer = images.store.layer_writer(&id)?;
    match unpack(blob, writer.fs(), &LayerStack::empty(), diff_id) {
        Ok(unpacked) if unpacked.needs_base => Ok(false),
        Ok(unpacked) => {
            writer.commit(meta(&unpacked, diff_id))?;
            images.store.hold_layer(&id)?;
            Ok(true)
        }
        // A link into a layer below fails alone; what fails for another reason fails again, and is reported then.
        Err(Cause::Instruction(_)) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Unpacks a layer over those below it.
pub(super) fn over(
    images: &PulledImages<'_>,
    blob: &Path,
    diff_id: Digest,
    below: &[LayerId],
    id: LayerId,
) -> Result<(), Cause> {
    let paths = below.iter().rev().map(|layer| images.store.layer_path(layer));
    let base = LayerStack::open(paths).map_err(tree_cause)?;
    let writer = images.store.layer_writer(&id)?;
    let unpacked = unpack(blob, writer.fs(), &base, diff_id)?;
    writer.commit(meta(&unpacked, diff_id))?;
    images.store.hold_layer(&id)?;
    Ok(())
}

fn meta(unpacked: &Unpacked, diff_id: Digest) -> LayerMeta {
    LayerMeta { size: unpacked.bytes, entries: unpacked.entries, diff_id: Some(diff_id) }
}

/// Unpacks a blob, and checks that it is the layer that the configuration promises.
fn unpack(blob: &Path, into: &Path, base: &LayerStack, diff_id: Digest) -> Result<Unpacked, Cause> {
    let limits = Limits::default();
    let broken = |error: io::Error| Cause::Image(format!("a layer cannot be unpacked: {error}"));
    let decoder = Decoder::new(open(blob)?, limits).map_err(broken)?;
    let reader = Reader::new(Hashing { inner: decoder, hash: Hasher::new() }, limits);
    let options = Options { limits, owner: None, whiteouts: true, now: Time::now() };
    let (unpacked, rest) = unpack::layer(reader, into, base, &options).map_err(tree_cause)?;
    let actual = rest.hash.finish();
    if actual != diff_id {
        return Err(Cause::Image(format!(
            "a layer unpacks to {actual}, not to {diff_id} as the image's configuration says"
        )));
    }
    Ok(unpacked)
}

/// Digests what is read through it.
struct Hashing<R> {
    inner: R,
    hash: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_follow_the_image_specification() {
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let chains = chain_ids(&[a, b]);
        assert_eq!(chains, [a, Digest::of(format!("{a} {b}"))]);
    }
}
