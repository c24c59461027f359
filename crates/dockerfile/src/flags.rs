//! Flags checked against what an instruction knows.

use crate::{
    ast::Word,
    diagnostic::Diagnostic,
    keyword::Keyword,
    span::Span,
    suggest::{nearest, shown},
    words::RawFlag,
};

/// What may follow a flag's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    /// Nothing, `=true` or `=false`.
    Bool,
    /// A value, once.
    Text,
    /// A value, any number of times.
    List,
}

/// The flags that an instruction knows.
pub(crate) type Known = &'static [(&'static str, Arity)];

/// The flags of one instruction.
#[derive(Debug, Default)]
pub(crate) struct Flags<'a> {
    read: Vec<Flag<'a>>,
}

/// A flag that the instruction knows.
#[derive(Debug)]
pub(crate) struct Flag<'a> {
    name: &'static str,
    /// As it stands in the line.
    pub(crate) raw: &'a RawFlag<'a>,
    /// Where the value starts in the text of `raw`.
    pub(crate) value: usize,
}

impl Flag<'_> {
    /// Returns the value.
    pub(crate) fn word(&self) -> Word {
        self.raw.word(self.value, self.raw.text.len())
    }

    /// Returns where the whole flag stands.
    pub(crate) fn span(&self) -> Span {
        self.raw.raw.span()
    }
}

impl<'a> Flags<'a> {
    /// Reads flags and reports those that are unknown, repeated, or lack a proper value.
    pub(crate) fn read(
        keyword: Keyword,
        raw: &'a [RawFlag<'a>],
        known: Known,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut flags = Flags::default();
        for flag in raw {
            match flags.check(keyword, flag, known) {
                Ok(flag) => flags.read.push(flag),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        flags
    }

    fn check(
        &self,
        keyword: Keyword,
        raw: &'a RawFlag<'a>,
        known: Known,
    ) -> Result<Flag<'a>, Box<Diagnostic>> {
        let text = &raw.text;
        let (end, value) = text.find('=').map_or((text.len(), None), |at| (at, Some(&text[at + 1..])));
        let name = &text[2..end];
        let name_span = raw.span(0, end);
        let Some((name, arity)) = known.iter().find(|(known, _)| *known == name) else {
            return Err(Box::new(unknown(keyword, name, name_span, known)));
        };
        if *arity != Arity::List
            && let Some(first) = self.read.iter().find(|flag| flag.name == *name)
        {
            return Err(Box::new(
                Diagnostic::error("duplicate-flag", raw.raw.span(), format!("`--{name}` stands twice"))
                    .label(first.span(), "first given here")
                    .help("keep one of the two"),
            ));
        }
        let wrong = match (arity, value) {
            (Arity::Bool, Some("")) => {
                Some((format!("`--{name}=` has no value"), format!("write `--{name}` or `--{name}=true`")))
            }
            (Arity::Bool, Some(value)) if !is_bool(value) => Some((
                format!("`--{name}` is true or false, not `{}`", shown(value)),
                format!("write `--{name}` or `--{name}=false`"),
            )),
            (Arity::Text | Arity::List, None) => Some((
                format!("`--{name}` needs a value"),
                format!("write `--{name}=<value>`, without a space around `=`"),
            )),
            _ => None,
        };
        match wrong {
            Some((message, help)) => {
                Err(Box::new(Diagnostic::error("flag-value", raw.raw.span(), message).help(help)))
            }
            None => Ok(Flag { name, raw, value: (end + 1).min(text.len()) }),
        }
    }

    /// Returns the value of a text flag, and nothing where it is missing or empty: both mean the same.
    pub(crate) fn text(&self, name: &str) -> Option<Word> {
        self.given(name).map(Flag::word).filter(|word| !word.text.is_empty())
    }

    /// Returns a flag.
    pub(crate) fn given(&self, name: &str) -> Option<&Flag<'a>> {
        self.read.iter().find(|flag| flag.name == name)
    }

    /// Returns a bool flag.
    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        self.given(name).map(|flag| !flag.raw.text[flag.value..].eq_ignore_ascii_case("false"))
    }

    /// Returns the flags of this name in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Flag<'a>> {
        self.read.iter().filter(move |flag| flag.name == name)
    }
}

fn is_bool(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

/// Flags that people try on the wrong instruction.
const ELSEWHERE: [(&str, &str); 6] = [
    ("from", "COPY"),
    ("parents", "COPY"),
    ("checksum", "ADD"),
    ("keep-git-dir", "ADD"),
    ("unpack", "ADD"),
    ("mount", "RUN"),
];

fn unknown(keyword: Keyword, name: &str, span: Span, known: Known) -> Diagnostic {
    let keyword = keyword.name();
    let diagnostic =
        Diagnostic::error("unknown-flag", span, format!("{keyword} has no flag `--{}`", shown(name)));
    if let Some((name, owner)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
        return diagnostic.help(format!("`--{name}` belongs to {owner}"));
    }
    if let Some(near) = nearest(name, known.iter().map(|(name, _)| *name)) {
        return diagnostic.help(format!("did you mean `--{near}`?"));
    }
    if known.is_empty() {
        return diagnostic
            .help(format!("{keyword} takes no flags; write `--` before arguments that start with `--`"));
    }
    let names: Vec<String> = known.iter().map(|(name, _)| format!("`--{name}`")).collect();
    diagnostic.help(format!("{keyword} knows {}", names.join(", ")))
}
