//! The capabilities of a command: what containers usually have, and nothing that reaches beyond the sandbox.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use crate::error::{During, Failure};

/// The set that images are built and tested with.
pub(super) const USUAL: CapabilitySet = CapabilitySet::AUDIT_WRITE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_CHROOT);

/// The set of a command that only `chroot` shuts in: without what leads out of one, or to the machine's disks.
pub(super) const SHUT_IN: CapabilitySet =
    USUAL.difference(CapabilitySet::MKNOD).difference(CapabilitySet::SYS_CHROOT);

/// Takes all others out of the bounding set, so that no program can ever gain them.
pub(super) fn bound(keep: CapabilitySet) -> Result<(), Failure> {
    for number in 0..64_u32 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // The kernel refuses to speak of capabilities that it does not know.
        if !keep.contains(one) && capability_is_in_bounding_set(one).unwrap_or(false) {
            remove_capability_from_bounding_set(one).during(|| format!("give up capability {number}"))?;
        }
    }
    Ok(())
}

/// Gives the others up in this process; one that is not root gives up all.
pub(super) fn restrict(keep: CapabilitySet, root: bool) -> Result<(), Failure> {
    let step = || "give up capabilities";
    // Unknown before Linux 4.3, where nothing is ambient.
    let _ = clear_ambient_capability_set();
    let has = capabilities(None).during(step)?;
    let keep = if root { has.permitted & keep } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).during(step)
}
