//! Certificates and tokens of the cluster.
//!
//! Components authenticate with static tokens, which spares a certificate each. The API server has a real
//! certificate all the same, since clients in pods verify it.

use std::{fmt::Write, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use anyhow::{Context, Result};

use super::settings::{API_SERVICE, API_URL, NODE_ADDRESS, NODE_NAME, State};
use crate::host::{command::Run, folders};

/// The users of the API: name of the client file, user name, group.
fn users() -> [(&'static str, String, &'static str); 5] {
    [
        ("admin", "admin".to_owned(), "system:masters"),
        ("kubelet", format!("system:node:{NODE_NAME}"), "system:nodes"),
        ("kube-controller-manager", "system:kube-controller-manager".to_owned(), ""),
        ("kube-scheduler", "system:kube-scheduler".to_owned(), ""),
        ("kube-proxy", "system:kube-proxy".to_owned(), ""),
    ]
}

/// Makes keys, certificates, tokens and client configurations, unless they are there.
pub(crate) fn ensure(state: &State) -> Result<()> {
    let folder = state.path("pki");
    if state.path("pki/tokens.csv").exists() {
        return Ok(());
    }
    folders::make(&folder)?;
    folders::make(&state.path("clients"))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    openssl(&folder, &["genrsa", "-out", "service-accounts.key", "2048"])?;
    openssl(
        &folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=slipway test cluster",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ],
    )?;
    let names = format!(
        "subjectAltName=IP:{NODE_ADDRESS},IP:{API_SERVICE},IP:127.0.0.1,DNS:localhost,DNS:kubernetes,\
         DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
    );
    sign(&folder, "apiserver", "/CN=kube-apiserver", &names)?;
    // The kubelet asks the API server who may use it, and trusts only this certificate to ask from there.
    sign(&folder, "apiserver-kubelet", "/O=system:masters/CN=kube-apiserver", "extendedKeyUsage=clientAuth")?;

    let authority = fs::read(folder.join("ca.crt")).context("failed to read the new certificate")?;
    let mut tokens = String::new();
    for (client, user, group) in users() {
        let token = openssl(&folder, &["rand", "-hex", "24"])?;
        let token = token.trim();
        writeln!(tokens, "{token},{user},{client},\"{group}\"")?;
        let file = state.kubeconfig(client);
        folders::write(&file, kubeconfig(&file, token, &authority)?)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    }
    folders::write(&folder.join("tokens.csv"), tokens)
}

fn kubeconfig(file: &Path, token: &str, authority: &[u8]) -> Result<String> {
    let beside = file.with_file_name("ca.crt");
    folders::write(&beside, authority)?;
    let text = serde_yaml::to_string(&serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "slipway", "cluster": {"server": API_URL, "certificate-authority": beside}}],
        "users": [{"name": "slipway", "user": {"token": token}}],
        "contexts": [{"name": "slipway", "context": {"cluster": "slipway", "user": "slipway"}}],
        "current-context": "slipway",
    }));
    text.context("failed to write a client configuration")
}

/// Makes a key and a certificate of the cluster's authority.
fn sign(folder: &Path, name: &str, subject: &str, extension: &str) -> Result<()> {
    let [key, request, certificate, extensions] =
        ["key", "csr", "crt", "ext"].map(|kind| format!("{name}.{kind}"));
    folders::write(&folder.join(&extensions), extension)?;
    openssl(
        folder,
        &["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", &key, "-out", &request],
    )?;
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "3650",
            "-extfile",
            &extensions,
            "-out",
            &certificate,
        ],
    )
    .map(drop)
}

fn openssl(folder: &Path, words: &[&str]) -> Result<String> {
    Command::new("openssl").current_dir(folder).args(words).text()
}
