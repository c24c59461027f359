//! Image formats: digests, references, manifests, configurations, layer archives, compression.
//!
//! Pure: works on values, `Read` and `Write`; opens no file and no socket.

pub mod config;
pub mod digest;
pub mod platform;

pub use config::{ContainerConfig, History, ImageConfig};
pub use digest::Digest;
pub use platform::Platform;
