//! Templates of tags: `{{branch}}-{{shortSha}}`.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// What templates of tags can say of the source.
pub(super) struct SourceNames(BTreeMap<&'static str, String>);

impl SourceNames {
    /// Reads a revision: `main@sha1:…`, `tags/v1@sha1:…`, `sha1:…`, `sha256:…`.
    pub(super) fn of(revision: &str) -> Self {
        let (reference, id) = revision.rsplit_once('@').unwrap_or(("", revision));
        let sha = id.rsplit_once(':').map_or(id, |(_, hex)| hex);
        let mut names = BTreeMap::new();
        if !sha.is_empty() {
            names.insert("sha", sha.to_owned());
            names.insert("shortSha", sha.chars().take(7).collect());
        }
        if let Some(tag) = reference.strip_prefix("tags/") {
            names.insert("tag", clean(tag));
        } else if !reference.is_empty() {
            names.insert("branch", clean(reference.trim_start_matches("heads/")));
        }
        let now = Timestamp::now();
        names.insert("date", now.strftime("%Y%m%d").to_string());
        names.insert("unixTime", now.as_second().to_string());
        Self(names)
    }

    /// Fills in a template.
    pub(super) fn fill(&self, template: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let (name, after) =
                after.split_once("}}").ok_or_else(|| format!("tag `{template}`: `{{{{` without `}}}}`"))?;
            let known: Vec<&str> = self.0.keys().copied().collect();
            let value = self.0.get(name.trim()).ok_or_else(|| {
                format!("tag `{template}`: this source has no `{}`; it has {}", name.trim(), known.join(", "))
            })?;
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Makes a branch's name fit for a tag.
fn clean(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
    name.trim_start_matches(['.', '-', '/']).chars().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_the_words_of_the_source() {
        let names = SourceNames::of("feature/login@sha1:0123456789abcdef");
        assert_eq!(names.fill("{{branch}}-{{shortSha}}").as_deref(), Ok("feature-login-0123456"));
        assert!(names.fill("{{tag}}").is_err_and(|text| text.contains("no `tag`")));
        let names = SourceNames::of("tags/v1.2@sha1:0123456789abcdef");
        assert_eq!(names.fill("{{tag}}").as_deref(), Ok("v1.2"));
        assert!(names.fill("{{tag").is_err());
    }
}
