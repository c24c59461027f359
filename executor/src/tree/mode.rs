//! `--chmod`: octal, or symbolic as `chmod` reads it.

use super::TreeError;

/// A change of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeChange {
    /// These permissions, whatever they were.
    Octal(u32),
    /// Changes one after the other.
    Symbolic(Vec<Clause>),
}

/// One change: `u+x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Whose bits: as a mask of `0o700`, `0o070`, `0o007`.
    who: u32,
    operation: char,
    permissions: Permissions,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Permissions {
    /// `rwxXst`.
    Letters(String),
    /// The bits of another: `g=u`.
    Copy(char),
}

impl ModeChange {
    /// Reads a mode.
    pub fn parse(text: &str) -> Result<Self, TreeError> {
        let bad = || TreeError::Mode { mode: text.to_owned() };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).map_err(|_| bad())?;
            return if mode <= 0o7777 { Ok(Self::Octal(mode)) } else { Err(bad()) };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clauses.extend(clauses_of(part).ok_or_else(bad)?);
        }
        Ok(Self::Symbolic(clauses))
    }

    /// Returns the octal mode, which directories that are made on the way get too.
    pub fn octal(&self) -> Option<u32> {
        match self {
            Self::Octal(mode) => Some(*mode),
            Self::Symbolic(_) => None,
        }
    }

    /// Returns what becomes of permissions.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Octal(octal) => *octal,
            Self::Symbolic(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_dir)),
        }
    }
}

/// Reads `ug+rw-x`: whose bits, then one or more operations.
fn clauses_of(part: &str) -> Option<Vec<Clause>> {
    let start = part.find(['+', '-', '='])?;
    let (whose, mut rest) = part.split_at(start);
    let mut who = 0;
    for letter in whose.chars() {
        who |= match letter {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    let who = if whose.is_empty() { 0o777 } else { who };
    let mut clauses = Vec::new();
    while let Some(operation) = rest.chars().next() {
        let body = &rest[1..];
        let end = body.find(['+', '-', '=']).unwrap_or(body.len());
        let letters = &body[..end];
        let permissions = match letters {
            "u" | "g" | "o" => Permissions::Copy(letters.chars().next()?),
            _ if letters.chars().all(|letter| "rwxXst".contains(letter)) => {
                Permissions::Letters(letters.to_owned())
            }
            _ => return None,
        };
        clauses.push(Clause { who, operation, permissions });
        rest = &body[end..];
    }
    Some(clauses)
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        // Set-uid goes with the user's bits, set-gid with the group's, sticky with all three.
        let mut special = 0;
        if self.who & 0o700 != 0 {
            special |= 0o4000;
        }
        if self.who & 0o070 != 0 {
            special |= 0o2000;
        }
        if self.who & 0o007 != 0 {
            special |= 0o1000;
        }
        let bits = self.bits(mode, is_dir, special);
        match self.operation {
            '+' => mode | bits,
            '-' => mode & !bits,
            // A directory keeps set-uid and set-gid unless they are named, as GNU chmod does.
            _ if is_dir => mode & !(self.who | (special & 0o1000)) | bits,
            _ => mode & !(self.who | special) | bits,
        }
    }

    fn bits(&self, mode: u32, is_dir: bool, special: u32) -> u32 {
        let letters = match &self.permissions {
            Permissions::Copy(from) => {
                let three = match from {
                    'u' => mode >> 6,
                    'g' => mode >> 3,
                    _ => mode,
                } & 7;
                return (three * 0o111) & self.who;
            }
            Permissions::Letters(letters) => letters,
        };
        letters.chars().fold(0, |bits, letter| {
            bits | match letter {
                'r' => 0o444 & self.who,
                'w' => 0o222 & self.who,
                'x' => 0o111 & self.who,
                'X' if is_dir || mode & 0o111 != 0 => 0o111 & self.who,
                's' => 0o6000 & special,
                't' => 0o1000,
                _ => 0,
            }
        })
    }
}

#[cfg(test)]
mod tests;
