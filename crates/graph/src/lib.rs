//! From stages to a content-addressed graph of steps: prune, order, keys, explanation, pictures.
//!
//! Pure: what is not in the Dockerfile (base images, contents of contexts) comes in as [`facts`](crate) values.

pub mod ir;
pub mod key;
