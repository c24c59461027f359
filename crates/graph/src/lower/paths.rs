//! Paths as text, with the rules of the language: joined, cleaned, a trailing slash kept where it means something.

/// Cleans a path without looking at any file: no `.`, no `..`, no doubled slash. Relative paths start at `/`.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Joins and cleans.
pub(super) fn join(dir: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{dir}/{path}")) }
}

/// Returns the new working directory. An absolute one stays as written, since images show it so.
pub(super) fn workdir(current: &str, path: &str) -> String {
    match path {
        "" => clean(current),
        path if path.starts_with('/') => path.to_owned(),
        path => join(current, path),
    }
}

/// Returns where a copy goes: absolute, with a trailing slash where the text says that it is a directory.
pub(super) fn destination(dir: &str, dest: &str) -> String {
    let is_directory = matches!(dest, "" | "." | "..")
        || dest.ends_with('/')
        || dest.ends_with("/.")
        || dest.ends_with("/..");
    let path = join(dir, dest);
    if is_directory && path != "/" { path + "/" } else { path }
}

/// Returns a copy's source: absolute and clean; with `parents`, `/./` stays where the kept part begins.
pub(super) fn source(text: &str, parents: bool) -> String {
    match text.split_once("/./") {
        Some((base, kept)) if parents => {
            let base = clean(base);
            let base = if base == "/" { "" } else { base.as_str() };
            format!("{base}/.{}", clean(kept))
        }
        _ => clean(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{clean, destination, join, source, workdir};

    #[test]
    fn cleans() {
        for (path, expected) in
            [("", "/"), (".", "/"), ("a//b/./c/..", "/a/b"), ("../../x", "/x"), ("/a/", "/a"), ("/..", "/")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
        assert_eq!(join("/a", "../b"), "/b");
        assert_eq!(join("/a", "/b/."), "/b");
    }

    #[test]
    fn knows_directories_by_their_spelling() {
        for (dest, expected) in [
            (".", "/app/"),
            ("./", "/app/"),
            ("", "/app/"),
            ("x", "/app/x"),
            ("x/", "/app/x/"),
            ("/", "/"),
            ("/a/.", "/a/"),
        ] {
            assert_eq!(destination("/app", dest), expected, "{dest}");
        }
        assert_eq!(destination("/", "."), "/");
    }

    #[test]
    fn working_directories_and_sources() {
        assert_eq!(workdir("/a", "b"), "/a/b");
        assert_eq!(workdir("", "b"), "/b");
        assert_eq!(workdir("/a", "/c/"), "/c/");
        assert_eq!(source("./src/", false), "/src");
        assert_eq!(source("a/./b/c", false), "/a/b/c");
        assert_eq!(source("a/./b/c", true), "/a/./b/c");
        assert_eq!(source("/./b", true), "/./b");
    }
}
