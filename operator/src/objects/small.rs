//! Resources of the small container beside a build. A quota that counts limits wants them of every container, so where the
//! build has some, this one has too.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Returns what the small container gets: what was given for it, and limits for what the build's container has limits of.
pub fn beside(given: &ResourceRequirements, build: &ResourceRequirements) -> ResourceRequirements {
    let mut all = given.clone();
    let limited = build.limits.iter().flatten().map(|(name, limit)| (name.clone(), enough(name, limit)));
    let mut limits: BTreeMap<String, Quantity> = limited.collect();
    limits.extend(all.limits.take().unwrap_or_default());
    all.limits = (!limits.is_empty()).then_some(limits);
    all
}

/// What is enough to wait, and to say one thing.
fn enough(name: &str, limit: &Quantity) -> Quantity {
    match name {
        "cpu" => Quantity("100m".to_owned()),
        "memory" => Quantity("32Mi".to_owned()),
        _ => limit.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(yaml: &str) -> ResourceRequirements {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn a_quota_of_limits_finds_some_everywhere() {
        let given = resources("{requests: {cpu: 10m}}");
        assert_eq!(beside(&given, &resources("{requests: {cpu: 1}}")), given);
        let build = resources("{limits: {cpu: '4', memory: 2Gi, ephemeral-storage: 1Gi}}");
        assert_eq!(
            beside(&given, &build),
            resources("{requests: {cpu: 10m}, limits: {cpu: 100m, memory: 32Mi, ephemeral-storage: 1Gi}}")
        );
        let own = resources("{limits: {memory: 64Mi}}");
        assert_eq!(beside(&own, &resources("{limits: {memory: 2Gi}}")), own);
    }
}
