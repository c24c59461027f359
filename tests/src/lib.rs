//! What tests of the whole share.

pub mod cluster;
pub mod docs;
pub mod monitoring;
pub mod repository;
pub mod schema;
pub mod tools;
pub mod web;
