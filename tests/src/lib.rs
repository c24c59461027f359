//! What tests of the whole share.

pub mod cluster;
pub mod tools;
