//! COPY and ADD.

use slipway_dockerfile::ast::{Copy, Word};
use slipway_dockerfile::chmod;
use slipway_dockerfile::diagnostic::Diagnostic;
use slipway_oci::Digest;
use std::fmt::Write as _;

use super::stage::State;
use super::{Lowering, paths};
use crate::ir::{CopyItem, CopyOp, Op, Unpack};
use crate::outline::{Origin, PlannedStep};
use crate::remote::{self, Remote};

impl Lowering<'_> {
    /// Makes the operation and the history of a COPY or ADD; nothing where an image is not known yet.
    pub(super) fn copy(
        &mut self,
        state: &State,
        copy: &Copy,
        step: &PlannedStep<'_>,
        added: bool,
    ) -> Result<Option<(Op, String)>, Diagnostic> {
        let words = &state.words;
        let one = |word: &Word| words.one(word, &state.env);
        let owner = words.maybe(copy.chown.as_ref(), &state.env)?.filter(|owner| !owner.is_empty());
        let mode = words.maybe(copy.chmod.as_ref(), &state.env)?.filter(|mode| !mode.is_empty());
        if let (Some(mode), Some(word)) = (&mode, &copy.chmod)
            && !chmod::is_valid(mode)
        {
            let message = format!("`--chmod={mode}` is no file mode");
            return Err(Diagnostic::error("bad-mode", words.place(word.span), message)
                .help("an octal number up to 07777, or a symbolic mode such as u=rwX,go=rX"));
        }
        let sources = copy.sources.iter().map(one).collect::<Result<Vec<String>, _>>()?;
        let dest = one(&copy.dest)?;
        let checksum =
            words.maybe(copy.checksum.as_ref(), &state.env)?.filter(|checksum| !checksum.is_empty());
        if let (Some(_), Some(word)) = (&checksum, &copy.checksum) {
            let remote =
                sources.len() == 1 && copy.heredocs.is_empty() && remote::kind(&sources[0]).is_some();
            if !remote {
                let message = "--checksum needs exactly one source, a URL or a git repository";
                return Err(Diagnostic::error("bad-checksum", words.place(word.span), message)
                    .help("split the ADD, or drop the flag"));
            }
        }
        let origin = step.origins.first().cloned().unwrap_or(Origin::Scratch);
        let Some(input) = self.input(&origin, &state.platform) else { return Ok(None) };

        let mut history = if added { "ADD" } else { "COPY" }.to_owned();
        if copy.parents {
            history.push_str(" --parents");
        }
        for (flag, value) in [("chown", &owner), ("chmod", &mode)] {
            if let Some(value) = value {
                let _ = write!(history, " --{flag}={value}");
            }
        }
        let mut items = vec![];
        for (source, word) in sources.iter().zip(&copy.sources) {
            let _ = write!(history, " {source}");
            let problem = |message: String| Diagnostic::error("bad-source", words.place(word.span), message);
            items.push(match remote::kind(source) {
                Some(_) if !added => {
                    return Err(problem(format!("COPY does not download `{source}`")).help("use ADD"));
                }
                Some(Remote::Url) => {
                    if let Some(checksum) = &checksum {
                        checksum.parse::<Digest>().map_err(|error| problem(error.to_string()))?;
                    }
                    CopyItem::Url { url: source.clone(), checksum: checksum.clone() }
                }
                Some(Remote::Git) => git_item(source, copy, checksum.as_deref()).map_err(problem)?,
                None => CopyItem::Path { input: input.clone(), pattern: paths::source(source, copy.parents) },
            });
        }
        for heredoc in &copy.heredocs {
            let _ = write!(history, " <<{}", heredoc.name);
            let data = if heredoc.expand {
                words.body(&heredoc.body, heredoc.body_span, &state.env)?
            } else {
                heredoc.body.clone()
            };
            items.push(CopyItem::Inline { name: heredoc.name.clone(), data });
        }
        let _ = write!(history, " {dest} # buildkit");
        let op = CopyOp {
            items,
            dest: paths::destination(&state.cwd(), &dest),
            // Such a copy reads the base to keep what it does not set, so it is none that links.
            link: copy.link && mode.is_none(),
            owner,
            mode,
            parents: copy.parents,
            exclude: copy.exclude.iter().map(|word| word.text.clone()).collect(),
            unpack: match (added, copy.unpack) {
                (false, _) | (true, Some(false)) => Unpack::Never,
                (true, Some(true)) => Unpack::Always,
                (true, None) => Unpack::Local,
            },
        };
        Ok(Some((Op::Copy(Box::new(op)), history)))
    }
}

fn git_item(source: &str, copy: &Copy, checksum: Option<&str>) -> Result<CopyItem, String> {
    let query = remote::git_query(source)?;
    let keep_git_dir = match (copy.keep_git_dir, query.keep_git_dir) {
        (Some(flag), Some(asked)) if flag != asked => {
            return Err("--keep-git-dir and the address's keep-git-dir disagree".to_owned());
        }
        (flag, asked) => asked.or(flag).unwrap_or(false),
    };
    let checksum = match (checksum, &query.checksum) {
        (Some(flag), Some(asked)) if flag != asked => {
            return Err(format!("--checksum says {flag}, the address says {asked}"));
        }
        (flag, asked) => asked.clone().or_else(|| flag.map(ToOwned::to_owned)),
    };
    if let Some(commit) = &checksum
        && (commit.len() < 7 || commit.len() > 64 || !commit.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(format!("`{commit}` is not a commit: 7 to 64 hex digits"));
    }
    Ok(CopyItem::Git { url: source.to_owned(), checksum, keep_git_dir })
}
