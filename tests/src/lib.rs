//! What end-to-end tests share.

pub mod cluster;
pub mod repository;
pub mod web;
