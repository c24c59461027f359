//! Choosing an index entry for a platform, as containerd does.

use super::{Descriptor, Index, ManifestError};
use crate::platform::Platform;

/// Marks an index entry as an attestation of another one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Returns the entry of an index that suits a platform best: the same, else the next lower variant that it also runs.
///
/// Attestations and entries of unknown platforms are no images. An entry that names no platform at all is taken where
/// nothing else fits and it is the only one.
pub fn select<'a>(index: &'a Index, wanted: &Platform) -> Result<&'a Descriptor, ManifestError> {
    let images: Vec<&Descriptor> = index.manifests.iter().filter(|entry| is_image(entry)).collect();
    let named = |candidate: &Platform| {
        images
            .iter()
            .find(|entry| entry.platform.as_ref().is_some_and(|platform| normal(platform) == *candidate))
    };
    if let Some(entry) = candidates(wanted).iter().find_map(named) {
        return Ok(entry);
    }
    match images[..] {
        [only] if only.platform.as_ref().is_none_or(|p| p.os.is_empty() && p.architecture.is_empty()) => {
            Ok(only)
        }
        _ => Err(ManifestError::NoPlatform {
            wanted: wanted.clone(),
            available: images.iter().filter_map(|entry| Some(entry.platform.as_ref()?.to_string())).collect(),
        }),
    }
}

fn is_image(entry: &Descriptor) -> bool {
    let unknown = entry.platform.as_ref().is_some_and(|p| p.os == "unknown" || p.architecture == "unknown");
    !unknown
        && !entry.annotations.contains_key(REFERENCE_TYPE)
        && entry.artifact_type.is_none()
        && !crate::media::is_index(&entry.media_type)
}

/// Returns what a platform runs, best first.
fn candidates(wanted: &Platform) -> Vec<Platform> {
    let wanted = normal(wanted);
    let of = |architecture: &str, variant: Option<String>| Platform {
        os: wanted.os.clone(),
        architecture: architecture.to_owned(),
        variant,
    };
    let level = |default: u32| {
        wanted
            .variant
            .as_deref()
            .and_then(|v| v.trim_start_matches('v').parse().ok())
            .unwrap_or(default)
            .min(99)
    };
    let arm = |highest: u32| (5..=highest).rev().map(move |n| format!("v{n}"));
    let mut list = vec![wanted.clone()];
    match wanted.architecture.as_str() {
        "amd64" => {
            list.extend((2..level(1)).rev().map(|n| of("amd64", Some(format!("v{n}")))));
            list.push(of("amd64", None));
            list.push(of("386", None));
        }
        "arm" => list.extend(arm(level(7)).map(|v| of("arm", Some(v)))),
        "arm64" => {
            list.push(of("arm64", None));
            list.extend(arm(8).map(|v| of("arm", Some(v))));
        }
        _ => {}
    }
    list
}

/// Returns a platform with the spellings that mean the same made one.
fn normal(platform: &Platform) -> Platform {
    let os = platform.os.to_ascii_lowercase();
    let architecture = platform.architecture.to_ascii_lowercase();
    let variant = platform.variant.as_ref().map(|v| v.to_ascii_lowercase()).filter(|v| !v.is_empty());
    let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
        ("arm64" | "aarch64", Some("8" | "v8") | None) => ("arm64".to_owned(), None),
        ("amd64" | "x86_64", Some("v1") | None) => ("amd64".to_owned(), None),
        ("arm", None) => ("arm".to_owned(), Some("v7".to_owned())),
        ("arm", Some(v)) => ("arm".to_owned(), Some(format!("v{}", v.trim_start_matches('v')))),
        _ => (architecture, variant),
    };
    Platform { os, architecture, variant }
}
