//! Resources of the small container beside a build. A quota wants of every container what it counts, so where the build asks for
//! something or is limited, this one is too.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use slipway_crds::quantity;

/// What is enough to wait and to say one thing: to ask for, and as a limit. Of anything else it needs nothing.
const ENOUGH: [(&str, &str, &str); 3] =
    [("cpu", "10m", "100m"), ("memory", "16Mi", "32Mi"), ("ephemeral-storage", "1Mi", "16Mi")];

/// Returns what the small container gets: what was given for it, and enough of what the build's container has besides.
pub fn beside(given: &ResourceRequirements, build: &ResourceRequirements) -> ResourceRequirements {
    let mut requests = given.requests.clone().unwrap_or_default();
    let mut limits = given.limits.clone().unwrap_or_default();
    let has = |all: &Option<BTreeMap<String, Quantity>>, name| {
        all.as_ref().is_some_and(|all| all.contains_key(name))
    };
    for (name, request, limit) in ENOUGH {
        if has(&build.requests, name) || has(&build.limits, name) {
            requests
                .entry(name.into())
                .or_insert_with(|| limits.get(name).cloned().unwrap_or(Quantity(request.into())));
        }
        if has(&build.limits, name) {
            let limit = Quantity(limit.into());
            let asked = requests.get(name).filter(|asked| amount(asked) > amount(&limit));
            let limit = asked.cloned().unwrap_or(limit);
            limits.entry(name.into()).or_insert(limit);
        }
    }
    let some = |all: BTreeMap<String, Quantity>| (!all.is_empty()).then_some(all);
    ResourceRequirements { requests: some(requests), limits: some(limits), ..given.clone() }
}

fn amount(quantity: &Quantity) -> f64 {
    let text = quantity.0.trim();
    let number = |text: &str| text.parse::<f64>().ok();
    #[allow(clippy::cast_precision_loss)] // only compared
    let bytes = |text: &str| quantity::bytes(text).map(|bytes| bytes as f64);
    match text.strip_suffix('m') {
        Some(thousandths) => number(thousandths).map(|count| count / 1000.0),
        None => number(text).or_else(|| bytes(text)),
    }
    .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(yaml: &str) -> ResourceRequirements {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn a_quota_finds_what_it_counts_everywhere() {
        for (given, build, expected) in [
            ("{requests: {cpu: 10m}}", "{requests: {cpu: '1'}}", "{requests: {cpu: 10m}}"),
            (
                "{requests: {cpu: 10m}}",
                "{limits: {cpu: '4', memory: 2Gi, ephemeral-storage: 50Gi, example.com/gpu: '1'}}",
                "{requests: {cpu: 10m, memory: 16Mi, ephemeral-storage: 1Mi},
                  limits: {cpu: 100m, memory: 32Mi, ephemeral-storage: 16Mi}}",
            ),
            (
                "{requests: {cpu: 200m, memory: 64Mi}}",
                "{limits: {cpu: '4', memory: 2Gi}}",
                "{requests: {cpu: 200m, memory: 64Mi}, limits: {cpu: 200m, memory: 64Mi}}",
            ),
            (
                "{limits: {memory: 8Mi}}",
                "{limits: {memory: 2Gi}}",
                "{requests: {memory: 8Mi}, limits: {memory: 8Mi}}",
            ),
            ("{}", "{requests: {ephemeral-storage: 1Gi}}", "{requests: {ephemeral-storage: 1Mi}}"),
        ] {
            assert_eq!(beside(&resources(given), &resources(build)), resources(expected), "{given} {build}");
        }
    }
}
