//! What tests of the whole share.

pub mod cluster;
pub mod monitoring;
pub mod schema;
pub mod tools;
