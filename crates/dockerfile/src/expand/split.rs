//! Splitting into words while the text is still being made, because only then it is known what was quoted.

use super::scan::Sink;

/// Collects words.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    done: Vec<String>,
    current: String,
    bytes: usize,
}

impl Splitter {
    /// Returns the words. Empty ones, even quoted, do not exist.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.end_word();
        self.done
    }

    fn end_word(&mut self) {
        if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

impl Sink for Splitter {
    fn quoted(&mut self, text: &str) {
        self.bytes += text.len();
        self.current.push_str(text);
    }

    fn bare(&mut self, text: &str) {
        self.bytes += text.len();
        let mut parts = text.split(char::is_whitespace);
        self.current.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.end_word();
            self.current.push_str(part);
        }
    }

    fn length(&self) -> usize {
        self.bytes
    }
}
