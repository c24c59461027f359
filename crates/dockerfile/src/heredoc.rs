//! Here-documents as words: which words of a line open one, and what their delimiter is.
//!
//! The words of the line are cut as a shell would, with `\` as escape character whatever the file says. A line that no
//! shell could read (an open quote, a broken `${`) opens none.

/// Parameters whose name is one character that is no letter.
const SPECIAL: [char; 8] = ['@', '*', '#', '?', '-', '$', '!', '0'];

/// The operator and its delimiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// The delimiter without quotes.
    pub(crate) name: String,
    /// The file descriptor before `<<`.
    pub(crate) fd: u32,
    /// `<<-`.
    pub(crate) strip_tabs: bool,
    /// No part of the delimiter is quoted.
    pub(crate) expand: bool,
}

/// A part of the line that cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Finds the here-documents of a line, each with the byte range of its word.
pub(crate) fn find(line: &str) -> Vec<(std::ops::Range<usize>, Redirect)> {
    let Ok(words) = shell_words(line) else { return vec![] };
    words.into_iter().filter_map(|range| Some((range.clone(), parse(&line[range]).ok()??))).collect()
}

/// Reads one word as a here-document, if it is one.
pub(crate) fn parse(word: &str) -> Result<Option<Redirect>, Unreadable> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Some(rest) = word[digits..].strip_prefix("<<") else { return Ok(None) };
    let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\x0c', '\r']);
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let Some((name, quoted)) = delimiter(rest)? else { return Ok(None) };
    let fd = if digits == 0 { 0 } else { word[..digits].parse().unwrap_or(u32::MAX) };
    Ok(Some(Redirect { name, fd, strip_tabs, expand: !quoted }))
}

/// Takes the quotes off a delimiter and tells whether there were any; nothing where it is not exactly one word.
fn delimiter(text: &str) -> Result<Option<(String, bool)>, Unreadable> {
    let words = shell_words(text)?;
    let [word] = words.as_slice() else { return Ok(None) };
    let text = &text[word.clone()];
    let mut name = String::with_capacity(text.len());
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = true;
                name.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                quoted = true;
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    let escapes = c == '\\' && chars.as_str().starts_with(['"', '$', '\\']);
                    name.push(if escapes { chars.next().unwrap_or(c) } else { c });
                }
            }
            '\\' => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    Ok((!name.is_empty()).then_some((name, quoted)))
}

/// Cuts a line into words; white space after `<<` belongs to the word.
fn shell_words(line: &str) -> Result<Vec<std::ops::Range<usize>>, Unreadable> {
    let mut words = vec![];
    let mut start: Option<usize> = None;
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let here = at;
        at += c.len_utf8();
        if c.is_whitespace() {
            words.extend(start.take().map(|start| start..here));
            continue;
        }
        start.get_or_insert(here);
        match c {
            '\'' => at += line[at..].find('\'').ok_or(Unreadable)? + 1,
            '"' => {
                let quotes = end_of_quotes(line, at)?;
                at = quotes.end;
                if quotes.forgets {
                    start = Some(here);
                }
            }
            '$' => {
                let variable = end_of_variable(line, at)?;
                at = variable.end;
                if variable.forgets {
                    start = Some(here);
                }
                // White space in a variable that no quotes enclose separates words.
                for (offset, c) in line[here..at].char_indices() {
                    if c.is_whitespace() {
                        words.extend(start.take().map(|start| start..here + offset));
                    } else {
                        start.get_or_insert(here + offset);
                    }
                }
            }
            '\\' => at += line[at..].chars().next().map_or(0, char::len_utf8),
            '<' if line[at..].starts_with('<') => {
                at += 1;
                at += line[at..].len() - line[at..].trim_start_matches([' ', '\t', '\r']).len();
            }
            _ => {}
        }
    }
    words.extend(start.map(|start| start..line.len()));
    Ok(words)
}

/// Where something ends, and whether BuildKit forgets what stood before it in the same word.
///
/// Its lexer keeps one buffer for words, and looking into `${name:-…}` empties it. Delimiters with such variables are
/// therefore not what they seem; no file needs them, but both have to agree on where the next instruction starts.
#[derive(Clone, Copy, Debug)]
struct End {
    end: usize,
    forgets: bool,
}

/// Finds the end of double quotes that opened just before.
fn end_of_quotes(line: &str, mut at: usize) -> Result<End, Unreadable> {
    let mut forgets = false;
    loop {
        let c = line[at..].chars().next().ok_or(Unreadable)?;
        at += c.len_utf8();
        match c {
            '"' => return Ok(End { end: at, forgets }),
            '$' => {
                let variable = end_of_variable(line, at)?;
                at = variable.end;
                forgets |= variable.forgets;
            }
            '\\' if line[at..].starts_with(['"', '$', '\\']) => at += 1,
            _ => {}
        }
    }
}

/// Finds the end of a variable whose `$` stands just before.
///
/// Braces nest; the stack replaces recursion so that `${a:-${b:-…` cannot exhaust it.
fn end_of_variable(line: &str, mut at: usize) -> Result<End, Unreadable> {
    if !line[at..].starts_with('{') {
        // `$$`, `$?` and the like are complete.
        return Ok(End { end: at + usize::from(line[at..].starts_with(SPECIAL)), forgets: false });
    }
    at = open_brace(line, at)?;
    let mut depth = usize::from(!line[..at].ends_with('}'));
    let forgets = depth > 0;
    while depth > 0 {
        let c = line[at..].chars().next().ok_or(Unreadable)?;
        at += c.len_utf8();
        match c {
            '}' => depth -= 1,
            '\\' => at += line[at..].chars().next().map_or(0, char::len_utf8),
            '\'' => at += line[at..].find('\'').ok_or(Unreadable)? + 1,
            '"' => {
                // Quotes can hold variables with quotes; one level is enough to find words.
                at = line[at..].find('"').map(|end| at + end + 1).ok_or(Unreadable)?;
            }
            '$' if line[at..].starts_with('{') => {
                at = open_brace(line, at)?;
                depth += usize::from(!line[..at].ends_with('}'));
            }
            _ => {}
        }
    }
    Ok(End { end: at, forgets })
}

/// Reads `{name` and the modifier after it, or the closing brace.
fn open_brace(line: &str, at: usize) -> Result<usize, Unreadable> {
    let rest = &line[at + 1..];
    if rest.is_empty() || rest.starts_with(['{', '}', ':']) {
        return Err(Unreadable);
    }
    let name = match rest.chars().next() {
        Some(c) if SPECIAL.contains(&c) => 1,
        _ => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
    };
    let after = at + 1 + name;
    match line[after..].chars().next() {
        Some('}' | '-' | '+' | '?' | '#' | '%' | '/') => Ok(after + 1),
        Some(':') if line[after + 1..].starts_with(['-', '+', '?']) => Ok(after + 2),
        _ => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests;
