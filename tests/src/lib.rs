//! What end-to-end tests share.

pub mod cluster;
pub mod schema;
