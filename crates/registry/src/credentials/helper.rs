//! Credential helpers: programs named `docker-credential-<name>` that keep credentials elsewhere.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::settings::Login;

/// How long a helper may take; some ask a cloud service.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper for the credentials of a server; none if it has none.
pub(super) async fn get(name: &str, server: &str) -> Result<Option<Login>, String> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        return Err("the helper's name may only have letters, digits, `-`, `_` and `.`".into());
    }
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such program on the path".to_owned(),
            _ => error.to_string(),
        })?;
    let talk = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(server.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(TIMEOUT, talk)
        .await
        .map_err(|_| format!("it did not answer within {} seconds", TIMEOUT.as_secs()))?
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        // Helpers say on standard output that they know nothing.
        let said = String::from_utf8_lossy(&output.stdout).to_lowercase();
        return if said.contains("not found") {
            Ok(None)
        } else {
            Err(format!("it failed ({})", output.status))
        };
    }
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|_| "its answer is not understood")?;
    Ok(match (answer.username.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        ("<token>", secret) => Some(Login::Identity(secret)),
        (username, password) => Some(Login::Basic { username: username.to_owned(), password }),
    })
}
