//! Runs an image as a pod, and looks at what it does.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::catalogue::{Answer, Case, Expectation};
use crate::{cluster::Access, e2e::Namespace, host::command::wait_until};

/// A pod may wait for its image on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// What makes a web server pass requests to PHP in the same pod.
const FASTCGI: &str = r#"echo 'server { listen 80; location / { include fastcgi_params; fastcgi_pass 127.0.0.1:9000;
fastcgi_param SCRIPT_FILENAME /var/www/public/index.php; } }' > /etc/nginx/conf.d/default.conf; exec nginx -g "daemon off;""#;

/// A pod that runs the image of a case.
pub(super) struct Pod<'a> {
    access: &'a Access,
    namespace: &'a Namespace,
    name: String,
}

impl<'a> Pod<'a> {
    /// Creates it.
    pub(super) fn start(
        access: &'a Access,
        namespace: &'a Namespace,
        case: &Case,
        image: &str,
        number: usize,
    ) -> Result<Self> {
        let name = format!("block-{number}");
        let mut main = json!({"name": "main", "image": image});
        if !case.run.is_empty() {
            main["command"] = json!(case.run);
        }
        let mut containers = vec![main];
        if case.fastcgi {
            containers
                .push(json!({"name": "web", "image": "nginx:alpine", "command": ["sh", "-euc", FASTCGI]}));
        }
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": false,
                "containers": containers,
            },
        });
        access.create(&object, &[&namespace.option()])?;
        Ok(Self { access, namespace, name })
    }

    /// Waits for what must come of it, and returns what was seen.
    pub(super) fn meets(&self, expectation: Expectation<'_>) -> Result<String> {
        let seen = match expectation {
            Expectation::Serves(answer) => self.answers(answer),
            Expectation::Prints(words) => self.prints(words),
            Expectation::Refuses(words) => self.refuses(words),
            Expectation::Fails(_) | Expectation::Planned(_) => {
                bail!("nothing was to be run")
            }
        };
        seen.map_err(|error| error.context(format!("{}\n{}", self.logs(), self.state().unwrap_or_default())))
    }

    /// Takes the pod away.
    pub(super) fn delete(&self) -> Result<()> {
        let option = self.namespace.option();
        self.access.kubectl(["delete", "pod", &self.name, "--wait=false", &option]).map(drop)
    }

    /// Asks through the API server, which reaches pods wherever this machine is.
    fn answers(&self, answer: &Answer) -> Result<String> {
        let url = format!(
            "/api/v1/namespaces/{}/pods/{}:{}/proxy/{}",
            self.namespace.name(),
            self.name,
            answer.port,
            answer.path
        );
        let mut said = None;
        wait_until("an answer of the server", PATIENCE, || {
            let phase = self.status()?["phase"].take();
            if phase == "Failed" || phase == "Succeeded" {
                return Ok(true);
            }
            said = Some(self.access.kubectl(["get", "--raw", &url])?);
            Ok(true)
        })?;
        let said = said.context("the server has ended")?;
        ensure!(said.contains(&answer.says), "the server does not say `{}` but {said:?}", answer.says);
        let line = said.lines().find(|line| line.contains(&answer.says)).unwrap_or_default();
        let line: String = line.chars().take(60).collect();
        Ok(format!("answers on {}: {}", answer.port, line.trim()))
    }

    fn prints(&self, words: &str) -> Result<String> {
        self.end()?;
        ensure!(self.status()?["phase"] == "Succeeded", "the container failed");
        let said = self.logs();
        let line = said.lines().find(|line| line.contains(words));
        let line = line.with_context(|| format!("the container does not print `{words}`"))?;
        Ok(format!("prints {}", line.trim()))
    }

    fn refuses(&self, words: &str) -> Result<String> {
        // A container that cannot be made waits for ever, one that cannot start has ended.
        let mut told = String::new();
        wait_until("a refusal", PATIENCE, || {
            let status = self.status()?;
            ensure!(status["phase"] != "Succeeded", "the container ended well");
            told = format!("{}\n{}", self.state()?, self.logs());
            Ok(told.contains(words) && (status["phase"] == "Failed" || told.contains("Error")))
        })?;
        Ok(format!("refuses as it must: {words}"))
    }

    fn end(&self) -> Result<()> {
        wait_until("the container's end", PATIENCE, || {
            Ok(matches!(self.status()?["phase"].as_str(), Some("Succeeded" | "Failed")))
        })
        .map(drop)
    }

    fn status(&self) -> Result<Value> {
        let text =
            self.access.kubectl(["get", "pod", &self.name, "--output=json", &self.namespace.option()])?;
        Ok(serde_json::from_str::<Value>(&text)?["status"].take())
    }

    /// The state of the container, as text to search.
    fn state(&self) -> Result<String> {
        Ok(self.status()?["containerStatuses"][0]["state"].to_string())
    }

    /// What it printed; nothing where it never ran.
    fn logs(&self) -> String {
        let option = self.namespace.option();
        self.access.kubectl(["logs", &self.name, "--container=main", &option]).unwrap_or_default()
    }
}
