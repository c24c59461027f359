//! What end-to-end tests share.

pub mod cluster;
