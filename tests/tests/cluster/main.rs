//! ImageBuilds on a real cluster, end to end.

mod basics;
mod caching;
mod failures;
mod isolation;
mod sources;
mod targets;
