//! The sandbox of local builds, chosen late.

use std::path::PathBuf;
use std::sync::OnceLock;

use slipway_executor::event::{Event, Events};
use slipway_sandbox::{Cancel, Finished, Isolation, Sandbox, Stream};

use super::args;

/// A sandbox that is chosen when the first command runs: a build without one needs none.
pub(super) struct LazySandbox {
    isolation: Isolation,
    scratch: PathBuf,
    events: Events,
    chosen: OnceLock<Result<Box<dyn Sandbox>, String>>,
}

impl LazySandbox {
    pub(super) fn new(isolation: args::Isolation, scratch: PathBuf, events: Events) -> Self {
        let isolation = match isolation {
            args::Isolation::Auto => Isolation::Auto,
            args::Isolation::Overlay => Isolation::Overlay,
            args::Isolation::Root => Isolation::Root,
        };
        Self { isolation, scratch, events, chosen: OnceLock::new() }
    }
}

impl Sandbox for LazySandbox {
    fn name(&self) -> &str {
        match self.chosen.get() {
            Some(Ok(sandbox)) => sandbox.name(),
            _ => "not chosen yet",
        }
    }

    fn run(
        &self,
        spec: &slipway_sandbox::spec::RunSpec,
        output: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, slipway_sandbox::Error> {
        let chosen =
            self.chosen.get_or_init(|| match slipway_sandbox::choose(self.isolation, &self.scratch) {
                Ok((sandbox, choice)) => {
                    let text = format!("isolation: {} ({})", choice.way.name(), choice.reason);
                    self.events.event(Event::Note { text });
                    Ok(sandbox)
                }
                Err(error) => Err(error.to_string()),
            });
        match chosen {
            Ok(sandbox) => sandbox.run(spec, output, cancel),
            Err(text) => Err(slipway_sandbox::Error::NoWay(text.clone())),
        }
    }
}
