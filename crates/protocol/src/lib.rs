//! What operator and executor say to each other, and where files lie. Pure.

pub mod early;
pub mod message;
pub mod paths;
pub mod report;
pub mod request;
