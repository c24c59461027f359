//! Git: resolves references to commits, and checks commits out into the store. The `git` program does the talking.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use slipway_oci::Digest;
use slipway_store::{LayerId, LayerMeta, Store};
use tokio::process::Command;

use super::{FetchError, trust};

/// Where from and what, as `url#ref:folder` or `url?query` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The repository.
    pub url: String,
    /// A branch, tag, full reference or commit; empty for the default branch.
    pub reference: String,
    /// The folder of the repository that is wanted; empty for all of it.
    pub folder: String,
    /// Fetch submodules.
    pub submodules: bool,
    /// Keep `.git`.
    pub keep_git_dir: bool,
    /// The commit that it must be; a prefix will do.
    pub checksum: Option<String>,
    /// How much history; 0 for all.
    pub depth: u32,
}

/// What git needs to get in: a folder with `username`, `password`, `identity`, `known_hosts`, `ca.crt`, those that there are.
#[derive(Clone, Debug, Default)]
pub struct Credentials(pub Option<PathBuf>);

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its full id.
    pub id: String,
    /// The full reference that named it, where one did: `refs/heads/main`.
    pub reference: Option<String>,
}

impl Source {
    /// Reads an address with fragment and query.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let refused = |reason: &str| FetchError::Address { url: text.to_owned(), reason: reason.to_owned() };
        let (head, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (url, query) = head.split_once('?').unwrap_or((head, ""));
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut source = Self {
            url: url.to_owned(),
            reference: reference.to_owned(),
            folder: folder.to_owned(),
            submodules: true,
            depth: 1,
            ..Self::default()
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let yes = !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False");
            match name {
                "ref" => value.clone_into(&mut source.reference),
                "tag" => source.reference = format!("refs/tags/{value}"),
                "branch" => source.reference = format!("refs/heads/{value}"),
                "subdir" => value.clone_into(&mut source.folder),
                "checksum" | "commit" => source.checksum = Some(value.to_owned()),
                "keep-git-dir" => source.keep_git_dir = yes,
                "submodules" => source.submodules = yes,
                _ => {}
            }
        }
        if source.url.starts_with('-') || source.reference.starts_with('-') {
            return Err(refused("an address or reference cannot begin with `-`"));
        }
        if source.folder.split('/').any(|part| part == "..") {
            return Err(refused("the folder leaves the repository"));
        }
        Ok(source)
    }

    /// Returns the name of the commit's tree in the store.
    pub fn layer(&self, commit: &Commit) -> LayerId {
        let text = format!(
            "git tree 1\n{}\n{}\n{}\n{}\n{}",
            commit.id, self.folder, self.keep_git_dir, self.submodules, self.url
        );
        LayerId::source(Digest::of(text))
    }
}

impl Commit {
    /// Says what it is, for people and to compare: `main@sha1:…`.
    pub fn revision(&self) -> String {
        let name = self
            .reference
            .as_deref()
            .map(|name| name.trim_start_matches("refs/heads/").trim_start_matches("refs/"));
        name.map_or_else(|| format!("sha1:{}", self.id), |name| format!("{name}@sha1:{}", self.id))
    }
}

/// Tells whether a text is a full commit id.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Asks the repository which commit a reference is.
pub async fn resolve(source: &Source, credentials: &Credentials) -> Result<Commit, FetchError> {
    let check = |commit: Commit| match &source.checksum {
        Some(expected) if !commit.id.starts_with(&expected.to_ascii_lowercase()) => {
            Err(FetchError::Checksum {
                url: source.url.clone(),
                expected: expected.clone(),
                actual: commit.id,
            })
        }
        _ => Ok(commit),
    };
    if is_commit(&source.reference) {
        return check(Commit { id: source.reference.to_ascii_lowercase(), reference: None });
    }
    let listing = git(source, credentials, None, &["ls-remote", "--symref", "--", &source.url]).await?;
    let wanted = if source.reference.is_empty() { "HEAD" } else { source.reference.as_str() };
    let mut head = None;
    let mut refs = Vec::new();
    for line in listing.lines() {
        match line.split_once('\t') {
            Some((target, "HEAD")) if target.starts_with("ref: ") => {
                head = target.strip_prefix("ref: ").map(ToOwned::to_owned);
            }
            Some((id, name)) if is_commit(id) => refs.push((name, id)),
            _ => {}
        }
    }
    let candidates = [
        wanted.to_owned(),
        format!("refs/tags/{wanted}"),
        format!("refs/heads/{wanted}"),
        format!("refs/{wanted}"),
    ];
    for candidate in candidates {
        // A tag object stands for the commit that it tags.
        let peeled = format!("{candidate}^{{}}");
        let of = |name: &str| refs.iter().find(|(found, _)| *found == name).map(|(_, id)| (*id).to_owned());
        if let Some(id) = of(&peeled).or_else(|| of(&candidate)) {
            let reference = if candidate == "HEAD" { head } else { Some(candidate) };
            return check(Commit { id, reference });
        }
    }
    let hint = if wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        "; a commit must be given whole, with 40 digits"
    } else {
        ""
    };
    Err(FetchError::Git {
        url: source.url.clone(),
        reason: format!("it has no branch, tag or reference `{wanted}`{hint}"),
    })
}

/// Brings a commit's tree into the store and returns its name there.
pub async fn checkout(
    store: &Store,
    source: &Source,
    commit: &Commit,
    credentials: &Credentials,
) -> Result<LayerId, FetchError> {
    let layer = source.layer(commit);
    let in_store = |error| FetchError::Store { url: source.url.clone(), source: error };
    if store.hold_layer(&layer).map_err(in_store)? {
        return Ok(layer);
    }
    let writer = store.layer_writer(&layer).map_err(in_store)?;
    let failed = |error| FetchError::Io { url: source.url.clone(), source: error };
    let work = writer.work().join("clone");
    fs::create_dir_all(&work).map_err(failed)?;
    let run = |args: Vec<String>| {
        let work = work.clone();
        async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            git(source, credentials, Some(&work), &args).await
        }
    };
    let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
    run(words("init --quiet")).await?;
    let mut remote = words("remote add origin");
    remote.push(source.url.clone());
    run(remote).await?;
    fetch_commit(source, commit, &run).await?;
    run(words("checkout --quiet --force --detach FETCH_HEAD")).await?;
    let at = run(words("rev-parse HEAD")).await?;
    if at.trim() != commit.id {
        let (expected, actual) = (commit.id.clone(), at.trim().to_owned());
        return Err(FetchError::Checksum { url: source.url.clone(), expected, actual });
    }
    if source.submodules && work.join(".gitmodules").exists() {
        let depth = if source.depth > 0 {
            format!("--depth={}", source.depth)
        } else {
            "--no-single-branch".to_owned()
        };
        let mut update = words("submodule --quiet update --init --recursive");
        update.push(depth);
        run(update).await?;
    }
    // Before the folder is looked for, which may be a link to it.
    if !source.keep_git_dir {
        remove_git_dirs(&work).map_err(failed)?;
    }
    let tree = confined(&work, &source.folder, &source.url)?;
    plain_modes(&tree).map_err(failed)?;
    fs::remove_dir(writer.fs()).and_then(|()| fs::rename(&tree, writer.fs())).map_err(failed)?;
    writer.commit(LayerMeta::default()).map_err(in_store)?;
    store.hold_layer(&layer).map_err(in_store)?;
    Ok(layer)
}

/// Fetches one commit: by its reference, which every server allows, else by its id, else with everything.
async fn fetch_commit<F, R>(source: &Source, commit: &Commit, run: &F) -> Result<(), FetchError>
where
    F: Fn(Vec<String>) -> R,
    R: Future<Output = Result<String, FetchError>>,
{
    let fetch = |what: &[&str], shallow: bool| {
        let mut args: Vec<String> =
            ["fetch", "--quiet", "--no-tags", "--force"].map(ToOwned::to_owned).into();
        if shallow && source.depth > 0 {
            args.push(format!("--depth={}", source.depth));
        }
        args.push("origin".to_owned());
        args.extend(what.iter().map(|word| (*word).to_owned()));
        run(args)
    };
    if fetch(&[&commit.id], true).await.is_ok() {
        return Ok(());
    }
    if let Some(reference) = &commit.reference {
        fetch(&[reference], true).await.map(drop)
    } else {
        fetch(&["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"], false).await?;
        let args = ["update-ref", "FETCH_HEAD"].map(ToOwned::to_owned).into_iter().chain([commit.id.clone()]);
        run(args.collect()).await.map(drop)
    }
}

/// Returns a folder of the checkout, refusing one that a symbolic link leads out of, or into what git keeps.
fn confined(work: &Path, folder: &str, url: &str) -> Result<PathBuf, FetchError> {
    let missing =
        |_| FetchError::Git { url: url.to_owned(), reason: format!("the commit has no folder `{folder}`") };
    let root = work.canonicalize().map_err(missing)?;
    let path = root.join(folder.trim_matches('/')).canonicalize().map_err(missing)?;
    // What git keeps for itself, an address with a password for one, is no folder of the commit.
    let own = path.strip_prefix(&root).is_ok_and(|below| below.iter().any(|part| part == ".git"));
    if path.starts_with(&root) && path.is_dir() && !own {
        return Ok(path);
    }
    Err(FetchError::Git { url: url.to_owned(), reason: format!("`{folder}` is not a folder of the commit") })
}

/// Removes `.git` of the repository and of its submodules.
fn remove_git_dirs(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if entry.file_name() == ".git" {
            if kind.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        } else if kind.is_dir() {
            remove_git_dirs(&entry.path())?;
        }
    }
    Ok(())
}

/// Gives files 0644 or 0755 and folders 0755, whatever the umask here is.
fn plain_modes(directory: &Path) -> std::io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            plain_modes(&entry.path())?;
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            fs::set_permissions(
                entry.path(),
                fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }),
            )?;
        }
    }
    Ok(())
}

/// Tells git a name and a password from the environment.
const HELPER: &str =
    r#"!f() { printf 'username=%s\npassword=%s\n' "$SLIPWAY_GIT_USERNAME" "$SLIPWAY_GIT_PASSWORD"; }; f"#;

/// Names git the file with the authorities that it trusts.
const AUTHORITIES: &str = "GIT_SSL_CAINFO";

/// Runs git and returns what it prints. Only network protocols, no prompts, no configuration of the machine.
async fn git(
    source: &Source,
    credentials: &Credentials,
    place: Option<&Path>,
    args: &[&str],
) -> Result<String, FetchError> {
    let failed = |reason: String| FetchError::Git { url: source.url.clone(), reason };
    let mut command = Command::new("git");
    command.args([
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "advice.detachedHead=false",
        "-c",
        "init.defaultBranch=main",
    ]);
    command.args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
    command.env("GIT_ALLOW_PROTOCOL", "http:https:ssh:git").env("GIT_LFS_SKIP_SMUDGE", "1");
    if let Some(place) = place {
        command.current_dir(place).env("GIT_DIR", place.join(".git")).env("GIT_WORK_TREE", place);
    }
    let mut settings: Vec<(String, String)> = Vec::new();
    if let Some(bundle) = trust::bundle() {
        // Not a setting: the variable counts more than `http.sslCAInfo`, and may be set on this machine.
        command.env(AUTHORITIES, bundle);
    }
    let mut ssh = "ssh -o BatchMode=yes".to_owned();
    if let Some(folder) = &credentials.0 {
        command.env("HOME", "/nonexistent");
        let read = |name: &str| {
            fs::read_to_string(folder.join(name)).ok().map(|text| text.trim_end_matches('\n').to_owned())
        };
        if let Some(password) = read("password").or_else(|| read("token")) {
            let user = read("username").unwrap_or_else(|| "git".to_owned());
            settings.push((format!("http.{}.extraHeader", origin(&source.url)), basic(&user, &password)));
            // Only credentials that git knows of make it pass on what the server says of them.
            settings.push((format!("credential.{}.helper", origin(&source.url)), HELPER.to_owned()));
            command.env("SLIPWAY_GIT_USERNAME", user).env("SLIPWAY_GIT_PASSWORD", password);
        }
        if folder.join("ca.crt").exists() {
            command.env(AUTHORITIES, folder.join("ca.crt"));
        }
        if folder.join("identity").exists() {
            ssh = format!("{ssh} -o IdentitiesOnly=yes -i {}", quote(&folder.join("identity")));
        }
        ssh = match folder.join("known_hosts") {
            known if known.exists() => {
                format!("{ssh} -o StrictHostKeyChecking=yes -o UserKnownHostsFile={}", quote(&known))
            }
            _ => format!("{ssh} -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null"),
        };
    }
    command.env("GIT_SSH_COMMAND", ssh).env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (number, (key, value)) in settings.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
    }
    let output = command.output().await.map_err(|error| failed(format!("cannot start `git`: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // A folder may hold no more than an authority's certificate.
    let given =
        |folder: &PathBuf| ["password", "token", "identity"].iter().any(|name| folder.join(name).exists());
    Err(failed(explain(said.trim(), credentials.0.as_ref().is_some_and(given))))
}

/// Returns scheme and host of an address, which a credential is for.
fn origin(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}/", rest.split('/').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!(
        "Authorization: Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}

/// Quotes a path for the shell that git starts ssh with.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Adds what to do to what git says.
fn explain(said: &str, has_credentials: bool) -> String {
    let denied = ["Authentication failed", "could not read Username", "Permission denied", "403", "401"];
    if denied.iter().any(|sign| said.contains(sign)) {
        let hint = if !has_credentials {
            "it wants credentials and none are given: name a Secret in spec.source.git.secretRef"
        } else if said.contains("expired") {
            "the credentials have expired: put new ones into the Secret"
        } else {
            "the credentials are refused: are they right, and for this repository?"
        };
        // What git says of its own prompts says nothing to anybody here.
        let words: Vec<&str> =
            said.lines().map(str::trim).filter(|line| !line.contains("terminal prompts disabled")).collect();
        let words = if words.is_empty() { "the server refuses".to_owned() } else { words.join("; ") };
        return format!("{words} ({hint})");
    }
    if said.contains("Host key verification failed") {
        return format!("{said} (put the server's key into `known_hosts` of the secret)");
    }
    if said.is_empty() { "it failed without a word".to_owned() } else { said.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_and_queries_are_read() {
        let source = Source::parse("https://h/a.git#main:web/app").expect("readable");
        assert_eq!(
            (source.url.as_str(), source.reference.as_str(), source.folder.as_str()),
            ("https://h/a.git", "main", "web/app")
        );
        let source =
            Source::parse("https://h/a.git?tag=v1&subdir=x&submodules=0&checksum=abc").expect("readable");
        assert_eq!(source.reference, "refs/tags/v1");
        assert_eq!(
            (source.folder.as_str(), source.submodules, source.checksum.as_deref()),
            ("x", false, Some("abc"))
        );
    }

    #[test]
    fn options_and_ways_out_are_refused() {
        for text in ["--upload-pack=x", "https://h/a.git#--x", "https://h/a.git#main:../x"] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }
}
