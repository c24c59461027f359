//! The chart's templates: values in, objects out.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may

mod objects;
mod render;
mod settings;
mod values;
