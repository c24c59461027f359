//! File modes as `--chmod` takes them: octal, or symbolic as in chmod(1).

/// Tells whether a text is an octal mode up to 07777 or a symbolic one.
pub fn is_valid(text: &str) -> bool {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return text.bytes().all(|b| b.is_ascii_digit())
            && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777);
    }
    !text.is_empty() && text.split(',').all(is_clause)
}

/// `[ugoa]*([-+=][rwxXstugo]*)+`: permissions and copies of a class can be mixed.
fn is_clause(clause: &str) -> bool {
    let mut rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(['-', '+', '=']) else { return false };
        rest = after.trim_start_matches(['r', 'w', 'x', 'X', 's', 't', 'u', 'g', 'o']);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn octal_and_symbolic_modes() {
        for mode in [
            "0",
            "755",
            "0644",
            "07777",
            "u=rwX,go=rX",
            "+x",
            "a-w",
            "g=u",
            "u+s,o+t",
            "u=",
            "=r",
            "u+r-w",
            "go=u-w",
            "g=ur",
        ] {
            assert!(is_valid(mode), "{mode}");
        }
        for mode in ["", "8", "10000", "0o755", "rwx", "u", "u=q", "u=rw,", "755x", "-1 "] {
            assert!(!is_valid(mode), "{mode}");
        }
    }
}
