//! The simple commands of a RUN: enough of a shell's grammar to see which programs are called with which words.
//!
//! Nothing is expanded. What `$(…)` and backticks hold is a part of its word; loops and conditions lose their keywords and keep their commands.

/// One command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// `NAME=value` before the program.
    pub(super) assignments: Vec<(String, String)>,
    /// The program and its arguments, quotes removed. Never empty, unless there are only assignments.
    pub(super) words: Vec<String>,
}

/// Words that stand before a command without being one.
const PREFIXES: [&str; 16] = [
    "if",
    "then",
    "else",
    "elif",
    "do",
    "while",
    "until",
    "!",
    "{",
    "time",
    "exec",
    "command",
    "sudo",
    "nohup",
    "eatmydata",
    "env",
];
/// Words that are no command at all.
const KEYWORDS: [&str; 6] = ["fi", "done", "esac", "}", ";;", "in"];

impl Command {
    /// Makes a command of ready words, as a JSON array has them.
    pub(super) fn from_words(words: Vec<String>) -> Self {
        let mut command = Self::default();
        for word in words {
            command.add(word);
        }
        command
    }

    /// Returns the program without its folder.
    pub(super) fn program(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
    }

    /// Returns the arguments that are no options.
    pub(super) fn operands(&self) -> impl Iterator<Item = &str> {
        self.words.iter().skip(1).map(String::as_str).filter(|word| !word.starts_with('-'))
    }

    /// Tells whether an option stands there, alone or as `--option=value`.
    pub(super) fn has_option(&self, option: &str) -> bool {
        self.words.iter().skip(1).any(|word| {
            word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    }

    /// Returns what `--option=value` or `--option value` gives, for each time it stands there.
    pub(super) fn option_values<'c>(&'c self, option: &'c str) -> impl Iterator<Item = &'c str> {
        self.words.iter().enumerate().filter_map(move |(at, word)| match word.strip_prefix(option)? {
            "" => self.words.get(at + 1).map(String::as_str),
            rest => rest.strip_prefix('='),
        })
    }

    fn add(&mut self, word: String) {
        if self.words.is_empty() {
            if let Some((name, value)) = word.split_once('=')
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            {
                self.assignments.push((name.to_owned(), value.to_owned()));
                return;
            }
            if PREFIXES.contains(&word.as_str()) {
                return;
            }
        }
        self.words.push(word);
    }
}

/// Takes a script apart.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut lexer = Lexer { rest: script, done: vec![], current: Command::default(), word: None };
    lexer.run();
    lexer.done.retain(|command| !KEYWORDS.contains(&command.program()));
    lexer.done
}

struct Lexer<'a> {
    rest: &'a str,
    done: Vec<Command>,
    current: Command,
    word: Option<String>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(escaped) => self.word().push(escaped),
                },
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '`' => self.substitution(c, '`'),
                '$' if self.rest.starts_with('(') => self.substitution(c, ')'),
                '$' if self.rest.starts_with('{') => self.substitution(c, '}'),
                '\n' | ';' | '&' | '|' | '(' | ')' => self.end_command(),
                '#' if self.word.is_none() => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                c if c.is_whitespace() => self.end_word(),
                c => self.word().push(c),
            }
        }
        self.end_command();
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn word(&mut self) -> &mut String {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.current.add(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        let command = std::mem::take(&mut self.current);
        if !command.words.is_empty() || !command.assignments.is_empty() {
            self.done.push(command);
        }
    }

    fn single_quoted(&mut self) {
        let end = self.rest.find('\'').unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        self.word().push_str(text);
    }

    fn double_quoted(&mut self) {
        self.word();
        while let Some(c) = self.next() {
            match c {
                '"' => return,
                '\\' => match self.next() {
                    Some(special @ ('"' | '\\' | '$' | '`')) => self.word().push(special),
                    Some('\n') | None => {}
                    Some(other) => self.word().extend(['\\', other]),
                },
                c => self.word().push(c),
            }
        }
    }

    /// Takes a substitution into the word as it is written; nested ones of the same kind are counted.
    fn substitution(&mut self, first: char, close: char) {
        let open = match close {
            ')' => '(',
            '}' => '{',
            _ => '\0',
        };
        let mut depth = usize::from(open == '\0');
        self.word().push(first);
        while let Some(c) = self.next() {
            self.word().push(c);
            if c == open {
                depth += 1;
            } else if c == close {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::commands;

    fn words(script: &str) -> Vec<Vec<String>> {
        commands(script).into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn scripts_come_apart() {
        let table: [(&str, &[&[&str]]); 14] = [
            ("a b && c || d; e | f & g", &[&["a", "b"], &["c"], &["d"], &["e"], &["f"], &["g"]]),
            ("a \\\n  b\nc", &[&["a", "b"], &["c"]]),
            ("a 'x y' \"z $v\" \\ q", &[&["a", "x y", "z $v", " q"]]),
            ("# all\na # some\nb#c", &[&["a"], &["b#c"]]),
            ("X=1 Y='2 3' make all", &[&["make", "all"]]),
            ("if [ -f x ]; then a; else b; fi", &[&["[", "-f", "x", "]"], &["a"], &["b"]]),
            ("for i in 1 2; do echo $i; done", &[&["for", "i", "in", "1", "2"], &["echo", "$i"]]),
            ("echo $(a && b) `c; d` ${x:-e;f}", &[&["echo", "$(a && b)", "`c; d`", "${x:-e;f}"]]),
            ("(cd x && y)", &[&["cd", "x"], &["y"]]),
            ("sudo -E", &[&["-E"]]),
            ("/usr/bin/apt-get update", &[&["/usr/bin/apt-get", "update"]]),
            ("echo \"a && b\"", &[&["echo", "a && b"]]),
            ("'open", &[&["open"]]),
            ("", &[]),
        ];
        for (script, wanted) in table {
            assert_eq!(words(script), wanted, "for {script:?}");
        }
    }

    #[test]
    fn options_and_operands() {
        let all = commands("NODE_ENV=production /usr/bin/npm ci --omit=dev --cache x pkg");
        let command = &all[0];
        assert_eq!(command.program(), "npm");
        assert_eq!(command.assignments, [("NODE_ENV".to_owned(), "production".to_owned())]);
        assert!(command.has_option("--omit") && !command.has_option("--om"));
        assert_eq!(command.option_values("--omit").collect::<Vec<_>>(), ["dev"]);
        assert_eq!(command.option_values("--cache").collect::<Vec<_>>(), ["x"]);
        assert_eq!(command.operands().collect::<Vec<_>>(), ["ci", "x", "pkg"]);
    }

    #[test]
    fn unfinished_things_end() {
        for script in ["$(((", "`", "${", "\"", "\\", "$(a`", "((((", "'"] {
            commands(&script.repeat(10_000));
        }
    }
}
