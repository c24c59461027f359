//! Reconciles ImageBuild resources into build and stage pods.
//!
//! Each reconcile has five named steps: observe, validate, plan, apply, report. Only the first and the last two speak with
//! the cluster; all policy is the pure function [`plan::plan`].

pub mod apply;
pub mod controller;
pub mod intake;
pub mod metrics;
pub mod objects;
pub mod observe;
pub mod plan;
pub mod pod_view;
pub mod queue;
pub mod report;
pub mod server;
pub mod settings;
pub mod trial;
