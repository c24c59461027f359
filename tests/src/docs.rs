//! The documentation as data: files, fenced blocks, the commands in them.

use std::path::{Path, PathBuf};

use crate::tools::checkout;

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// Where it begins: file and line, for messages.
    pub place: String,
    /// The word behind the fence.
    pub language: String,
    /// Its lines.
    pub text: String,
}

/// Returns every Markdown file of the checkout that people read.
pub fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in ["docs", "examples", "charts"] {
        collect(&checkout(place), &mut found);
    }
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        found.push(checkout(name));
    }
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// Returns the fenced blocks of a text, and the text without them.
pub fn blocks(file: &Path, text: &str) -> (Vec<Block>, String) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut prose = String::new();
    let mut open: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let words = line.trim_start();
        let fence = words.trim_start_matches('`');
        let ticks = &words[..words.len() - fence.len()];
        match &open {
            None if ticks.len() >= 3 => {
                let place = format!("{}:{}", file.display(), number + 1);
                blocks.push(Block { place, language: fence.trim().to_owned(), text: String::new() });
                open = Some(ticks.to_owned());
            }
            Some(fence) if words == fence => open = None,
            Some(_) => {
                if let Some(block) = blocks.last_mut() {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
            }
            None => {
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    (blocks, prose)
}

/// Returns the blocks of all files.
pub fn all_blocks() -> Vec<Block> {
    let read = |file: &PathBuf| std::fs::read_to_string(file).map(|text| blocks(file, &text).0);
    files().iter().filter_map(|file| read(file).ok()).flatten().collect()
}

/// Returns the words of every call of a program in shell blocks, each with its place.
pub fn calls(program: &str) -> Vec<(String, Vec<String>)> {
    let mut calls = Vec::new();
    for block in all_blocks().iter().filter(|b| matches!(b.language.as_str(), "sh" | "console" | "")) {
        for line in block.text.replace("\\\n", " ").lines() {
            let line = line.trim_start().trim_start_matches("$ ");
            for part in commands(line) {
                if let Some(words) = words_behind(&part, program) {
                    calls.push((block.place.clone(), words.to_vec()));
                }
            }
        }
    }
    calls
}

/// Returns what stands behind a program, whose name may have several words.
fn words_behind<'a>(command: &'a [String], program: &str) -> Option<&'a [String]> {
    let mut rest = command;
    for wanted in program.split(' ') {
        let (first, behind) = rest.split_first()?;
        if first != wanted {
            return None;
        }
        rest = behind;
    }
    Some(rest)
}

/// Splits a shell line into commands and words: enough of the shell's rules for what stands in documentation.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => word.push(letter),
            ('\'' | '"', None) => (begun, quote) = (true, Some(letter)),
            ('#', None) if !begun => break,
            ('|' | ';' | '&', None) => {
                flush(&mut all, &mut word, &mut begun);
                all.push(Vec::new());
            }
            // What follows is a file.
            ('<' | '>', None) => {
                flush(&mut all, &mut word, &mut begun);
                while letters.next_if(|c| c.is_whitespace() || *c == '>').is_some() {}
                while letters.next_if(|c| !c.is_whitespace()).is_some() {}
            }
            (space, None) if space.is_whitespace() => flush(&mut all, &mut word, &mut begun),
            (other, None) => {
                word.push(other);
                begun = true;
            }
        }
    }
    flush(&mut all, &mut word, &mut begun);
    all.retain(|command| !command.is_empty());
    all
}

fn flush(all: &mut [Vec<String>], word: &mut String, begun: &mut bool) {
    if let Some(last) = all.last_mut().filter(|_| *begun) {
        last.push(std::mem::take(word));
    }
    *begun = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_a_shell_does() {
        let line = "slipway build -o \"type=oci,dest=a b\" . > log && tar x -  # why";
        assert_eq!(
            commands(line),
            [vec!["slipway", "build", "-o", "type=oci,dest=a b", "."], vec!["tar", "x", "-"]]
        );
        assert_eq!(
            commands("kubectl get ib | grep 'a;b'"),
            [vec!["kubectl", "get", "ib"], vec!["grep", "a;b"]]
        );
        assert_eq!(
            commands("slipway build https://git.example/a.git#main"),
            [["slipway", "build", "https://git.example/a.git#main"]]
        );
    }

    #[test]
    fn blocks_are_told_from_prose() {
        let (blocks, prose) = blocks(Path::new("a.md"), "one\n```sh\nls\n```\ntwo\n");
        assert_eq!((blocks[0].language.as_str(), blocks[0].text.as_str()), ("sh", "ls\n"));
        assert_eq!(prose, "one\ntwo\n");
    }
}
