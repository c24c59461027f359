//! What an installation sets reaches the pods, and gives way to what a build says itself.

use k8s_openapi::api::core::v1::Pod;
use slipway_protocol::request::BuildRequest;

use super::world::World;
use crate::settings::{PodDefaults, Settings};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";

fn pods(yaml: &str) -> PodDefaults {
    serde_yaml::from_str(yaml).unwrap()
}

/// Makes the build pod and a stage pod of a build under settings.
fn made(spec: &str, settings: Settings) -> (Pod, Pod) {
    let mut world = World::new(spec);
    world.settings = settings;
    let build = world.step().objects.pods.remove(0);
    world.say_plan();
    let stage = world.step().objects.pods.remove(0);
    (build, stage)
}

#[test]
fn build_and_stage_pods_have_defaults_of_their_own() {
    let settings = Settings {
        build_pods: pods("{priorityClassName: low, nodeSelector: {pool: builds}, labels: {kind: build}}"),
        stage_pods: pods(
            "{runtimeClassName: kata, nodeSelector: {pool: stages, disk: hdd}, tolerations: [{key: stages, operator: Exists}], annotations: {note: stage}, resources: {limits: {memory: 4Gi}}}",
        ),
        ..Settings::default()
    };
    let (build, stage) =
        made("{dockerfile: {inline: FROM scratch}, pod: {nodeSelector: {disk: ssd}}}", settings);
    let (build_spec, stage_spec) = (build.spec.unwrap(), stage.spec.unwrap());
    assert_eq!(build_spec.priority_class_name.as_deref(), Some("low"));
    assert_eq!(build_spec.runtime_class_name, None);
    assert_eq!(build_spec.node_selector.unwrap()["pool"], "builds");
    assert_eq!(build.metadata.labels.unwrap()["kind"], "build");
    assert_eq!(stage_spec.priority_class_name, None);
    assert_eq!(stage_spec.runtime_class_name.as_deref(), Some("kata"));
    let selector = stage_spec.node_selector.unwrap();
    assert_eq!((selector["pool"].as_str(), selector["disk"].as_str()), ("stages", "ssd"));
    assert_eq!(stage_spec.tolerations.unwrap()[0].key.as_deref(), Some("stages"));
    assert_eq!(stage.metadata.annotations.unwrap()["note"], "stage");
    let resources = stage_spec.containers[0].resources.clone().unwrap();
    assert_eq!(resources.limits.unwrap()["memory"].0, "4Gi");
}

#[test]
fn certificates_lie_beside_the_request_and_nowhere_else() {
    let settings = Settings { ca_bundle: PEM.into(), ..Settings::default() };
    let mut world = World::simple();
    world.settings = settings.clone();
    let plan = world.step();
    let data = plan.objects.request.unwrap().data.unwrap();
    assert_eq!(data["ca.crt"], PEM);
    let request: BuildRequest = serde_json::from_str(&data["request.json"]).unwrap();
    assert_eq!(request.registries.ca_file, "/slipway/request/ca.crt");
    let volumes = plan.objects.pods[0].spec.as_ref().unwrap().volumes.clone().unwrap();
    let items = volumes.iter().find_map(|v| v.config_map.as_ref()?.items.clone()).unwrap();
    assert_eq!(items.iter().map(|i| i.path.as_str()).collect::<Vec<_>>(), ["request.json", "ca.crt"]);
    let (_, stage) = made("{dockerfile: {inline: FROM scratch}}", settings);
    assert!(!serde_json::to_string(&stage).unwrap().contains("CERTIFICATE"));
}

#[test]
fn looks_at_a_git_source_trust_the_certificates_too() {
    let mut world =
        World::new("{source: {git: {url: 'https://git.example/a.git', ref: {branch: main}, interval: 1m}}}");
    world.settings.ca_bundle = PEM.into();
    world.step();
    world.say_plan_of(&[("final", None, &[])]);
    world.step();
    world.say_built();
    world.step();
    world.pass(70);
    let pods = world.step().objects.pods;
    let env = pods[0].spec.as_ref().unwrap().containers[0].env.clone().unwrap();
    assert!(env.iter().any(|e| e.name == "SLIPWAY_CA_BUNDLE" && e.value.as_deref() == Some(PEM)), "{env:?}");
}
