//! The isolation ladder: which rights a stage pod asks for, by what the namespace admits.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};
use slipway_crds::build::Isolation;

/// What `baseline` admits and user code needs: the usual container set without the network's.
const BASELINE: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What the build pod needs to lay out foreign layers.
const BUILD: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"];

/// A PodSecurity level as the namespace enforces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// No label: everything is admitted, but the operator asks for no more than `baseline`.
    #[default]
    Unset,
    /// Everything.
    Privileged,
    /// No added rights.
    Baseline,
    /// No rights at all.
    Restricted,
}

impl Level {
    /// Reads the value of the label `pod-security.kubernetes.io/enforce`.
    pub fn of(label: Option<&str>) -> Self {
        match label {
            Some("privileged") => Self::Privileged,
            Some("baseline") => Self::Baseline,
            Some("restricted") => Self::Restricted,
            _ => Self::Unset,
        }
    }
}

/// A rung of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// `baseline` capabilities and no seccomp profile named: the executor makes its own user namespace.
    Nested,
    /// SYS_ADMIN in a user namespace of the pod's own.
    Granted,
    /// `baseline` capabilities under RuntimeDefault: no namespaces, changes are found by a scan.
    Root,
}

/// Chooses the rung, or says why there is none.
pub fn choose(isolation: Isolation, level: Level, user_namespaces: bool) -> Result<Rung, String> {
    match (isolation, level) {
        (_, Level::Restricted) => Err("the namespace enforces PodSecurity `restricted`, which admits no pod that can run a Dockerfile's RUN: \
             the floor for RUN is `baseline`. Dockerfiles without RUN build here"
            .into()),
        (Isolation::Root, _) => Ok(Rung::Root),
        (_, Level::Privileged) if user_namespaces => Ok(Rung::Granted),
        _ => Ok(Rung::Nested),
    }
}

/// Returns the security context of a stage pod's container.
pub fn stage_context(rung: Rung, user_namespace: bool) -> SecurityContext {
    let mut add: Vec<&str> = BASELINE.to_vec();
    if rung == Rung::Granted {
        add.push("SYS_ADMIN");
    }
    SecurityContext {
        capabilities: Some(capabilities(&add)),
        seccomp_profile: (rung != Rung::Nested).then(runtime_default),
        proc_mount: (rung == Rung::Nested && user_namespace).then(|| "Unmasked".to_owned()),
        run_as_user: Some(0),
        run_as_group: Some(0),
        read_only_root_filesystem: Some(rung != Rung::Root),
        ..SecurityContext::default()
    }
}

/// The user that pods without any rights run as; the executor's image knows it by name.
const PLAIN_USER: i64 = 65532;

/// Returns the security context of a container without any rights: what `restricted` admits.
pub fn plain_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        seccomp_profile: Some(runtime_default()),
        run_as_non_root: Some(true),
        run_as_user: Some(PLAIN_USER),
        run_as_group: Some(PLAIN_USER),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// Returns what a pod of such containers needs besides, to read Secrets and to write volumes.
pub fn plain_pod_context() -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(PLAIN_USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        ..PodSecurityContext::default()
    }
}

/// Returns the security context of a build pod's containers.
pub fn build_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(capabilities(&BUILD)),
        seccomp_profile: Some(runtime_default()),
        run_as_user: Some(0),
        run_as_group: Some(0),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

fn capabilities(add: &[&str]) -> Capabilities {
    Capabilities {
        drop: Some(vec!["ALL".to_owned()]),
        add: Some(add.iter().map(|c| (*c).to_owned()).collect()),
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder() {
        for (isolation, level, user_namespaces, expected) in [
            (Isolation::Auto, Level::Unset, true, Some(Rung::Nested)),
            (Isolation::Auto, Level::Baseline, true, Some(Rung::Nested)),
            (Isolation::Overlay, Level::Baseline, false, Some(Rung::Nested)),
            (Isolation::Auto, Level::Privileged, true, Some(Rung::Granted)),
            (Isolation::Auto, Level::Privileged, false, Some(Rung::Nested)),
            (Isolation::Root, Level::Privileged, true, Some(Rung::Root)),
            (Isolation::Auto, Level::Restricted, true, None),
        ] {
            assert_eq!(choose(isolation, level, user_namespaces).ok(), expected, "{isolation:?} {level:?}");
        }
    }

    #[test]
    fn sys_admin_only_where_granted() {
        let has = |rung| {
            stage_context(rung, true).capabilities.unwrap().add.unwrap().contains(&"SYS_ADMIN".to_owned())
        };
        assert!(has(Rung::Granted) && !has(Rung::Nested) && !has(Rung::Root));
    }

    #[test]
    fn nested_names_no_seccomp_profile() {
        assert_eq!(stage_context(Rung::Nested, true).seccomp_profile, None);
        assert_eq!(stage_context(Rung::Nested, false).proc_mount, None);
    }
}
