//! Media types of manifests, configurations and layers, in OCI's and in Docker's words.

use crate::compress::Format;

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The empty JSON object, as artifacts without a configuration use it.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// An uncompressed OCI layer; `+gzip` and `+zstd` say how it is compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A Docker schema 2 image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A Docker layer; `.gzip` says that it is compressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's first manifest format, signed. Not supported: registries and engines dropped it.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// What a manifest request says that it accepts, best first.
pub const ACCEPT_MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Whose media types an image is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// OCI image-spec.
    #[default]
    Oci,
    /// Docker schema 2.
    Docker,
}

impl Flavour {
    /// Returns the media type of a manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// Returns the media type of an index.
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => OCI_INDEX,
            Self::Docker => DOCKER_LIST,
        }
    }

    /// Returns the media type of a configuration.
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// Returns the media type of a layer. Docker's types know no zstd; the name that engines agreed on is used.
    pub fn layer(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Oci, Format::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Oci, Format::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Self::Oci, _) => OCI_LAYER,
            (Self::Docker, Format::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Self::Docker, Format::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
            (Self::Docker, _) => DOCKER_LAYER,
        }
    }
}

/// Returns true for the media types of image manifests.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// Returns true for the media types of indexes.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Returns true for the media types of image configurations.
pub fn is_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// Returns true for layers that the registry may not hold, only name (Windows base layers).
pub fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// Returns how a layer is compressed by its media type; none where it is no layer's media type.
///
/// A registry's word is a hint; [`crate::compress::Decoder`] goes by the bytes.
pub fn layer_format(media_type: &str) -> Option<Format> {
    let plain = media_type.replace(".nondistributable", "").replace(".foreign", "");
    [Flavour::Oci, Flavour::Docker]
        .into_iter()
        .flat_map(|flavour| {
            [Format::None, Format::Gzip, Format::Zstd].map(|format| (flavour.layer(format), format))
        })
        .find_map(|(name, format)| (name == plain).then_some(format))
}

/// Returns the same layer type in another flavour, so that one manifest does not mix both; none where it is no layer's.
pub fn convert_layer(media_type: &str, flavour: Flavour) -> Option<&'static str> {
    layer_format(media_type).map(|format| flavour.layer(format))
}
