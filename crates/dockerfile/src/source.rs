//! From bytes to text: the byte order mark goes, bytes that are no UTF-8 are replaced.
//!
//! Every span of this crate refers to the text that [`decode`] returns.

use crate::{diagnostic::Diagnostic, span::Span};

/// The longest physical line that is read, without its line break.
pub const MAX_LINE: usize = 65_535;

/// Decodes a file and tells where it was not UTF-8.
pub(crate) fn decode(bytes: &[u8], diagnostics: &mut Vec<Diagnostic>) -> String {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) => {
            let at = error.valid_up_to();
            let span = Span::new(at, at + char::REPLACEMENT_CHARACTER.len_utf8());
            diagnostics.push(
                Diagnostic::warning("invalid-utf8", span, "the file is not valid UTF-8 from here on")
                    .help("save it as UTF-8; each byte that could not be read is taken as U+FFFD"),
            );
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}
