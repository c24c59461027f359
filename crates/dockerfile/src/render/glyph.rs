//! How characters look in a terminal: their width, and something harmless for those that move the cursor.

/// Columns from one tab stop to the next.
const TAB: usize = 4;

/// One character as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glyph {
    /// The byte offset of the character in its line.
    pub(super) offset: usize,
    /// What is drawn; a tab is that many spaces.
    pub(super) shown: char,
    /// How many columns it takes.
    pub(super) width: usize,
}

/// Lays out a line.
pub(super) fn layout(line: &str) -> Vec<Glyph> {
    let mut column = 0;
    let mut glyphs = Vec::with_capacity(line.len());
    for (offset, c) in line.char_indices() {
        let (shown, width) = match c {
            '\t' => (' ', TAB - column % TAB),
            c => (harmless(c), width(c)),
        };
        column += width;
        glyphs.push(Glyph { offset, shown, width });
    }
    glyphs
}

/// Returns a text without control characters, cut after so many characters.
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut cleaned: String = text.chars().take(most).map(harmless).collect();
    if text.chars().nth(most).is_some() {
        cleaned.push('\u{2026}');
    }
    cleaned
}

/// Replaces a character that would change how the rest is shown: control characters by their pictures, direction overrides
/// (which can make a line read as something else) by U+FFFD.
fn harmless(c: char) -> char {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => {
            char::REPLACEMENT_CHARACTER
        }
        c => c,
    }
}

/// Returns the columns of a character in nearly all terminals.
fn width(c: char) -> usize {
    const NONE: [(u32, u32); 8] = [
        (0x0300, 0x036f),
        (0x0483, 0x0489),
        (0x0591, 0x05bd),
        (0x064b, 0x065f),
        (0x200b, 0x200f),
        (0x20d0, 0x20f0),
        (0xfe00, 0xfe0f),
        (0xfe20, 0xfe2f),
    ];
    const WIDE: [(u32, u32); 10] = [
        (0x1100, 0x115f),
        (0x2e80, 0x303e),
        (0x3041, 0xa4cf),
        (0xac00, 0xd7a3),
        (0xf900, 0xfaff),
        (0xfe30, 0xfe6f),
        (0xff00, 0xff60),
        (0xffe0, 0xffe6),
        (0x1f300, 0x1faff),
        (0x20000, 0x3fffd),
    ];
    let code = u32::from(c);
    let within = |ranges: &[(u32, u32)]| ranges.iter().any(|(from, to)| (*from..=*to).contains(&code));
    if code < 0x300 {
        1
    } else if within(&NONE) {
        0
    } else if within(&WIDE) {
        2
    } else {
        1
    }
}
