//! What several test programs need.

use slipway_oci::archive::{Entry, Kind, Writer};
use slipway_oci::compress::{Compression, LayerWriter};
use slipway_oci::media::Flavour;
use slipway_oci::{Descriptor, Digest, ImageConfig, Manifest, Platform};

/// An image at hand.
pub(crate) struct Image {
    pub(crate) manifest: Manifest,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<(Descriptor, Vec<u8>)>,
}

/// Bytes that do not compress, the same on every run.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}

/// Makes an image with a small layer of each kind and a large one.
pub(crate) fn image(flavour: Flavour, large: usize) -> Image {
    let mut config = ImageConfig {
        architecture: Platform::host().architecture,
        os: "linux".into(),
        created: Some("2024-01-01T00:00:00Z".into()),
        ..ImageConfig::default()
    };
    config.config.env = vec!["PATH=/bin".into()];
    let mut layers = vec![];
    let packing = |other| if flavour == Flavour::Oci { other } else { Compression::GZIP };
    for (name, size, compression) in [
        ("small", 100, Compression::GZIP),
        ("plain", 5000, packing(Compression::None)),
        ("large", large, packing(Compression::ZSTD)),
    ] {
        let content = noise(size, size as u64);
        let mut tar = Writer::new(LayerWriter::new(vec![], compression, 2));
        tar.append(&Entry::new("dir", Kind::Directory, 0o755)).unwrap();
        let file = Entry::new(format!("dir/{name}"), Kind::File { size: size as u64 }, 0o644);
        tar.append_file(&file, &mut &content[..]).unwrap();
        let (blob, digests) = tar.finish().unwrap().finish().unwrap();
        config.rootfs.diff_ids.push(digests.diff_id);
        layers
            .push((Descriptor::new(flavour.layer(compression.format()), digests.digest, digests.size), blob));
    }
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = Manifest::new(
        flavour,
        Descriptor::of(flavour.config(), &config),
        layers.iter().map(|(descriptor, _)| descriptor.clone()).collect(),
    );
    Image { manifest, config, layers }
}

impl Image {
    /// Returns configuration and layers.
    pub(crate) fn blobs(&self) -> Vec<(Descriptor, Vec<u8>)> {
        let config = (self.manifest.config.clone(), self.config.clone());
        std::iter::once(config).chain(self.layers.clone()).collect()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.manifest.to_bytes())
    }
}
