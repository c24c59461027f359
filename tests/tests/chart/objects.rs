//! Objects: what is there, what is not, and what rights it gives.

use serde_json::{Value, json};

use crate::render::{Objects, chart};

/// Values, then objects that must be there and objects that must not.
const PRESENCE: &[(&str, &[&str], &[&str])] = &[
    (
        "{}",
        &[
            "CustomResourceDefinition imagebuilds.slipway.dev",
            "Deployment yard-slipway",
            "PodDisruptionBudget yard-slipway",
            "ClusterRole yard-slipway",
            "ClusterRole yard-slipway-view",
            "ClusterRole yard-slipway-edit",
            "Role yard-slipway-lease",
            "Service yard-slipway-metrics",
            "Pod yard-slipway-test",
        ],
        &["NetworkPolicy yard-slipway", "ServiceMonitor yard-slipway", "PriorityClass slipway-builds"],
    ),
    ("{crds: {install: false}}", &[], &["CustomResourceDefinition imagebuilds.slipway.dev"]),
    ("{operator: {replicas: 1}}", &[], &["PodDisruptionBudget yard-slipway"]),
    ("{podDisruptionBudget: {enabled: false}}", &[], &["PodDisruptionBudget yard-slipway"]),
    ("{rbac: {aggregate: false}}", &["ClusterRole yard-slipway"], &["ClusterRole yard-slipway-view"]),
    ("{rbac: {create: false}}", &[], &["ClusterRole yard-slipway", "Role yard-slipway-lease"]),
    ("{serviceAccount: {create: false, name: own}}", &[], &["ServiceAccount yard-slipway"]),
    ("{metrics: {service: {enabled: false}}}", &[], &["Service yard-slipway-metrics"]),
    ("{metrics: {serviceMonitor: {enabled: true}}}", &["ServiceMonitor yard-slipway"], &[]),
    ("{metrics: {podMonitor: {enabled: true}}}", &["PodMonitor yard-slipway"], &[]),
    ("{metrics: {rules: {enabled: true}}}", &["PrometheusRule yard-slipway"], &[]),
    ("{metrics: {dashboard: {enabled: true}}}", &["ConfigMap yard-slipway-dashboard"], &[]),
    ("{priorityClass: {create: true}}", &["PriorityClass slipway-builds"], &[]),
    ("{networkPolicy: {operator: {enabled: true}}}", &["NetworkPolicy yard-slipway"], &[]),
    ("{test: {enabled: false}}", &[], &["Pod yard-slipway-test", "Role yard-slipway-test"]),
    ("{fullnameOverride: dock}", &["Deployment dock", "ClusterRole dock"], &["Deployment yard-slipway"]),
];

#[test]
fn switches_add_and_remove_objects() {
    let Some(chart) = chart() else { return };
    for (values, there, absent) in PRESENCE {
        let names = chart.render(values).names();
        for name in *there {
            assert!(names.iter().any(|n| n == name), "{values}: no {name} in {names:#?}");
        }
        for name in *absent {
            assert!(!names.iter().any(|n| n == name), "{values}: there is a {name}");
        }
    }
}

#[test]
fn the_definition_outlives_the_chart_only_when_kept() {
    let Some(chart) = chart() else { return };
    for (keep, policy) in [("true", json!("keep")), ("false", Value::Null)] {
        let objects = chart.render(&format!("{{crds: {{keep: {keep}}}}}"));
        let definition = objects.get("CustomResourceDefinition", "imagebuilds.slipway.dev");
        assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], policy);
    }
}

/// The API groups, resources and verbs of a role, one triple each.
fn rights(role: &Value) -> Vec<String> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut all = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                all.extend(words(&rule["verbs"]).iter().map(|verb| format!("{group}/{resource} {verb}")));
            }
        }
    }
    all
}

#[test]
fn rights_are_the_least_that_do() {
    let Some(chart) = chart() else { return };
    let objects = chart.render("{}");
    let rights = rights(objects.get("ClusterRole", "yard-slipway"));
    assert!(!rights.iter().any(|right| right.contains('*')), "{rights:#?}");
    // Nothing but its own pods and requests is ever changed or removed, and a Secret is never listed.
    for forbidden in [
        "/secrets list",
        "/secrets watch",
        "/secrets create",
        "/pods update",
        "/pods/exec create",
        "/configmaps update",
        "/persistentvolumeclaims delete",
        "slipway.dev/imagebuilds update",
        "slipway.dev/imagebuilds delete",
        "slipway.dev/imagebuilds patch",
    ] {
        assert!(!rights.iter().any(|right| right == forbidden), "{forbidden}");
    }
    assert!(rights.contains(&"slipway.dev/imagebuilds/status patch".to_owned()));
}

#[test]
fn single_namespaces_get_a_role_each_and_the_cluster_none() {
    let Some(chart) = chart() else { return };
    let objects = chart.render(
        "{watchNamespaces: [a, b], rbac: {readNamespaces: false, reviewTokens: false, aggregate: false}}",
    );
    assert_eq!(objects.all("ClusterRole").len(), 0);
    let places: Vec<&str> = objects
        .all("RoleBinding")
        .iter()
        .filter(|binding| binding["metadata"]["name"] == "yard-slipway")
        .filter_map(|binding| binding["metadata"]["namespace"].as_str())
        .collect();
    assert_eq!(places, ["a", "b"]);
    for binding in objects.all("RoleBinding") {
        assert_eq!(binding["subjects"][0]["namespace"], "system", "{binding}");
    }
    let pod = &objects.get("Deployment", "yard-slipway")["spec"]["template"]["spec"]["containers"][0];
    assert!(pod["env"].as_array().unwrap().contains(&json!({"name": "SLIPWAY_NAMESPACES", "value": "a,b"})));
    // With it, the level of just these namespaces can be read.
    let objects = chart.render("{watchNamespaces: [a, b]}");
    let role = objects.get("ClusterRole", "yard-slipway");
    assert_eq!(rights(role), ["/namespaces get", "authentication.k8s.io/tokenreviews create"]);
    assert_eq!(role["rules"][0]["resourceNames"], json!(["a", "b"]));
}

/// Without the right to know who reports, nobody is asked to.
#[test]
fn build_pods_report_where_the_operator_may_ask_who_they_are() {
    let Some(chart) = chart() else { return };
    for may in [true, false] {
        let objects = chart.render(&format!(
            "{{rbac: {{reviewTokens: {may}}}, networkPolicy: {{operator: {{enabled: true}}, builds: {{enabled: true, namespaces: [a]}}}}}}"
        ));
        let rights = rights(objects.get("ClusterRole", "yard-slipway"));
        // It writes on pods what they report, and nothing else.
        for right in ["authentication.k8s.io/tokenreviews create", "/pods patch"] {
            assert_eq!(rights.iter().any(|given| given == right), may, "{right}");
        }
        let pod = &objects.get("Deployment", "yard-slipway")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(pod["env"].to_string().contains("SLIPWAY_POD_IP"), may);
        let port = pod["ports"].as_array().unwrap().iter().find(|port| port["name"] == "reports");
        assert_eq!(port.map(|port| port["containerPort"] == 8081), may.then_some(true));
        // Both ends are open, for build pods alone.
        let ingress = objects.get("NetworkPolicy", "yard-slipway")["spec"]["ingress"].clone();
        let reports = ingress.as_array().unwrap().iter().find(|rule| rule["ports"][0]["port"] == "reports");
        let role =
            reports.map(|rule| rule["from"][0]["podSelector"]["matchLabels"]["slipway.dev/role"].clone());
        assert_eq!(role, may.then(|| json!("build")));
        for (policy, open) in [("yard-slipway-build-pods", may), ("yard-slipway-stage-pods", false)] {
            let egress = objects.get("NetworkPolicy", policy)["spec"]["egress"].to_string();
            assert_eq!(egress.contains("8081"), open, "{policy}: {egress}");
        }
    }
}

/// What PodSecurity `restricted` asks of a pod.
fn is_restricted(spec: &Value) {
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in spec["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    }
}

#[test]
fn the_charts_own_pods_need_no_rights_on_the_node() {
    let Some(chart) = chart() else { return };
    let objects = chart.render("{}");
    is_restricted(&objects.get("Deployment", "yard-slipway")["spec"]["template"]["spec"]);
    is_restricted(&objects.get("Pod", "yard-slipway-test")["spec"]);
}

#[test]
fn selectors_find_the_operators_pods_and_no_others() {
    let Some(chart) = chart() else { return };
    let objects = chart.render(
        "{metrics: {serviceMonitor: {enabled: true}, podMonitor: {enabled: true}}, networkPolicy: {operator: {enabled: true}}}",
    );
    let labels = &objects.get("Deployment", "yard-slipway")["spec"]["template"]["metadata"]["labels"];
    let matches = |selector: &Value, labels: &Value| {
        selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
    };
    let test = &objects.get("Pod", "yard-slipway-test")["metadata"]["labels"];
    let selectors = [
        &objects.get("Deployment", "yard-slipway")["spec"]["selector"]["matchLabels"],
        &objects.get("PodDisruptionBudget", "yard-slipway")["spec"]["selector"]["matchLabels"],
        &objects.get("Service", "yard-slipway-metrics")["spec"]["selector"],
        &objects.get("NetworkPolicy", "yard-slipway")["spec"]["podSelector"]["matchLabels"],
        &objects.get("PodMonitor", "yard-slipway")["spec"]["selector"]["matchLabels"],
    ];
    for selector in selectors {
        assert!(matches(selector, labels), "{selector} misses the operator");
        assert!(!matches(selector, test), "{selector} takes the test's pod for the operator");
    }
    let service = &objects.get("Service", "yard-slipway-metrics")["metadata"]["labels"];
    assert!(matches(
        &objects.get("ServiceMonitor", "yard-slipway")["spec"]["selector"]["matchLabels"],
        service
    ));
}

#[test]
fn builds_are_shut_in_where_that_is_asked_for() {
    let Some(chart) = chart() else { return };
    let render = |more: &str| {
        chart.render(&format!(
            "{{networkPolicy: {{builds: {{enabled: true, namespaces: [a], blockedCIDRs: [1.2.3.0/24, 'fd00::/8']{more}}}}}}}"
        ))
    };
    let blocks = |objects: &Objects, name: &str| -> Value {
        let policy = objects.get("NetworkPolicy", name);
        assert_eq!(policy["metadata"]["namespace"], "a");
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert!(policy["spec"]["ingress"].is_null(), "nobody may connect to a build");
        policy["spec"]["egress"][1]["to"].clone()
    };
    let open = render(", stagesBlockedCIDRs: [10.0.0.0/8]");
    assert_eq!(blocks(&open, "yard-slipway-build-pods")[0]["ipBlock"]["except"], json!(["1.2.3.0/24"]));
    let stages = blocks(&open, "yard-slipway-stage-pods");
    assert_eq!(stages[0]["ipBlock"]["except"], json!(["1.2.3.0/24", "10.0.0.0/8"]));
    assert_eq!(stages[1]["ipBlock"], json!({"cidr": "::/0", "except": ["fd00::/8"]}));
    let roles =
        &open.get("NetworkPolicy", "yard-slipway-build-pods")["spec"]["podSelector"]["matchExpressions"][0];
    assert_eq!(*roles, json!({"key": "slipway.dev/role", "operator": "In", "values": ["build", "poll"]}));
    let shut = render(", isolateStages: true");
    assert!(blocks(&shut, "yard-slipway-stage-pods").is_null());
}

#[test]
fn alerts_can_be_left_out_and_labelled() {
    let Some(chart) = chart() else { return };
    let objects = chart.render(
        "{metrics: {rules: {enabled: true, disabled: [SlipwayQueueStuck], alertLabels: {team: platform, severity: page}}}}",
    );
    let rules = &objects.get("PrometheusRule", "yard-slipway")["spec"]["groups"][0]["rules"];
    let rules = rules.as_array().unwrap();
    assert!(rules.len() > 4 && rules.iter().all(|rule| rule["alert"] != "SlipwayQueueStuck"));
    assert!(
        rules.iter().all(|r| r["labels"] == json!({"team": "platform", "severity": "page"})),
        "{rules:#?}"
    );
    // Templates of Prometheus are none of Helm's.
    assert!(
        rules
            .iter()
            .any(|r| r["annotations"]["summary"].as_str().unwrap().contains("{{ $labels.namespace }}"))
    );
}

#[test]
fn the_test_builds_where_builds_may_run() {
    let Some(chart) = chart() else { return };
    for (values, place) in [
        ("{}", "system"),
        ("{watchNamespaces: [a, b]}", "a"),
        ("{watchNamespaces: [a], test: {namespace: c}}", "c"),
    ] {
        let objects = chart.render(values);
        assert_eq!(objects.get("Role", "yard-slipway-test")["metadata"]["namespace"], place);
        let pod = objects.get("Pod", "yard-slipway-test");
        let args = pod["spec"]["containers"][0]["args"].as_array().unwrap();
        assert!(args.contains(&json!(format!("--namespace={place}"))), "{args:?}");
    }
}

#[test]
fn everything_carries_the_labels_of_the_release() {
    let Some(chart) = chart() else { return };
    let values =
        std::fs::read_to_string(slipway_tests::tools::checkout("charts/slipway/ci/full-values.yaml"))
            .unwrap();
    for object in chart.render(&values).iter() {
        let name = object["metadata"]["name"].as_str().unwrap();
        if name.ends_with("-extra") || name.ends_with("-text") {
            continue;
        }
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/instance"], "yard", "{} {name}", object["kind"]);
        assert_eq!(labels["team"], "platform", "{} {name}", object["kind"]);
    }
}

#[test]
fn extra_objects_are_templates() {
    let Some(chart) = chart() else { return };
    let objects = chart.render(
        "extraObjects:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-a'}}\n- |\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: {{ .Release.Name }}-b}\n",
    );
    assert!(objects.find("ConfigMap", "yard-a").is_some() && objects.find("ConfigMap", "yard-b").is_some());
}
