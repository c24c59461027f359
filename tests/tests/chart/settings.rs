//! Every value that is meant for the operator reaches it: the rendered file is read by the operator's own code.

use serde_json::json;
use slipway_crds::build::Isolation;
use slipway_operator::settings::Settings;
use slipway_tests::tools::checkout;

use crate::render::{Objects, chart};

fn settings(objects: &Objects, name: &str) -> Settings {
    let text = objects.get("ConfigMap", name)["data"]["settings.yaml"].as_str().unwrap();
    serde_yaml::from_str(text)
        .unwrap_or_else(|error| panic!("the operator refuses its settings: {error}\n{text}"))
}

#[test]
fn what_the_chart_leaves_alone_is_what_the_operator_does_by_itself() {
    let Some(chart) = chart() else { return };
    let made = settings(&chart.render("{}"), "yard-slipway");
    let expected = Settings {
        executor_image: "ghcr.io/slipway-dev/slipway-executor:0.1.0".into(),
        ..Settings::default()
    };
    assert_eq!(made, expected);
}

#[test]
fn every_setting_can_be_set() {
    let Some(chart) = chart() else { return };
    let values = std::fs::read_to_string(checkout("charts/slipway/ci/full-values.yaml")).unwrap();
    let Settings {
        executor_image,
        executor_pull_policy,
        image_pull_secrets,
        defaults,
        registries,
        default_push_secret,
        max_builds,
        max_builds_per_namespace,
        user_namespaces,
        cache_access_mode,
        ca_bundle,
        build_pods,
        report_resources,
        stage_pods,
        log,
        // Without `..`: a setting that the chart does not know fails to compile here. The last is of the replica.
        reports: _,
    } = settings(&chart.render(&values), "yard");
    assert_eq!(executor_image, "registry.example/executor:v1");
    assert_eq!(executor_pull_policy, "Never");
    assert_eq!(image_pull_secrets, ["pull"]);
    assert_eq!(default_push_secret, "push");
    assert_eq!((max_builds, max_builds_per_namespace, user_namespaces), (7, 3, false));
    assert_eq!(cache_access_mode, "ReadWriteMany");
    assert_eq!(log, "debug");
    assert_eq!(report_resources.requests.unwrap()["cpu"].0, "2m");
    assert_eq!(report_resources.limits.unwrap()["memory"].0, "32Mi");
    assert!(
        ca_bundle.starts_with("-----BEGIN CERTIFICATE-----\n") && ca_bundle.ends_with("END CERTIFICATE-----")
    );
    assert_eq!(registries.mirrors["docker.io"], ["mirror.example", "other.example:5000"]);
    assert_eq!(registries.insecure, ["plain.example:5000"]);
    assert_eq!(defaults.registry, "registry.example");
    assert_eq!(defaults.cache_size, "100Gi");
    assert_eq!(defaults.cache_storage_class, "fast");
    assert_eq!(defaults.isolation, Isolation::Overlay);
    assert_eq!(
        (defaults.timeout.as_str(), defaults.ttl.as_str(), defaults.history_limit),
        ("1h30m", "30m", 3)
    );
    for (pods, pool, disk, class, runtime, kind, cpu) in [
        (build_pods, "builds", "disk", "low", "plain", "build", "1"),
        (stage_pods, "stages", "ssd", "lower", "kata", "stage", "2"),
    ] {
        assert_eq!(pods.node_selector["pool"], pool);
        assert_eq!(pods.tolerations[0].key.as_deref(), Some(pool));
        assert_eq!((pods.priority_class_name.as_str(), pods.runtime_class_name.as_str()), (class, runtime));
        assert_eq!((pods.labels["kind"].as_str(), pods.annotations["note"].as_str()), (kind, kind));
        assert_eq!(pods.resources.requests.unwrap()["cpu"].0, cpu);
        assert!(serde_json::to_value(pods.affinity).unwrap().to_string().contains(disk));
    }
}

#[test]
fn a_changed_setting_restarts_the_operator() {
    let Some(chart) = chart() else { return };
    let sum = |values: &str| {
        let objects = chart.render(values);
        let pod = &objects.get("Deployment", "yard-slipway")["spec"]["template"]["metadata"]["annotations"];
        pod["checksum/settings"].as_str().unwrap().to_owned()
    };
    assert_eq!(sum("{}"), sum("{operator: {replicas: 3}}"));
    assert_ne!(sum("{}"), sum("{builds: {max: 21}}"));
}

#[test]
fn images_come_by_tag_or_by_digest() {
    let Some(chart) = chart() else { return };
    let digest = format!("sha256:{}", "a".repeat(64));
    for (image, expected) in [
        (json!({}), "ghcr.io/slipway-dev/slipway-operator:0.1.0".to_owned()),
        (json!({"tag": "v2"}), "ghcr.io/slipway-dev/slipway-operator:v2".to_owned()),
        (json!({"tag": "v2", "digest": digest}), format!("ghcr.io/slipway-dev/slipway-operator@{digest}")),
    ] {
        let objects = chart.render(&json!({"operator": {"image": image}}).to_string());
        let pod = &objects.get("Deployment", "yard-slipway")["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], expected.as_str());
    }
}
