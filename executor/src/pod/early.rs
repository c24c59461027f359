//! Tells the operator what was done before the kubelet sees it. Whatever goes wrong here, the kubelet still does.

use std::path::Path;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use slipway_protocol::early::{ADDRESS_ENV, Early, IDENTITY, LIMIT, Part, TOKEN_FILE};
use slipway_protocol::message::{Message, encode_within};
use tokio::runtime::Handle;

use crate::engine::Cause;

/// How long the operator may take to be reached: where a network policy is in the way, the end of each build waits for this.
const REACH: Duration = Duration::from_millis(250);

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the operator was not told.
#[derive(Debug, thiserror::Error)]
pub enum NotTold {
    /// The pod has no token.
    #[error("no token")]
    Token(#[source] std::io::Error),
    /// The operator was not reached.
    #[error("not reached")]
    Transport(#[from] reqwest::Error),
    /// It did not take the report.
    #[error("not taken, with status {0}")]
    Status(u16),
}

/// Tells the operator what was done, where the pod was made for that. Returns whether it took it.
pub fn tell<M: Message>(runtime: &Handle, part: Part, report: &M) -> bool {
    let Ok(address) = std::env::var(ADDRESS_ENV) else { return false };
    let early = Early { part, report: encode_within(report, LIMIT) };
    let token = Path::new(IDENTITY).join(TOKEN_FILE);
    let told = runtime.block_on(send(&address, &token, &early));
    if let Err(error) = &told {
        let error = Cause::text(error);
        tracing::info!(address, error, "the operator hears of this from the kubelet");
    }
    told.is_ok()
}

/// Sends a report, with the pod's token as who says so.
async fn send(address: &str, token: &Path, early: &Early) -> Result<(), NotTold> {
    let token = std::fs::read_to_string(token).map_err(NotTold::Token)?;
    // The operator is in this cluster: neither proxies nor certificates lie between.
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(REACH)
        .timeout(PATIENCE)
        .build()?;
    let body = serde_json::to_vec(early).unwrap_or_default();
    let request = client.post(address).bearer_auth(token.trim()).header(CONTENT_TYPE, "application/json");
    let answer = request.body(body).send().await?;
    if answer.status().is_success() { Ok(()) } else { Err(NotTold::Status(answer.status().as_u16())) }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn report() -> Early {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Early { part: Part::Plan, report: "{}".into() }
    }

    /// Answers one request with a status, and returns what was asked.
    async fn answering(status: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}/v1/reports", listener.local_addr().expect("an address"));
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut asked = Vec::new();
            while !asked.ends_with(b"}") {
                let mut piece = [0; 4096];
                let count = stream.read(&mut piece).await.expect("a request");
                asked.extend_from_slice(&piece[..count]);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("a client that listens");
            String::from_utf8_lossy(&asked).to_lowercase()
        });
        (address, asked)
    }

    fn token() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "who-i-am\n").expect("room");
        file
    }

    #[tokio::test]
    async fn the_operator_hears_who_says_what() {
        let (address, asked) = answering("200 OK").await;
        send(&address, token().path(), &report()).await.expect("taken");
        let asked = asked.await.expect("asked");
        assert!(asked.starts_with("post /v1/reports http/1.1"), "{asked}");
        assert!(asked.contains("authorization: bearer who-i-am\r\n"), "{asked}");
        assert!(asked.ends_with(r#"{"part":"plan","report":"{}"}"#), "{asked}");
    }

    #[tokio::test]
    async fn whatever_goes_wrong_is_only_told() {
        let (address, _asked) = answering("403 Forbidden").await;
        assert!(matches!(send(&address, token().path(), &report()).await, Err(NotTold::Status(403))));
        let away = send("http://127.0.0.1:1/v1/reports", token().path(), &report()).await;
        assert!(matches!(away, Err(NotTold::Transport(_))));
        let none = send(&address, Path::new("/nowhere/token"), &report()).await;
        assert!(matches!(none, Err(NotTold::Token(_))));
    }
}
