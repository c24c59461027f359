//! JSON arrays of strings, as Go's `encoding/json` reads them.
//!
//! Written here because three outcomes must be told apart (strings, valid JSON with something else in it, no JSON at all),
//! because each string keeps its place, and because broken text must never cost more than one pass.

/// Deeper nesting is no JSON, as in Go.
const MAX_DEPTH: usize = 10_000;

/// A string of the array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// The decoded text.
    pub(crate) text: String,
    /// Where it starts, quote included.
    pub(crate) start: usize,
    /// One past its closing quote.
    pub(crate) end: usize,
}

/// Why a text is no array of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It does not start with `[`.
    NotAnArray,
    /// It starts like an array but is not valid JSON from this offset on.
    Malformed(usize),
    /// It is valid, but the element at this place is no string.
    NotAString(usize, usize),
}

/// Reads a text as a JSON array of strings.
pub(crate) fn strings(text: &str) -> Result<Vec<Element>, Failure> {
    let start = text.len() - text.trim_start().len();
    if !text[start..].starts_with('[') {
        return Err(Failure::NotAnArray);
    }
    let mut reader = Reader { text, bytes: text.as_bytes(), at: start + 1 };
    reader.array().map_err(|error| match error {
        Broken::Syntax => Failure::Malformed(reader.at.min(text.len())),
        Broken::Element(start, end) => Failure::NotAString(start, end),
    })
}

enum Broken {
    Syntax,
    Element(usize, usize),
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn array(&mut self) -> Result<Vec<Element>, Broken> {
        let mut elements = vec![];
        let mut stranger = None;
        self.space();
        if self.take(b']') {
            self.end()?;
            return Ok(elements);
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() == Some(b'"') {
                let text = self.string()?;
                elements.push(Element { text, start, end: self.at });
            } else {
                self.value()?;
                stranger.get_or_insert((start, self.at));
            }
            self.space();
            if self.take(b']') {
                break;
            }
            self.expect(b',')?;
        }
        self.end()?;
        stranger.map_or(Ok(elements), |(start, end)| Err(Broken::Element(start, end)))
    }

    /// Checks that nothing follows.
    fn end(&mut self) -> Result<(), Broken> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Broken::Syntax) }
    }

    /// Skips any value. A stack instead of recursion, so that deep nesting costs memory by the byte only.
    fn value(&mut self) -> Result<(), Broken> {
        let mut open: Vec<u8> = vec![];
        loop {
            self.space();
            match self.peek() {
                Some(b'"') => drop(self.string()?),
                Some(b'[' | b'{') => {
                    let kind = self.bytes[self.at];
                    self.at += 1;
                    self.space();
                    let close = if kind == b'[' { b']' } else { b'}' };
                    // The outer array is one level, this one another.
                    if open.len() + 2 > MAX_DEPTH {
                        return Err(Broken::Syntax);
                    }
                    if !self.take(close) {
                        open.push(kind);
                        if kind == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => self.number()?,
            }
            // A value is complete: close what it completes.
            loop {
                let Some(kind) = open.last().copied() else { return Ok(()) };
                self.space();
                if self.take(b',') {
                    if kind == b'{' {
                        self.key()?;
                    }
                    break;
                }
                self.expect(if kind == b'[' { b']' } else { b'}' })?;
                open.pop();
            }
        }
    }

    fn key(&mut self) -> Result<(), Broken> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(Broken::Syntax);
        }
        self.string()?;
        self.space();
        self.expect(b':')
    }

    fn string(&mut self) -> Result<String, Broken> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            text.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(Broken::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Broken> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(Broken::Syntax),
        };
        self.at += 1;
        Ok(c)
    }

    /// Reads what follows `\u`; half a surrogate pair becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, Broken> {
        let high = self.hex()?;
        if !(0xD800..0xDC00).contains(&high) || !self.text[self.at..].starts_with("\\u") {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        self.at += 2;
        let low = self.hex()?;
        if (0xDC00..0xE000).contains(&low) {
            let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.at = before;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32, Broken> {
        let digits = self.bytes.get(self.at..self.at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|d| std::str::from_utf8(d).ok()).ok_or(Broken::Syntax)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Broken::Syntax)
    }

    /// Skips a number; one that no float can hold is an error in Go too.
    fn number(&mut self) -> Result<(), Broken> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let value = self.text[start..self.at].parse::<f64>().map_err(|_| Broken::Syntax)?;
        if value.is_finite() { Ok(()) } else { Err(Broken::Syntax) }
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Broken::Syntax) }
    }

    fn literal(&mut self, word: &str) -> Result<(), Broken> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Broken::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.take(byte) { Ok(()) } else { Err(Broken::Syntax) }
    }
}

#[cfg(test)]
mod tests;
