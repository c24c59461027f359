//! Manifests, indexes, configurations and references: whatever is accepted is accepted again in the form that we write.
#![no_main]

use slipway_oci::manifest::{self, Document};
use slipway_oci::{Platform, Reference};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The first byte chooses what the server calls it.
    let Some((kind, bytes)) = data.split_first() else { return };
    let types = [
        None,
        Some("application/vnd.oci.image.manifest.v1+json"),
        Some("application/vnd.oci.image.index.v1+json"),
        Some("application/vnd.docker.distribution.manifest.v2+json"),
        Some("text/html"),
    ];
    let content_type = types[usize::from(*kind) % types.len()];
    match manifest::read(bytes, content_type) {
        Ok(Document::Manifest(read)) => {
            let written = read.to_bytes();
            let again = manifest::read(&written, Some(read.content_type())).expect("what we wrote is refused");
            let Document::Manifest(again) = again else { panic!("a manifest became an index") };
            assert_eq!(again.to_bytes(), written);
            assert_eq!(again.layers, read.layers);
        }
        Ok(Document::Index(read)) => {
            let written = read.to_bytes();
            let again = manifest::read(&written, Some(read.content_type())).expect("what we wrote is refused");
            let Document::Index(again) = again else { panic!("an index became a manifest") };
            assert_eq!(again.to_bytes(), written);
            let _ = manifest::select(&again, &Platform::host());
        }
        Err(error) => drop(error.to_string()),
    }
    if let Ok(config) = manifest::read_config(bytes) {
        let _ = format!("{config:?}");
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(reference) = text.parse::<Reference>()
    {
        let again: Reference = reference.to_string().parse().expect("what we wrote is refused");
        assert_eq!(again, reference);
    }
});
