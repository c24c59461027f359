use std::fs;
use std::path::PathBuf;

use slipway_oci::archive::{Entry, Kind, Writer};
use slipway_oci::media::{self, Flavour};
use slipway_oci::{Descriptor, Index, Manifest};

use super::{Layout, Selector, split};

/// A folder that goes with it.
struct Bed(PathBuf);

impl Bed {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("slipway-layouts-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        Self(path)
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        fs::write(self.0.join(super::blob_name(&descriptor.digest)), bytes).unwrap();
        descriptor
    }

    fn image(&self, name: &str) -> Descriptor {
        let config = self.blob(media::OCI_CONFIG, format!("{{\"author\":\"{name}\"}}").as_bytes());
        let layer = self.blob(media::OCI_LAYER, name.as_bytes());
        let manifest = Manifest::new(Flavour::Oci, config, vec![layer]).to_bytes();
        self.blob(media::OCI_MANIFEST, &manifest)
    }

    fn index(&self, entries: Vec<Descriptor>) {
        fs::write(self.0.join("index.json"), Index::new(Flavour::Oci, entries).to_bytes()).unwrap();
    }

    fn error(&self, then: impl FnOnce(&Layout) -> Result<(), super::LayoutError>) -> String {
        let error = Layout::open(&self.0).and_then(|layout| then(&layout)).unwrap_err();
        crate::engine::Cause::text(&error)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn named(mut entry: Descriptor, name: &str) -> Descriptor {
    entry.annotations.insert(super::REF_NAME.into(), name.into());
    entry
}

#[test]
fn a_source_is_taken_apart_as_written() {
    assert_eq!(split("a/b:v1"), ("a/b".into(), Selector::Tag("v1".into())));
    assert_eq!(split("a:1/b"), ("a:1/b".into(), Selector::Only));
    let digest = slipway_oci::Digest::of("x");
    assert_eq!(split(&format!("a@{digest}")), ("a".into(), Selector::Digest(digest)));
    let bed = Bed::new("split:v1");
    assert_eq!(split(bed.0.to_str().unwrap()).1, Selector::Only);
}

#[test]
fn an_image_is_found_by_tag_name_and_digest() {
    let bed = Bed::new("names");
    let (one, two) = (bed.image("one"), bed.image("two"));
    bed.index(vec![named(one.clone(), "v1"), named(two.clone(), "registry.example/two:v2")]);
    let layout = Layout::open(&bed.0).unwrap();
    let find = |selector: Selector| layout.find(&selector).map(|found| found.digest);
    assert_eq!(find(Selector::Tag("v1".into())).unwrap(), one.digest);
    assert_eq!(find(Selector::Tag("v2".into())).unwrap(), two.digest);
    assert_eq!(find(Selector::Tag("registry.example/two:v2".into())).unwrap(), two.digest);
    assert_eq!(find(Selector::Digest(two.digest)).unwrap(), two.digest);
    let error = find(Selector::Only).unwrap_err().to_string();
    assert!(error.contains("say which: :v1, :registry.example/two:v2"), "{error}");
    let error = find(Selector::Tag("v9".into())).unwrap_err().to_string();
    assert!(error.contains("no image `v9`; there is v1"), "{error}");
}

#[test]
fn what_a_layout_says_is_not_believed() {
    let parts = |layout: &Layout| layout.parts(&layout.find(&Selector::Only)?, None).map(drop);
    let bed = Bed::new("hostile");
    let image = bed.image("a");
    let layer = Descriptor::of(media::OCI_LAYER, b"a");

    bed.index(vec![Descriptor { size: image.size + 1, ..image.clone() }]);
    assert!(bed.error(parts).contains("bytes instead of"), "another size");

    bed.index(vec![Descriptor { size: 1 << 40, ..image.clone() }]);
    assert!(bed.error(parts).contains("limit"), "a manifest of a terabyte");

    bed.index(vec![image.clone()]);
    fs::write(bed.0.join(super::blob_name(&layer.digest)), "b").unwrap();
    let check = |layout: &Layout| layout.check(&layer).map(drop);
    assert!(bed.error(check).contains("holds something else"), "another content");

    fs::remove_file(bed.0.join(super::blob_name(&layer.digest))).unwrap();
    assert!(bed.error(parts).contains("does not hold it"), "a missing layer");

    let both = br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    bed.index(vec![bed.blob(media::OCI_MANIFEST, both)]);
    assert!(bed.error(parts).contains("both `layers` and `manifests`"), "image and index at once");

    let mut inner = image.clone();
    for _ in 0..6 {
        inner = bed.blob(media::OCI_INDEX, &Index::new(Flavour::Oci, vec![inner]).to_bytes());
    }
    bed.index(vec![inner]);
    assert!(bed.error(parts).contains("too deep"), "indexes in indexes");

    fs::write(bed.0.join("index.json"), vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(bed.error(parts).contains("limit of 4194304"), "an index of five megabytes");

    fs::remove_file(bed.0.join("index.json")).unwrap();
    assert!(bed.error(parts).contains("no index.json"), "no layout at all");
}

#[test]
fn names_in_an_archive_lead_nowhere_else() {
    let bed = Bed::new("archive");
    let path = bed.0.join("image.tar");
    let write = |entries: &[(&str, Kind, &[u8])]| {
        let mut tar = Writer::new(vec![]);
        for (name, kind, bytes) in entries {
            tar.append_file(&Entry::new(*name, kind.clone(), 0o644), &mut &bytes[..]).unwrap();
        }
        fs::write(&path, tar.finish().unwrap()).unwrap();
    };
    let link = |target: &str| Kind::Symlink { target: target.as_bytes().to_vec() };
    for target in ["/etc/hostname", "../../../../etc/hostname"] {
        write(&[("index.json", link(target), b"")]);
        let error = Layout::open(&path).unwrap_err().to_string();
        assert!(error.contains("neither an OCI layout nor a docker archive"), "{target}: {error}");
    }
    write(&[("a", link("index.json"), b""), ("index.json", link("a"), b"")]);
    let error = Layout::open(&path).unwrap_err().to_string();
    assert!(error.contains("leads nowhere"), "{error}");

    // The writer refuses such names, so a header is made by hand.
    let mut tar = Writer::new(vec![]);
    tar.append_file(&Entry::new("xx/index.json", Kind::File { size: 2 }, 0o644), &mut &b"{}"[..]).unwrap();
    let mut bytes = tar.finish().unwrap();
    bytes[..2].copy_from_slice(b"..");
    let sum: u32 = bytes[..512]
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
        .sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    fs::write(&path, bytes).unwrap();
    let error = crate::engine::Cause::text(&Layout::open(&path).unwrap_err());
    assert!(error.contains("../index.json"), "{error}");
}

#[test]
fn links_within_an_archive_are_followed() {
    let bed = Bed::new("links");
    let image = bed.image("a");
    let index = Index::new(Flavour::Oci, vec![image.clone()]).to_bytes();
    let path = bed.0.join("image.tar");
    let mut tar = Writer::new(vec![]);
    let mut put = |name: &str, bytes: &[u8]| {
        let entry = Entry::new(name, Kind::File { size: bytes.len() as u64 }, 0o644);
        tar.append_file(&entry, &mut &bytes[..]).unwrap();
    };
    put("other/index", &index);
    for blob in fs::read_dir(bed.0.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        put(&format!("blobs/sha256/{}", blob.file_name().to_str().unwrap()), &fs::read(blob.path()).unwrap());
    }
    let link = Kind::Symlink { target: b"./other/../other/index".to_vec() };
    tar.append(&Entry::new("index.json", link, 0o644)).unwrap();
    let bytes = tar.finish().unwrap();
    fs::write(&path, &bytes).unwrap();
    let layout = Layout::open(&path).unwrap();
    let parts = layout.parts(&layout.find(&Selector::Only).unwrap(), None).unwrap();
    assert_eq!(parts.last().unwrap().descriptor.digest, image.digest);
    assert!(parts[0].blobs.iter().all(|blob| layout.check(blob).is_ok()));

    let packed = bed.0.join("image.tar.gz");
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &bytes).unwrap();
    fs::write(&packed, encoder.finish().unwrap()).unwrap();
    assert!(Layout::open(&packed).unwrap().find(&Selector::Only).is_ok());
}
