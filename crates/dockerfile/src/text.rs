//! Logical lines as text that remembers where each byte came from.
//!
//! A continuation joins several physical lines into one string. [`Line`] holds that string together with the place of each
//! of its pieces, and [`View`] is a part of it. Everything after the line reader works on views, so spans are never guessed.

use std::borrow::Cow;

use crate::{ast::Word, span::Span};

/// One logical line.
#[derive(Debug, Default)]
pub(crate) struct Line<'s> {
    /// Its physical lines joined, without continuation characters and comments.
    pub(crate) text: Cow<'s, str>,
    /// Where its first physical line starts; all there is to know where nothing was joined.
    pub(crate) base: usize,
    /// Where the pieces of a joined text stand: (offset in the text, offset in the source).
    pub(crate) pieces: Vec<(usize, usize)>,
    /// Comment lines above.
    pub(crate) comments: Vec<Word>,
}

impl<'s> Line<'s> {
    /// Makes a line that was not joined.
    pub(crate) fn plain(text: &'s str, base: usize) -> Self {
        Self { text: Cow::Borrowed(text), base, ..Self::default() }
    }

    /// Starts a line to which others are joined, in the buffers that it has.
    pub(crate) fn start(&mut self, text: &str, at: usize) {
        self.base = at;
        self.pieces.clear();
        self.pieces.push((0, at));
        let joined = self.text.to_mut();
        joined.clear();
        joined.push_str(text);
    }

    /// Tells whether the line owns buffers.
    pub(crate) fn is_joined(&self) -> bool {
        matches!(self.text, Cow::Owned(_))
    }

    /// Adds a physical line at the end of a started line.
    pub(crate) fn join(&mut self, text: &str, at: usize) {
        let joined = self.text.to_mut();
        // An empty piece owns no byte; the next one takes its place.
        self.pieces.pop_if(|last| last.0 == joined.len());
        self.pieces.push((joined.len(), at));
        joined.push_str(text);
    }

    /// Returns the whole text as a view.
    pub(crate) fn view(&self) -> View<'_> {
        View { line: self, start: 0, end: self.text.len() }
    }

    fn place(&self, offset: usize) -> usize {
        if self.pieces.is_empty() {
            return self.base + offset;
        }
        let piece = self.pieces.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let (start, source) = self.pieces[piece];
        source + (offset - start)
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    line: &'a Line<'a>,
    start: usize,
    end: usize,
}

impl<'a> View<'a> {
    /// Returns the text.
    pub(crate) fn text(self) -> &'a str {
        &self.line.text[self.start..self.end]
    }

    /// Tells whether there is no text.
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Returns a part; both offsets count from the start of this view.
    pub(crate) fn part(self, start: usize, end: usize) -> Self {
        Self { line: self.line, start: self.start + start, end: self.start + end }
    }

    /// Returns what follows an offset.
    pub(crate) fn after(self, start: usize) -> Self {
        Self { start: self.start + start, ..self }
    }

    /// Returns the view without white space at its ends.
    pub(crate) fn trim(self) -> Self {
        let text = self.text();
        if let (Some(first), Some(last)) = (text.as_bytes().first(), text.as_bytes().last())
            && first.is_ascii_graphic()
            && last.is_ascii_graphic()
        {
            return self;
        }
        let start = text.len() - text.trim_start().len();
        self.part(start, start + text[start..].trim_end().len())
    }

    /// Returns where it stands in the source.
    pub(crate) fn span(self) -> Span {
        if self.line.pieces.is_empty() {
            return Span::new(self.line.base + self.start, self.line.base + self.end);
        }
        let start = self.line.place(self.start);
        if self.is_empty() {
            return Span::new(start, start);
        }
        Span::new(start, self.line.place(self.end - 1) + 1)
    }

    /// Returns it as a word of the syntax tree.
    pub(crate) fn word(self) -> Word {
        Word { text: self.text().to_owned(), span: self.span() }
    }

    /// Cuts at the first occurrence of an ASCII character, which goes.
    pub(crate) fn cut(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text().find(separator)?;
        Some((self.part(0, at), self.after(at + 1)))
    }
}
