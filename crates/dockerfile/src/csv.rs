//! One line of comma-separated values, quoted as in RFC 4180: the form of `--mount` and `--device`.

use std::borrow::Cow;

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The text without quotes.
    pub(crate) text: Cow<'a, str>,
    /// Where it starts, quote included.
    pub(crate) start: usize,
    /// One past its end, quote included.
    pub(crate) end: usize,
}

/// Why a line cannot be cut into fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// A quote in the middle of a field.
    #[error("a quote can only stand around a whole field")]
    BareQuote(usize),
    /// A quoted field that does not end, or ends before a comma.
    #[error("a quoted field must end with a quote and a comma")]
    Quote(usize),
}

/// Cuts a line into its fields.
pub(crate) fn fields(line: &str) -> Result<Vec<Field<'_>>, CsvError> {
    if line.is_empty() {
        return Err(CsvError::Empty);
    }
    let mut fields = vec![];
    let mut at = 0;
    loop {
        let field = if line[at..].starts_with('"') { quoted(line, at)? } else { plain(line, at)? };
        at = field.end;
        fields.push(field);
        if at == line.len() {
            return Ok(fields);
        }
        at += 1;
    }
}

fn plain(line: &str, start: usize) -> Result<Field<'_>, CsvError> {
    let end = line[start..].find(',').map_or(line.len(), |at| start + at);
    let text = &line[start..end];
    match text.find('"') {
        Some(at) => Err(CsvError::BareQuote(start + at)),
        None => Ok(Field { text: Cow::Borrowed(text), start, end }),
    }
}

fn quoted(line: &str, start: usize) -> Result<Field<'_>, CsvError> {
    let mut text = String::new();
    let mut at = start + 1;
    loop {
        let quote = line[at..].find('"').map(|found| at + found).ok_or(CsvError::Quote(start))?;
        text.push_str(&line[at..quote]);
        at = quote + 1;
        match line.as_bytes().get(at) {
            Some(b'"') => {
                text.push('"');
                at += 1;
            }
            None | Some(b',') => return Ok(Field { text: Cow::Owned(text), start, end: at }),
            Some(_) => return Err(CsvError::Quote(quote)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CsvError, fields};

    fn texts(line: &str) -> Result<Vec<String>, CsvError> {
        Ok(fields(line)?.into_iter().map(|field| field.text.into_owned()).collect())
    }

    #[test]
    fn fields_are_cut_at_commas_outside_quotes() {
        assert_eq!(texts("type=bind,source=a"), Ok(vec!["type=bind".into(), "source=a".into()]));
        assert_eq!(texts("\"source=a,b\",ro"), Ok(vec!["source=a,b".into(), "ro".into()]));
        assert_eq!(texts("\"a\"\"b\""), Ok(vec!["a\"b".into()]));
        assert_eq!(texts("a,,b,"), Ok(vec!["a".into(), String::new(), "b".into(), String::new()]));
    }

    #[test]
    fn stray_quotes_are_errors() {
        assert_eq!(texts(""), Err(CsvError::Empty));
        assert_eq!(texts("a\"b"), Err(CsvError::BareQuote(1)));
        assert_eq!(texts("x,\"a"), Err(CsvError::Quote(2)));
        assert_eq!(texts("\"a\"b"), Err(CsvError::Quote(2)));
    }
}
