//! What operator and executor say to each other, and where files lie. Pure.

pub mod report;
pub mod request;
