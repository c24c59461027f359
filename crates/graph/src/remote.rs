//! What `ADD` downloads: URLs and git repositories, told by their spelling.

/// What kind of remote source a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    /// A file over http or https.
    Url,
    /// A git repository.
    Git,
}

/// The parts of a git source that decide what is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GitQuery {
    /// `checksum` or `commit`.
    pub(crate) checksum: Option<String>,
    /// `keep-git-dir`.
    pub(crate) keep_git_dir: Option<bool>,
}

/// Tells whether a source is remote. A scheme or `user@host:path` decides; an http address is a repository when its
/// path ends in `.git`. `github.com/owner/name` without a scheme is a local path.
#[allow(clippy::case_sensitive_file_extension_comparisons)] // `.GIT` is no repository to git either
pub(crate) fn kind(text: &str) -> Option<Remote> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let path = rest.split(['#', '?']).next().unwrap_or_default();
        return match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" if path.contains('/') && path.ends_with(".git") => Some(Remote::Git),
            "http" | "https" if matches!(scheme, "http" | "https") => Some(Remote::Url),
            "git" | "ssh" => Some(Remote::Git),
            _ => None,
        };
    }
    is_scp(text).then_some(Remote::Git)
}

/// Recognises `user@host:path`.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    word(user) && word(host) && !path.is_empty()
}

/// Reads the query of a git source: `?ref=…&subdir=…&checksum=…`.
pub(crate) fn git_query(url: &str) -> Result<GitQuery, String> {
    let before_fragment = url.split('#').next().unwrap_or_default();
    let mut out = GitQuery::default();
    let Some((_, query)) = before_fragment.split_once('?') else { return Ok(out) };
    let mut seen = vec![];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return Err(format!("`{name}` stands twice in the query"));
        }
        seen.push(name);
        let switch = matches!(name, "submodules" | "keep-git-dir" | "fetch-by-commit");
        if value.is_empty() && !switch {
            return Err(format!("`{name}` in the query has no value"));
        }
        match name {
            "checksum" | "commit" => out.checksum = Some(value.to_owned()),
            "keep-git-dir" => out.keep_git_dir = Some(boolean(name, value)?),
            "submodules" | "fetch-by-commit" => drop(boolean(name, value)?),
            "mtime" if !matches!(value, "checkout" | "commit") => {
                return Err(format!("`mtime={value}` is neither `checkout` nor `commit`"));
            }
            "ref" | "tag" | "branch" | "subdir" | "mtime" => {}
            _ => return Err(format!("`{name}` is not a known part of a git query")),
        }
    }
    Ok(out)
}

fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{name}={value}` is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::{GitQuery, Remote, git_query, kind};

    #[test]
    fn tells_remote_sources_by_their_spelling() {
        for (text, expected) in [
            ("https://example.com/a.tar.gz", Some(Remote::Url)),
            ("http://example.com", Some(Remote::Url)),
            ("https://github.com/a/b.git", Some(Remote::Git)),
            ("https://github.com/a/b.git#v1:sub", Some(Remote::Git)),
            ("https://github.com/a/b.git?tag=v1", Some(Remote::Git)),
            ("https://github.com/a/b?x=y.git", Some(Remote::Url)),
            ("git://example.com/b", Some(Remote::Git)),
            ("ssh://git@example.com/b", Some(Remote::Git)),
            ("git@github.com:a/b.git", Some(Remote::Git)),
            ("git@github.com:a/b.git#main", Some(Remote::Git)),
            ("github.com/a/b", None),
            ("ftp://example.com/x", None),
            ("./a@b:c", None),
            ("src/", None),
            ("user@host", None),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn reads_git_queries() {
        let query = git_query("https://h/a.git?commit=abc&keep-git-dir=1&subdir=x#ignored").unwrap();
        assert_eq!(query, GitQuery { checksum: Some("abc".into()), keep_git_dir: Some(true) });
        assert!(git_query("https://h/a.git?ref=").is_err());
        assert!(git_query("https://h/a.git?nope=1").is_err());
        assert!(git_query("https://h/a.git?ref=a&ref=b").is_err());
        assert_eq!(git_query("https://h/a.git#x?y"), Ok(GitQuery::default()));
    }
}
