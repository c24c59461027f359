//! Builds the objects of a run as values: nothing here talks to the cluster.

pub mod claim;
pub mod identity;
pub mod isolation;
pub mod labels;
pub mod names;
pub mod pods;
pub mod request;
pub mod small;
