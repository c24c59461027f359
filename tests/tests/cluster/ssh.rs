//! Keys: git over ssh, and `RUN --mount=type=ssh` in a stage pod.

use anyhow::{Context, Result};
use slipway_tests::cluster::{Cluster, Namespace};

/// A server, and the key that it lets in: an image of its own, since no machine that runs tests should have one running.
const SERVER: &str = r#"
dockerfile:
  inline: |
    FROM debian:bookworm-slim
    RUN apt-get update && apt-get install -y --no-install-recommends openssh-server openssh-client git \
        && rm -rf /var/lib/apt/lists/* && mkdir -p /run/sshd /root/.ssh /keys
    RUN <<'EOF'
    set -e
    ssh-keygen -q -t ed25519 -N '' -f /keys/client
    ssh-keygen -q -t ed25519 -N '' -f /keys/stranger
    cp /keys/client.pub /root/.ssh/authorized_keys
    chmod 700 /root/.ssh && chmod 600 /root/.ssh/authorized_keys
    git config --global user.name t && git config --global user.email t@example.invalid
    git init --quiet --initial-branch=main /srv/app && cd /srv/app
    printf 'FROM scratch\nCOPY app.txt /\n' > Dockerfile && echo 'over ssh' > app.txt
    git add . && git commit --quiet --message=first
    EOF
    CMD ["/usr/sbin/sshd", "-D", "-e"]
images: [{name: REPO/sshd}]
"#;

fn key(ns: &Namespace, cluster: &Cluster, name: &str, hosts: &str) -> Result<()> {
    let image = ns.image("sshd");
    let identity = cluster.file(&image, &format!("keys/{name}"))?;
    ns.kubectl(&[
        "create",
        "secret",
        "generic",
        name,
        &format!("--from-literal=identity={identity}"),
        &format!("--from-literal=known_hosts={hosts}"),
    ])
    .map(drop)
}

#[test]
fn keys_open_repositories_and_are_lent_to_commands() -> Result<()> {
    let cluster = Cluster::here()?;
    let ns = cluster.namespace("baseline")?;
    ns.build("sshd", SERVER)?;
    ns.succeeded("sshd")?;
    ns.kubectl(&["run", "sshd", "--restart=Never", &format!("--image={}", ns.image("sshd"))])?;
    ns.kubectl(&["wait", "pod/sshd", "--for=condition=Ready", "--timeout=120s"])?;
    let address = ns.kubectl(&["get", "pod", "sshd", "--output=jsonpath={.status.podIP}"])?;
    let host_key = cluster.file(&ns.image("sshd"), "etc/ssh/ssh_host_ed25519_key.pub")?;
    let host_key = host_key.rsplit_once(' ').context("odd host key")?.0;
    key(&ns, &cluster, "client", &format!("{address} {host_key}\n"))?;
    key(&ns, &cluster, "stranger", &format!("{address} {host_key}\n"))?;
    let other = host_key.replace("AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAAC3NzaC1lZDI1NTE5AAAAIA");
    let other: String = other.chars().take(host_key.len()).collect();
    ns.kubectl(&[
        "create",
        "secret",
        "generic",
        "spoofed",
        &format!("--from-literal=identity={}", cluster.file(&ns.image("sshd"), "keys/client")?),
        &format!("--from-literal=known_hosts={address} {other}\n"),
    ])?;
    for secret in ["client", "stranger", "spoofed"] {
        ns.build(
            secret,
            &format!(
                "{{source: {{git: {{url: 'ssh://root@{address}/srv/app', interval: 10s, secretRef: {{name: {secret}}}}}}}, images: [{{name: REPO/app}}]}}"
            ),
        )?;
    }
    ns.succeeded("client")?;
    assert_eq!(cluster.file(&ns.image("app"), "app.txt")?, "over ssh\n");
    // Looking needs the key too.
    ns.until("client", "a look", |b| b["status"]["poll"]["revision"].is_string())?;
    for (name, expected) in [("stranger", "the credentials are refused"), ("spoofed", "known_hosts")] {
        let status = ns.failed(name)?;
        let message = status["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(expected), "{name}: {message}");
    }
    ns.build(
        "lent",
        &format!(
            "
secrets: [{{id: default, secretRef: {{name: client, key: identity}}}}]
dockerfile:
  inline: |
    FROM REPO/sshd AS user
    RUN --mount=type=ssh ssh -o StrictHostKeyChecking=no root@{address} cat /srv/app/app.txt > /got
    RUN ssh-add -l > /without 2>&1 || true
    FROM scratch
    COPY --from=user /got /without /
images: [{{name: REPO/lent}}]
"
        ),
    )?;
    ns.succeeded("lent")?;
    assert_eq!(cluster.file(&ns.image("lent"), "got")?, "over ssh\n");
    let without = cluster.file(&ns.image("lent"), "without")?;
    assert!(without.contains("Could not open a connection"), "{without}");
    Ok(())
}
