//! `WWW-Authenticate`: what a registry wants to see before it answers.

/// A challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A name and a password with every request.
    Basic,
    /// A token that another service gives.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// Reads the header's values; a token is preferred where both are offered.
    pub(crate) fn read<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for value in values {
            for (scheme, parameters) in split(value) {
                if scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
                let get = |name: &str| {
                    parameters
                        .iter()
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.clone())
                };
                if scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = get("realm")
                {
                    return Some(Self::Bearer { realm, service: get("service"), scope: get("scope") });
                }
            }
        }
        basic
    }
}

type Parameters = Vec<(String, String)>;

/// Splits a header value into schemes with their parameters.
fn split(value: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = vec![];
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let word = &rest[..end];
        let after = rest[end..].trim_start_matches([' ', '\t']);
        match after.strip_prefix('=') {
            Some(value) if !word.is_empty() => {
                let (value, next) = parameter(value.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest = next;
            }
            // A stray `=`: not for us.
            Some(next) => rest = next,
            None => {
                found.push((word.to_owned(), vec![]));
                rest = after;
            }
        }
    }
}

/// Reads a value, quoted or not, and returns what follows.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, character) in quoted.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &quoted[at + 1..]),
            other => {
                value.push(other);
                escaped = false;
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_registries_send() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
                scope: scope.map(Into::into),
            })
        };
        let table = [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull,push""#,
                bearer("https://a/t", Some("s"), Some("repository:x:pull,push")),
            ),
            (r#"bearer realm="https://a/t""#, bearer("https://a/t", None, None)),
            (r"Bearer realm=https://a/t, service=s", bearer("https://a/t", Some("s"), None)),
            (r#"Bearer realm = "https://a/\"t", x="#, bearer("https://a/\"t", None, None)),
            (r#"Basic realm="r", Bearer realm="https://a/t""#, bearer("https://a/t", None, None)),
            (r#"Basic realm="Registry""#, Some(Challenge::Basic)),
            ("BASIC", Some(Challenge::Basic)),
            ("Bearer", None),
            ("Negotiate", None),
            ("", None),
            ("=,=,\"", None),
            (r#"Bearer realm="unclosed"#, bearer("unclosed", None, None)),
        ];
        for (header, expected) in table {
            assert_eq!(Challenge::read([header].into_iter()), expected, "{header}");
        }
    }
}
