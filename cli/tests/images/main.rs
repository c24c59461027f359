//! `slipway build` and `slipway push` as programs, with registries on loopback: platforms, layouts, outputs, the live view.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not seen as tests
#![allow(clippy::print_stdout)] // what is not run says why

mod bed;
mod flags;
mod layouts;
mod live;
mod platforms;
mod push;
mod stream;
