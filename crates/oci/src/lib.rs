//! Image formats: digests, references, manifests, configurations, layer archives, compression.
//!
//! Pure: works on values, `Read` and `Write`; opens no file and no socket.
//!
//! What to use for what:
//!
//! - [`Reference`] reads `debian:12` as Docker does; [`Digest`] and [`digest::Hasher`] name content.
//! - [`manifest::read`] reads what a registry answers (an image or an index), [`manifest::select`] picks a platform,
//!   [`Manifest::new`](manifest::Manifest::new) and [`Index::new`](manifest::Index::new) make documents to push.
//!   Media types are in [`media`]; [`media::Flavour`] chooses OCI's or Docker's.
//! - A layer is written by [`archive::Writer`] into a [`compress::LayerWriter`], which compresses on several threads and
//!   returns diff_id, blob digest and both sizes:
//!
//!   ```
//!   use slipway_oci::archive::{Entry, Kind, Writer};
//!   use slipway_oci::compress::{Compression, LayerWriter};
//!   # fn main() -> Result<(), Box<dyn std::error::Error>> {
//!   # let blob_file = Vec::new();
//!   let mut tar = Writer::new(LayerWriter::new(blob_file, Compression::GZIP, 2));
//!   tar.append(&Entry::new("etc", Kind::Directory, 0o755))?;
//!   tar.append_file(&Entry::new("etc/motd", Kind::File { size: 3 }, 0o644), &mut &b"hi\n"[..])?;
//!   let (_blob_file, digests) = tar.finish()?.finish()?;
//!   assert_eq!(digests.diff_size, 2560);
//!   # Ok(()) }
//!   ```
//! - A layer is read by [`archive::Reader`] out of a [`compress::Decoder`], which tells the packing by the bytes:
//!   `Reader::new(Decoder::new(blob, limits)?, limits)`. [`archive::Whiteout::of`] reads whiteouts. Paths come cleaned
//!   (relative, no `..`), link targets of symbolic links do not: whoever makes files resolves below a root.

pub mod archive;
pub mod compress;
pub mod config;
pub mod digest;
pub mod manifest;
pub mod media;
pub mod platform;
pub mod reference;

pub use config::{ContainerConfig, History, ImageConfig};
pub use digest::Digest;
pub use manifest::{Descriptor, Index, Manifest};
pub use platform::Platform;
pub use reference::Reference;
