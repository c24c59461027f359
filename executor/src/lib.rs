//! The build engine: runs graphs, makes images, and what build and stage pods do with it.
//!
//! - [`engine`] decides what happens, step by step; [`local`] does it in this process, [`pod`] through stage pods;
//! - [`tree`] works on file trees made of layers: copy, unpack, archive, compare;
//! - [`plan`] turns a Dockerfile and a context into a graph; [`images`] and [`fetch`] bring what is elsewhere;
//! - [`assemble`] turns finished stages into images; [`layout`] reads images that others wrote into files; [`cache`] brings
//!   results from elsewhere, and there;
//! - [`event`] is what a build says meanwhile. The library never prints.

pub mod assemble;
pub mod cache;
pub mod engine;
pub mod event;
pub mod fetch;
pub mod images;
pub mod inputs;
pub mod layout;
pub mod local;
pub mod plan;
pub mod pod;
pub mod room;
pub mod size;
pub mod tree;
