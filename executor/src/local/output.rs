//! The output of a command: cut into lines for whoever watches, the last ones kept for the report of a failure.

use std::collections::VecDeque;

use crate::event::{Event, Events, StepAt, Stream};

/// How many lines a failure report shows.
const TAIL: usize = 20;

/// A line longer than this is handed on in pieces: a program that never ends its line must not fill the memory.
const LONGEST: usize = 64 << 10;

/// Takes pieces of output.
pub struct Lines {
    at: StepAt,
    events: Events,
    partial: [Vec<u8>; 2],
    tail: VecDeque<String>,
}

impl Lines {
    /// Begins to listen.
    pub fn new(at: StepAt, events: Events) -> Self {
        Self { at, events, partial: [vec![], vec![]], tail: VecDeque::new() }
    }

    /// Takes a piece.
    pub fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let slot = usize::from(stream == Stream::Stderr);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial[slot].extend_from_slice(&rest[..end]);
            self.emit(stream);
            rest = &rest[end + 1..];
        }
        self.partial[slot].extend_from_slice(rest);
        if self.partial[slot].len() >= LONGEST {
            self.emit(stream);
        }
    }

    /// Ends, and returns the last lines.
    pub fn finish(mut self) -> Vec<String> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.partial[usize::from(stream == Stream::Stderr)].is_empty() {
                self.emit(stream);
            }
        }
        self.tail.into()
    }

    fn emit(&mut self, stream: Stream) {
        let bytes = std::mem::take(&mut self.partial[usize::from(stream == Stream::Stderr)]);
        let text = String::from_utf8_lossy(&bytes);
        // A progress bar writes one line over and over: what was last on it counts.
        let line = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default().to_owned();
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        self.events.event(Event::Output { at: self.at, stream, line });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn pieces_become_lines_and_the_last_ones_stay() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        let events: Events = Arc::new(move |event| {
            if let Event::Output { line, .. } = event
                && let Ok(mut heard) = ears.lock()
            {
                heard.push(line);
            }
        });
        let mut lines = Lines::new(StepAt { stage: 0, step: 0 }, events);
        lines.take(Stream::Stdout, b"one\ntw");
        lines.take(Stream::Stderr, b"10%\r100%\n");
        lines.take(Stream::Stdout, b"o\nthree");
        assert_eq!(lines.finish(), ["one", "100%", "two", "three"]);
        assert_eq!(*heard.lock().expect("heard"), ["one", "100%", "two", "three"]);
    }
}
