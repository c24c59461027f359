use super::*;

const D1: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const D2: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn manifest_text(extra: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,{extra}"config":{{"mediaType":"{}","digest":"{D1}","size":2}},"layers":[{{"mediaType":"{}","digest":"{D2}","size":3}}]}}"#,
        media::OCI_CONFIG,
        Flavour::Oci.layer(crate::compress::Format::Gzip),
    )
}

#[test]
fn reads_images_and_indexes() {
    let text = manifest_text("");
    assert!(matches!(read(text.as_bytes(), Some(media::OCI_MANIFEST)), Ok(Document::Manifest(_))));
    let with_charset = Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8");
    assert!(read(text.as_bytes(), with_charset).is_ok());
    let index = br#"{"schemaVersion":2,"manifests":null}"#;
    assert!(matches!(read(index, None), Ok(Document::Index(_))));
}

#[test]
fn refuses_what_programs_would_read_differently() {
    let index_of = |more: &str| format!(r#"{{"schemaVersion":2,"manifests":[]{more}}}"#);
    let huge = format!("{}{}", manifest_text(""), " ".repeat(MAX_MANIFEST));
    let table: Vec<(&str, String, Option<&str>, &str)> = vec![
        ("layers and manifests", index_of(r#","layers":[]"#), None, "both"),
        ("Layers and manifests", index_of(r#","LAYERS":[]"#), None, "both"),
        ("config and manifests", index_of(r#","config":{}"#), None, "both"),
        ("repeated key", index_of(r#","manifests":[]"#), None, "twice"),
        ("repeated key in another case", manifest_text(r#""Config":{},"#), None, "twice"),
        ("index sent as manifest", index_of(""), Some(media::OCI_MANIFEST), "an index"),
        ("manifest sent as index", manifest_text(""), Some(media::DOCKER_LIST), "an image manifest"),
        (
            "own word differs",
            manifest_text(r#""mediaType":"application/vnd.oci.image.index.v1+json","#),
            None,
            "an image manifest",
        ),
        (
            "header and own word differ",
            manifest_text(&format!(r#""mediaType":"{}","#, media::DOCKER_MANIFEST)),
            Some(media::OCI_MANIFEST),
            "own word",
        ),
        (
            "schema 1",
            r#"{"schemaVersion":1,"fsLayers":[]}"#.into(),
            Some(media::DOCKER_SCHEMA1),
            "schema version 1",
        ),
        ("html", "<html>".into(), Some("text/html"), "cannot be read"),
        ("two documents", format!("{}{{}}", manifest_text("")), None, "cannot be read"),
        ("a list", "[]".into(), None, "cannot be read"),
        ("negative size", manifest_text("").replace("\"size\":3", "\"size\":-3"), None, "cannot be read"),
        ("another algorithm", manifest_text("").replace(D2, "sha512:22"), None, "cannot be read"),
        (
            "digest with a path",
            manifest_text("").replace(D2, "sha256:../../etc/passwd"),
            None,
            "cannot be read",
        ),
        ("too large", huge, None, "limit"),
    ];
    for (name, text, header, expected) in table {
        match read(text.as_bytes(), header) {
            Ok(document) => panic!("{name}: read as {document:?}"),
            Err(error) => assert!(error.to_string().contains(expected), "{name}: {error}"),
        }
    }
}

#[test]
fn a_field_in_another_spelling_is_refused() {
    // Found by the fuzz target: an index without entries to us, and with one to programs in Go.
    for key in ["manifeSts", "Manifests"] {
        let text = format!("{{\"schemaVersion\":2,\"{key}\":[]}}");
        let error = read(text.as_bytes(), None).unwrap_err();
        assert!(matches!(&error, ManifestError::Spelling(found) if found == key), "{error}");
    }
}

#[test]
fn layers_and_diff_ids_must_pair_up() {
    let Ok(Document::Manifest(manifest)) = read(manifest_text("").as_bytes(), None) else {
        panic!("not a manifest")
    };
    let mut config = ImageConfig::default();
    assert!(matches!(
        manifest.check_config(&config),
        Err(ManifestError::LayerCount { layers: 1, diff_ids: 0 })
    ));
    config.rootfs.diff_ids.push(Digest::of(b"x"));
    assert!(manifest.check_config(&config).is_ok());
}

#[test]
fn writes_the_same_bytes_and_reads_them_back() {
    let layer = Descriptor::of(media::OCI_LAYER, b"layer");
    let mut manifest =
        Manifest::new(Flavour::Docker, Descriptor::of(media::DOCKER_CONFIG, b"{}"), vec![layer]);
    manifest.annotations.insert("b".into(), "2".into());
    manifest.annotations.insert("a".into(), "1".into());
    let bytes = manifest.to_bytes();
    assert_eq!(bytes, manifest.clone().to_bytes());
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.find("\"a\"").unwrap() < text.find("\"b\"").unwrap());
    assert!(!text.contains("urls"), "empty fields are left out: {text}");
    let Ok(Document::Manifest(back)) = read(&bytes, Some(media::DOCKER_MANIFEST)) else {
        panic!("not read back")
    };
    assert_eq!(back, manifest);
}

#[test]
fn unknown_fields_survive() {
    let text = manifest_text(r#""future":{"a":1},"#);
    let Ok(Document::Manifest(manifest)) = read(text.as_bytes(), None) else { panic!("not a manifest") };
    assert!(String::from_utf8(manifest.to_bytes()).unwrap().contains("future"));
}

#[test]
fn selects_as_containerd_does() {
    let entry = |platform: &str| {
        let mut parts = platform.split('/').map(str::to_owned);
        let mut entry = Descriptor::of(media::OCI_MANIFEST, platform.as_bytes());
        entry.platform = Some(Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next(),
        });
        entry
    };
    let table = [
        // wanted, offered, chosen
        ("linux/amd64", "linux/arm64/v8 linux/amd64 unknown/unknown", Some("linux/amd64")),
        ("linux/amd64", "unknown/unknown linux/386", Some("linux/386")),
        ("linux/amd64/v3", "linux/amd64 linux/amd64/v2 linux/amd64/v4", Some("linux/amd64/v2")),
        ("linux/arm64", "linux/arm/v7 linux/arm64/v8", Some("linux/arm64/v8")),
        ("linux/arm64", "linux/arm/v6 linux/arm/v7", Some("linux/arm/v7")),
        ("linux/arm/v7", "linux/arm/v5 linux/arm/v6 linux/arm/v8", Some("linux/arm/v6")),
        ("linux/arm/v6", "linux/arm/v7", None),
        ("linux/s390x", "linux/amd64 linux/arm64", None),
        ("linux/amd64", "windows/amd64", None),
        ("linux/amd64", "unknown/unknown", None),
    ];
    for (wanted, offered, chosen) in table {
        let index = Index::new(Flavour::Oci, offered.split(' ').map(entry).collect());
        let got = select(&index, &wanted.parse().unwrap()).ok().map(|entry| entry.digest);
        assert_eq!(got, chosen.map(Digest::of), "{wanted} of {offered}");
    }
}

#[test]
fn an_attestation_is_never_an_image() {
    let mut attestation = Descriptor::of(media::OCI_MANIFEST, b"att");
    attestation.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    let index = Index::new(Flavour::Oci, vec![attestation.clone()]);
    let error = select(&index, &"linux/amd64".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "there is no image for linux/amd64; there is one for no platform at all");
    let mut image = Descriptor::of(media::OCI_MANIFEST, b"image");
    image.platform = None;
    let index = Index::new(Flavour::Oci, vec![attestation, image.clone()]);
    assert_eq!(select(&index, &"linux/amd64".parse().unwrap()).unwrap().digest, image.digest);
}

#[test]
fn what_go_programs_leave_empty_is_read() {
    let config = br#"{"architecture":"amd64","os":"linux","config":null,"rootfs":{"type":"layers","diff_ids":null},"history":null}"#;
    assert_eq!(read_config(config).unwrap().rootfs.diff_ids, []);
    let entry = |more: &str| {
        format!(
            r#"{{"mediaType":"{}","digest":"{D1}","size":2,"annotations":null,"urls":null{more}}}"#,
            media::OCI_MANIFEST
        )
    };
    for platform in
        ["", r#","platform":null"#, r#","platform":{}"#, r#","platform":{"architecture":"","os":""}"#]
    {
        let index = format!(r#"{{"schemaVersion":2,"annotations":null,"manifests":[{}]}}"#, entry(platform));
        let Ok(Document::Index(index)) = read(index.as_bytes(), None) else { panic!("not read") };
        assert!(select(&index, &"linux/amd64".parse().unwrap()).is_ok(), "{platform}");
    }
}
