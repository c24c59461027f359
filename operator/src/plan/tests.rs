//! The policy on values: a small world is moved on step by step, and what the plan says is looked at.

mod early;
mod failures;
mod lifecycle;
mod onepod;
mod ordered;
mod polling;
mod settings;
mod simulation;
mod world;
