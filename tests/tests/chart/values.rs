//! Values that cannot be meant are refused before anything is installed, and the refusal names them.

use crate::render::chart;

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let Some(chart) = chart() else { return };
    for (values, named) in [
        ("{operatr: {}}", "operatr"),
        ("{operator: {watchNamespace: a}}", "watchNamespace"),
        ("{operator: {replicas: 0}}", "replicas"),
        ("{operator: {replicas: two}}", "replicas"),
        ("{operator: {image: {digest: latest}}}", "digest"),
        ("{defaults: {cacheSize: big}}", "cacheSize"),
        ("{defaults: {cacheAccessMode: ReadOnlyMany}}", "cacheAccessMode"),
        ("{defaults: {isolation: None}}", "isolation"),
        ("{defaults: {timeout: soon}}", "timeout"),
        ("{registries: {caBundle: /etc/ca.pem}}", "caBundle"),
        ("{registries: {mirrors: {docker.io: mirror.example}}}", "mirrors"),
        ("{stagePods: {resources: {request: {}}}}", "resources"),
        ("{watchNamespaces: team-a}", "watchNamespaces"),
        ("{metrics: {service: {enabled: false}, serviceMonitor: {enabled: true}}}", "metrics.podMonitor"),
        ("{networkPolicy: {builds: {enabled: true}}}", "networkPolicy.builds.namespaces"),
    ] {
        let said = chart.refusal(values);
        assert!(said.contains(named), "the refusal of {values} does not name {named}: {said}");
    }
}

#[test]
fn a_chart_that_contains_this_one_may_set_globals() {
    let Some(chart) = chart() else { return };
    chart.render("{global: {anything: 1}}");
}
