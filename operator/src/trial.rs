//! `slipway-operator trial`: builds an image as a user would and waits for it. `helm test` runs it.

use std::time::{Duration, Instant};

use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use slipway_crds::ImageBuild;

/// What to build.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The namespace to build in; it must admit PodSecurity `baseline`.
    #[arg(long)]
    namespace: String,
    /// The base image of the RUN.
    #[arg(long, default_value = "busybox:latest")]
    base: String,
    /// Where to push the image; it is built and not pushed without it.
    #[arg(long)]
    push: Option<String>,
    /// How long to wait, such as `5m`.
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TrialError {
    #[error("failed to {doing} the ImageBuild")]
    Api { doing: &'static str, source: kube::Error },
    #[error("the ImageBuild that was made here is not one")]
    Form(#[from] serde_json::Error),
    #[error("the build failed: {0}")]
    Failed(String),
    #[error(
        "no image after {} s: {last}. Does an operator run and watch this namespace (`kubectl logs deployment/slipway`)?",
        waited.as_secs()
    )]
    Late { waited: Duration, last: String },
}

fn duration(text: &str) -> Result<Duration, String> {
    slipway_crds::quantity::seconds(text)
        .filter(|seconds| *seconds > 0.0)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is not a duration such as 5m"))
}

/// Builds, tells how it goes, and removes what it made.
pub async fn run(client: Client, args: &Args, say: impl Fn(&str)) -> Result<(), TrialError> {
    let builds: Api<ImageBuild> = Api::namespaced(client, &args.namespace);
    let failed = |doing| move |source| TrialError::Api { doing, source };
    let made = builds.create(&PostParams::default(), &build(args)?).await.map_err(failed("create"))?;
    let name = made.name_any();
    say(&format!("building {}/{name} from {}", args.namespace, args.base));
    let outcome = follow(&builds, &name, args.timeout, &say).await;
    builds.delete(&name, &DeleteParams::background()).await.map_err(failed("delete"))?;
    outcome
}

/// A stage that runs a command in a pod of its own, and one that copies from it.
fn build(args: &Args) -> Result<ImageBuild, serde_json::Error> {
    let dockerfile = format!(
        "FROM {} AS build\nCOPY greeting /greeting\nRUN cat /greeting /greeting > /made\n\
         FROM scratch\nCOPY --from=build /made /made\n",
        args.base
    );
    serde_json::from_value(json!({
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ImageBuild",
        "metadata": {"generateName": "slipway-trial-"},
        "spec": {
            "source": {"files": {"greeting": "hello from slipway\n"}},
            "dockerfile": {"inline": dockerfile},
            "images": [args.push.as_ref().map_or_else(|| json!({}), |name| json!({"name": name}))],
        },
    }))
}

async fn follow(
    builds: &Api<ImageBuild>,
    name: &str,
    limit: Duration,
    say: &impl Fn(&str),
) -> Result<(), TrialError> {
    let start = Instant::now();
    let mut last = String::new();
    loop {
        let build = builds.get(name).await.map_err(|source| TrialError::Api { doing: "read", source })?;
        let status = build.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
        let line = ready.map_or_else(
            || "no operator has taken it up".to_owned(),
            |c| format!("{}: {}", status.phase, c.message),
        );
        if line != last {
            say(&line);
            last = line;
        }
        if status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True") {
            return Err(TrialError::Failed(last));
        }
        if let Some(image) = status.images.first().filter(|_| ready.is_some_and(|c| c.status == "True")) {
            let seconds = status.timing.map(|t| t.total).unwrap_or_default();
            say(&format!("made {} of {} in {seconds:.1} s", image.reference, image.size));
            return Ok(());
        }
        if start.elapsed() > limit {
            return Err(TrialError::Late { waited: limit, last });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_one_that_can_be_run() {
        for push in [None, Some("registry.example/trial".to_owned())] {
            let args = Args {
                namespace: "ci".into(),
                base: "busybox".into(),
                push: push.clone(),
                timeout: Duration::from_secs(1),
            };
            let spec = build(&args).unwrap().spec;
            let valid = slipway_crds::validate::validate(&spec, &slipway_crds::validate::Defaults::default())
                .unwrap();
            assert_eq!(valid.images[0].repository, push.unwrap_or_default());
            assert!(valid.inline.unwrap().starts_with("FROM busybox AS build\n"));
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert!(duration("soon").is_err() && duration("0s").is_err());
    }
}
