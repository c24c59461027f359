//! The scanner: one pass over a word, with a recursion for the word part of `${name:-word}`.

use super::{
    Env, Error, ErrorKind, Expander, MAX_DEPTH, Use,
    glob::{Effort, Glob, Greed, TooMuchWork},
};

/// Takes what the scanner makes.
pub(super) trait Sink {
    /// Takes text that was quoted or escaped.
    fn quoted(&mut self, text: &str);
    /// Takes text as written or from a variable, at whose spaces words may be split.
    fn bare(&mut self, text: &str);
    /// Returns how many bytes came so far.
    fn length(&self) -> usize;
}

impl Sink for String {
    fn quoted(&mut self, text: &str) {
        self.push_str(text);
    }

    fn bare(&mut self, text: &str) {
        self.push_str(text);
    }

    fn length(&self) -> usize {
        self.len()
    }
}

/// The state of one expansion.
pub(super) struct Scan<'a, E: ?Sized> {
    options: Expander,
    source: &'a str,
    at: usize,
    depth: usize,
    env: &'a E,
    effort: Effort,
    uses: Vec<Use>,
}

/// What becomes of escape characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// They are removed.
    Resolve,
    /// They stay, for a pattern to understand.
    Keep,
}

impl<'a, E: Env + ?Sized> Scan<'a, E> {
    /// Starts at the beginning of a word.
    pub(super) fn new(options: Expander, source: &'a str, env: &'a E) -> Self {
        Self { options, source, at: 0, depth: 0, env, effort: Effort::default(), uses: vec![] }
    }

    /// Expands all of it.
    pub(super) fn run(mut self, out: &mut impl Sink) -> Result<Vec<Use>, Error> {
        self.until(None, Escapes::Resolve, out)?;
        Ok(self.uses)
    }

    fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Expands up to a stop character, which is taken too, or to the end. Returns false if the stop character never comes.
    fn until(&mut self, stop: Option<char>, escapes: Escapes, out: &mut impl Sink) -> Result<bool, Error> {
        let quotes = !self.options.literal_quotes;
        while let Some(c) = self.peek() {
            let start = self.at;
            if stop == Some(c) {
                self.next();
                return Ok(true);
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    out.bare(&value);
                }
                '\'' if quotes => {
                    let text = self.single_quoted()?;
                    out.quoted(text);
                }
                '"' if quotes => {
                    let text = self.double_quoted(escapes)?;
                    out.quoted(&text);
                }
                '<' => out.quoted(self.redirection()),
                c if c == self.options.escape => {
                    self.next();
                    if escapes == Escapes::Keep {
                        out.quoted(&self.source[start..self.at]);
                    }
                    // At the end of the word it escapes nothing and vanishes.
                    let escaped = self.at;
                    self.next();
                    out.quoted(&self.source[escaped..self.at]);
                }
                _ => out.bare(self.plain(stop)),
            }
            if out.length() > self.options.max_length {
                return Err(self.fail(start, ErrorKind::Length(self.options.max_length)));
            }
        }
        Ok(stop.is_none())
    }

    /// Takes characters that mean nothing.
    fn plain(&mut self, stop: Option<char>) -> &'a str {
        let start = self.at;
        let special =
            |c: char| matches!(c, '$' | '\'' | '"' | '<') || c == self.options.escape || stop == Some(c);
        let rest = &self.source[start..];
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let length = rest[first..].find(special).map_or(rest.len(), |more| first + more);
        self.at = start + length;
        &self.source[start..self.at]
    }

    /// `<<` and the spaces after it stay together, so that a here-document's word is not split off.
    fn redirection(&mut self) -> &'a str {
        let start = self.at;
        self.next();
        if self.eat('<') {
            while matches!(self.peek(), Some(' ' | '\t' | '\r')) {
                self.next();
            }
        }
        &self.source[start..self.at]
    }

    fn single_quoted(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        let rest = &self.source[start + 1..];
        let length = rest.find('\'').ok_or_else(|| self.fail(start, ErrorKind::SingleQuote))?;
        self.at = start + length + 2;
        Ok(&rest[..length])
    }

    fn double_quoted(&mut self, escapes: Escapes) -> Result<String, Error> {
        let start = self.at;
        self.next();
        let mut out = String::new();
        loop {
            match self.peek() {
                None => return Err(self.fail(start, ErrorKind::DoubleQuote)),
                Some('"') => {
                    self.next();
                    return Ok(out);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    out.push_str(&value);
                }
                Some(c) if c == self.options.escape => {
                    self.next();
                    if escapes == Escapes::Keep {
                        out.push(c);
                    }
                    match self.peek() {
                        Some(special) if matches!(special, '"' | '$') || special == self.options.escape => {
                            self.next();
                            out.push(special);
                        }
                        // Before anything else it is an ordinary character.
                        _ => out.push(c),
                    }
                }
                Some(c) => {
                    self.next();
                    out.push(c);
                }
            }
            if out.len() > self.options.max_length {
                return Err(self.fail(start, ErrorKind::Length(self.options.max_length)));
            }
        }
    }

    fn dollar(&mut self) -> Result<String, Error> {
        let start = self.at;
        self.next();
        if !self.eat('{') {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                self.look_up(name, start, false).unwrap_or_default().to_owned()
            });
        }
        match self.peek() {
            None => return Err(self.fail(start, ErrorKind::Brace)),
            Some('{' | '}' | ':') => return Err(self.fail(start, ErrorKind::Name)),
            Some('$') if self.source[self.at..].starts_with("${") => {
                return Err(self.fail(start, ErrorKind::Name));
            }
            Some(_) => {}
        }
        let name = self.name();
        let modifier_at = self.at;
        let Some(modifier) = self.next() else { return Err(self.fail(start, ErrorKind::Brace)) };
        match modifier {
            '}' if name.is_empty() => Err(self.fail(start, ErrorKind::Name)),
            '}' => Ok(self.look_up(name, start, false).unwrap_or_default().to_owned()),
            ':' => match self.next() {
                Some(c @ ('-' | '+' | '?')) => self.conditional(name, c, true, start),
                None => Err(self.fail(start, ErrorKind::Brace)),
                Some(c) => Err(self.fail(modifier_at, ErrorKind::Modifier(format!(":{c}")))),
            },
            '-' | '+' | '?' => self.conditional(name, modifier, false, start),
            '#' | '%' => self.trim(name, modifier, start),
            '/' => self.replace(name, start),
            c if name.is_empty() => {
                Err(self.fail(start, if c == '$' { ErrorKind::Name } else { ErrorKind::Modifier(c.into()) }))
            }
            c => Err(self.fail(modifier_at, ErrorKind::Modifier(c.into()))),
        }
    }

    /// `-`, `+` and `?`. With a colon before it, empty counts as unset.
    fn conditional(
        &mut self,
        name: &'a str,
        modifier: char,
        colon: bool,
        start: usize,
    ) -> Result<String, Error> {
        let word = self.part('}', Escapes::Resolve, start, ErrorKind::Brace)?;
        let value = self.look_up(name, start, true);
        let is_set = value.is_some();
        let present = value.filter(|v| !(colon && v.is_empty()));
        match (modifier, present) {
            ('-' | '?', Some(value)) => Ok(value.to_owned()),
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('?', None) => {
                let default = if is_set { "must not be empty" } else { "must be set" };
                let message = if word.is_empty() { default.to_owned() } else { word };
                Err(self.fail(start, ErrorKind::Required { name: name.to_owned(), message }))
            }
            _ => Ok(String::new()),
        }
    }

    /// `#`, `##`, `%` and `%%`. That the modifier is doubled is decided on the expanded word, as BuildKit does.
    fn trim(&mut self, name: &'a str, modifier: char, start: usize) -> Result<String, Error> {
        let word = self.part('}', Escapes::Keep, start, ErrorKind::Brace)?;
        let value = self.look_up(name, start, false).unwrap_or_default();
        let (pattern, greed) = match word.strip_prefix(modifier) {
            Some(rest) => (rest, Greed::Longest),
            None => (word.as_str(), Greed::Shortest),
        };
        let glob = self.glob(pattern, start)?;
        let trimmed = if modifier == '#' {
            glob.trim_start(value, greed, &mut self.effort)
        } else {
            glob.trim_end(value, greed, &mut self.effort)
        };
        trimmed.map_err(|TooMuchWork| self.fail(start, ErrorKind::Effort(value.len())))
    }

    /// `/` and `//`.
    fn replace(&mut self, name: &'a str, start: usize) -> Result<String, Error> {
        let all = self.eat('/');
        let pattern = self.part('/', Escapes::Keep, start, ErrorKind::Slash)?;
        let with = self.part('}', Escapes::Keep, start, ErrorKind::Brace)?;
        let value = self.look_up(name, start, false).unwrap_or_default();
        let glob = self.glob(&pattern, start)?;
        let replaced = if all {
            glob.replace_all(value, &with, &mut self.effort)
        } else {
            glob.replace(value, &with, &mut self.effort)
        };
        replaced.map_err(|TooMuchWork| self.fail(start, ErrorKind::Effort(value.len())))
    }

    /// Expands a part of `${…}` up to its end.
    fn part(
        &mut self,
        stop: char,
        escapes: Escapes,
        start: usize,
        unclosed: ErrorKind,
    ) -> Result<String, Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(start, ErrorKind::Depth));
        }
        self.depth += 1;
        let mut out = String::new();
        let closed = self.until(Some(stop), escapes, &mut out)?;
        self.depth -= 1;
        if closed { Ok(out) } else { Err(self.fail(start, unclosed)) }
    }

    fn glob(&self, pattern: &str, start: usize) -> Result<Glob, Error> {
        Glob::new(pattern).map_err(|escaped| self.fail(start, ErrorKind::PatternEscape(escaped)))
    }

    /// Takes a name: letters, digits and `_`; or digits; or one special character. Only ASCII digits are digits.
    fn name(&mut self) -> &'a str {
        let rest = &self.source[self.at..];
        let length = match rest.chars().next() {
            Some(c) if c.is_ascii_digit() => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => {
                let part_of_name = |c: char| c.is_alphabetic() || c.is_ascii_digit() || c == '_';
                rest.find(|c| !part_of_name(c)).unwrap_or(rest.len())
            }
        };
        self.at += length;
        &rest[..length]
    }

    fn look_up(&mut self, name: &str, start: usize, handled: bool) -> Option<&'a str> {
        let value = self.env.get(name);
        self.uses.push(Use { name: name.to_owned(), at: start..self.at, set: value.is_some(), handled });
        value
    }

    fn fail(&self, offset: usize, kind: ErrorKind) -> Error {
        Error { offset: offset.min(self.source.len()), kind }
    }
}
