//! Credentials: out of Docker's configuration files, matched to images as the kubelet does.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use slipway_oci::Reference;

use crate::settings::Login;

mod helper;
mod matching;
#[cfg(test)]
mod tests;

use matching::Pattern;

/// Returns where a user's credentials usually are, by the environment: Docker's folder, and the file that podman, buildah
/// and skopeo share. For [`crate::Settings::credential_files`]; what does not exist is passed over.
pub fn usual_files(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let docker = path("DOCKER_CONFIG").or_else(|| Some(path("HOME")?.join(".docker")));
    let shared =
        path("REGISTRY_AUTH_FILE").or_else(|| Some(path("XDG_RUNTIME_DIR")?.join("containers/auth.json")));
    let kept = path("HOME").map(|home| home.join(".config/containers/auth.json"));
    [docker, shared, kept].into_iter().flatten().collect()
}

/// What a credential was found under, and the credential.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// For people: the key and the file, never the secret.
    pub(crate) origin: String,
    pub(crate) login: Login,
}

/// Docker's `config.json`, and the older `.dockercfg`, which is its `auths` alone.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: std::collections::BTreeMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: std::collections::BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_field_names)] // the format's names
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Returns all credentials for an image, the most specific first, files in their order.
pub(crate) async fn find(
    logins: &[(String, Login)],
    files: &[PathBuf],
    reference: &Reference,
) -> Result<Vec<Found>, String> {
    let mut found: Vec<(usize, Found)> = vec![];
    for (key, login) in logins {
        if let Some(rank) = Pattern::read(key).and_then(|pattern| pattern.matches(reference)) {
            found.push((rank, Found { origin: format!("`{key}`"), login: login.clone() }));
        }
    }
    for path in files {
        for file in files_of(path) {
            let text = match tokio::fs::read(&file).await {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{}: {error}", file.display())),
            };
            found.extend(of_file(&file, &text, reference).await?);
        }
    }
    // Stable: equally specific ones stay in their order.
    found.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

/// Returns the files that a path means: itself, or what a folder has under the usual names.
fn files_of(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        ["config.json", ".dockerconfigjson", ".dockercfg"].map(|name| path.join(name)).to_vec()
    } else {
        vec![path.to_owned()]
    }
}

async fn of_file(path: &Path, text: &[u8], reference: &Reference) -> Result<Vec<(usize, Found)>, String> {
    let file = parse(text).map_err(|reason| format!("{}: {reason}", path.display()))?;
    let mut found = vec![];
    let mut keys_seen = false;
    for (key, auth) in &file.auths {
        let Some(rank) = Pattern::read(key).and_then(|pattern| pattern.matches(reference)) else { continue };
        keys_seen = true;
        // An empty entry says: ask the helper.
        if let Some(login) =
            auth.login().map_err(|reason| format!("{}: `{key}`: {reason}", path.display()))?
        {
            found.push((rank, Found { origin: format!("`{key}` of {}", path.display()), login }));
        }
    }
    let server = matching::server_of(reference.registry());
    let special = file
        .cred_helpers
        .iter()
        .find(|(key, _)| Pattern::read(key).is_some_and(|pattern| pattern.matches(reference).is_some()));
    let helper = special.map(|(key, name)| (key.clone(), name.clone()));
    // Docker asks its one store for every registry.
    let helper = helper.or_else(|| file.creds_store.clone().map(|name| (server.to_owned(), name)));
    if let Some((key, name)) = helper.filter(|_| found.is_empty())
        && let Some(login) = helper::get(&name, &key).await.map_err(|reason| {
            let entry = if keys_seen { " (the file has an entry for this registry)" } else { "" };
            format!("docker-credential-{name}, named by {}{entry}: {reason}", path.display())
        })?
    {
        let origin = format!("docker-credential-{name} for `{key}`");
        found.push((matching::HOST_RANK, Found { origin, login }));
    }
    Ok(found)
}

fn parse(text: &[u8]) -> Result<File, String> {
    if text.trim_ascii().is_empty() {
        return Ok(File::default());
    }
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let object = value.as_object().ok_or("not a JSON object")?;
    let is_new = ["auths", "credsStore", "credHelpers"].iter().any(|key| object.contains_key(*key));
    let is_old = !is_new && !object.is_empty() && object.values().all(|entry| entry.get("auth").is_some());
    if is_old {
        let auths = serde_json::from_value(value).map_err(|error| error.to_string())?;
        return Ok(File { auths, ..File::default() });
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

impl Auth {
    fn login(&self) -> Result<Option<Login>, String> {
        let text = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(token) = text(&self.registrytoken) {
            return Ok(Some(Login::Bearer(token)));
        }
        if let Some(token) = text(&self.identitytoken) {
            return Ok(Some(Login::Identity(token)));
        }
        if let Some(auth) = text(&self.auth) {
            let lenient = GeneralPurposeConfig::new()
                .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
            let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
            let bytes = engine.decode(auth.trim()).map_err(|_| "`auth` is not base64")?;
            let pair = String::from_utf8(bytes).map_err(|_| "`auth` is not text")?;
            let (username, password) = pair.split_once(':').ok_or("`auth` is not `name:password`")?;
            // Some writers fill up with NULs.
            let password = password.trim_end_matches('\0');
            return Ok(Some(Login::Basic { username: username.into(), password: password.into() }));
        }
        match (text(&self.username), text(&self.password)) {
            (Some(username), Some(password)) => Ok(Some(Login::Basic { username, password })),
            _ => Ok(None),
        }
    }
}
