//! Names that the operator writes into pods and the executor reads there: mount paths, files, arguments, exit codes.
//!
//! The claim is mounted up to three times. A build pod has [`STORE`] read-write. A stage pod has the same folder
//! read-only at [`STORE`], its own [`outbox_sub_path`] read-write at [`OUTBOX`], and [`MOUNTS_SUB_PATH`] read-write at [`MOUNTS`].

/// The store: the claim's folder [`STORE_SUB_PATH`].
pub const STORE: &str = "/slipway/store";
/// The folder of the claim that is the store.
pub const STORE_SUB_PATH: &str = "store";
/// The folder of the claim that is the store of builds without any rights: its files belong to an ordinary user, and who owns
/// them in an image is only noted, so no other pod may take them for real ones.
pub const PLAIN_STORE_SUB_PATH: &str = "plain";
/// A stage pod's outbox: the claim's folder [`outbox_sub_path`].
pub const OUTBOX: &str = "/slipway/outbox";
/// RUN cache mounts: the claim's folder [`MOUNTS_SUB_PATH`].
pub const MOUNTS: &str = "/slipway/mounts";
/// The folder of the claim that holds RUN cache mounts.
pub const MOUNTS_SUB_PATH: &str = "store/mounts";
/// The folder where the request's ConfigMap is mounted.
pub const REQUEST_DIR: &str = "/slipway/request";
/// The request in it, also its key in the ConfigMap.
pub const REQUEST_FILE: &str = "request.json";
/// Certificates beside it that the build pod trusts besides the usual ones; also their key in the ConfigMap.
pub const CA_FILE: &str = "ca.crt";
/// An inline Dockerfile or small files of an inline context are keys of ConfigMaps mounted below this folder.
pub const SOURCE_DIR: &str = "/slipway/source";
/// Build secrets of a stage pod, one file an id: `/slipway/secrets/<id>`.
pub const SECRETS: &str = "/slipway/secrets";
/// Credentials of the build pod (registries, git), one folder a Secret, named by the request.
pub const CREDENTIALS: &str = "/slipway/credentials";
/// A volume for temporary files of the pod itself (an emptyDir); also the working folder.
pub const SCRATCH: &str = "/slipway/scratch";

/// The main container of a build pod.
pub const BUILD_CONTAINER: &str = "build";
/// The small container beside it: it ends when there is a plan, so that the kubelet has what to say while the build goes on.
pub const REPORT_CONTAINER: &str = "report";
/// The container of a stage pod.
pub const STAGE_CONTAINER: &str = "stage";

/// The container of a poll pod.
pub const POLL_CONTAINER: &str = "poll";

/// Where the kubelet looks for a container's last words.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// The most bytes of them that the kubelet keeps.
pub const TERMINATION_LIMIT: usize = 4096;

/// Overrides [`STORE`], for tests and for running by hand.
pub const STORE_ENV: &str = "SLIPWAY_STORE";
/// Overrides [`TERMINATION_LOG`].
pub const TERMINATION_ENV: &str = "SLIPWAY_TERMINATION_LOG";
/// Certificates as text, for a pod that has no request to find them beside.
pub const CA_ENV: &str = "SLIPWAY_CA_BUNDLE";
/// The log filter, in `tracing`'s words.
pub const LOG_ENV: &str = "SLIPWAY_LOG";

/// The program ended well.
pub const EXIT_OK: u8 = 0;
/// The build failed; the termination message says why.
pub const EXIT_FAILED: u8 = 1;
/// The program was called wrongly.
pub const EXIT_USAGE: u8 = 2;
/// The build was cancelled: [`CANCELLED_FILE`] appeared.
pub const EXIT_CANCELLED: u8 = 3;

/// Touched by the build pod while it lives, in a build's folder.
pub const ALIVE_FILE: &str = "alive";
/// The plan, in a build's folder.
pub const PLAN_FILE: &str = "plan.json";
/// Written by the build pod when the build is over badly: stage pods stop.
pub const CANCELLED_FILE: &str = "cancelled";
/// Written last into a step's folder of an outbox, by rename: the step is done.
pub const DONE_FILE: &str = "done.json";
/// The changed files of a step, beside [`DONE_FILE`].
pub const STEP_FILES: &str = "fs";

/// Returns the folder of a build, relative to the store.
pub fn build_dir(build: &str) -> String {
    format!("builds/{build}")
}

/// Returns the outbox of a stage pod, relative to the store.
pub fn outbox_dir(build: &str, pod: u32) -> String {
    format!("builds/{build}/outbox/{pod}")
}

/// Returns the outbox of a stage pod as a `subPath` of the claim. The build pod has made it before a stage pod exists.
pub fn outbox_sub_path(build: &str, pod: u32) -> String {
    format!("{STORE_SUB_PATH}/{}", outbox_dir(build, pod))
}

/// Returns the folder of a step, relative to the outbox.
pub fn step_dir(stage: usize, step: usize) -> String {
    format!("{stage}/{step}")
}

/// Returns the arguments of a build pod's main container.
pub fn build_args() -> Vec<String> {
    vec!["build".into(), "--request".into(), format!("{REQUEST_DIR}/{REQUEST_FILE}")]
}

/// Returns the arguments of the container that ends when there is a plan.
pub fn report_args() -> Vec<String> {
    vec!["report".into()]
}

/// Returns the arguments of a poll pod's container: which revision has a reference of a repository now?
pub fn poll_args(url: &str, reference: &str, credentials: &str) -> Vec<String> {
    let pairs = [("--url", url), ("--ref", reference), ("--credentials", credentials)];
    let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    // One word each, so that no value is taken for an option.
    std::iter::once("poll".to_owned()).chain(given.map(|(name, value)| format!("{name}={value}"))).collect()
}

/// Returns the arguments of the container that runs stages. In one pod with the build it starts before there is a plan, and waits.
pub fn stage_args(build: &str, pod: u32, wait: bool) -> Vec<String> {
    let mut args = vec!["stage".into(), "--build".into(), build.into(), "--pod".into(), pod.to_string()];
    args.extend(wait.then(|| "--wait".to_owned()));
    args
}
