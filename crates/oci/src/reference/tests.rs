use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn normalises_as_docker() {
    let table = [
        // written, registry, repository, tag, familiar
        ("debian", "docker.io", "library/debian", Some("latest"), "debian:latest"),
        (
            "debian:bookworm-slim",
            "docker.io",
            "library/debian",
            Some("bookworm-slim"),
            "debian:bookworm-slim",
        ),
        ("library/debian", "docker.io", "library/debian", Some("latest"), "debian:latest"),
        ("docker.io/debian", "docker.io", "library/debian", Some("latest"), "debian:latest"),
        ("index.docker.io/debian", "docker.io", "library/debian", Some("latest"), "debian:latest"),
        ("library/a/b", "docker.io", "library/a/b", Some("latest"), "library/a/b:latest"),
        ("user/app:1", "docker.io", "user/app", Some("1"), "user/app:1"),
        ("localhost/app", "localhost", "app", Some("latest"), "localhost/app:latest"),
        ("localhost:5000/a/b:v1", "localhost:5000", "a/b", Some("v1"), "localhost:5000/a/b:v1"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000", "app", Some("latest"), "127.0.0.1:5000/app:latest"),
        ("[::1]:5000/app:x", "[::1]:5000", "app", Some("x"), "[::1]:5000/app:x"),
        (
            "ghcr.io/o/r.s_t__u--v/w",
            "ghcr.io",
            "o/r.s_t__u--v/w",
            Some("latest"),
            "ghcr.io/o/r.s_t__u--v/w:latest",
        ),
        ("Upper/app", "Upper", "app", Some("latest"), "Upper/app:latest"),
        ("a.b/c:_1.-", "a.b", "c", Some("_1.-"), "a.b/c:_1.-"),
    ];
    for (written, registry, repository, tag, familiar) in table {
        let reference: Reference = written.parse().unwrap();
        assert_eq!(
            (reference.registry(), reference.repository(), reference.tag()),
            (registry, repository, tag),
            "{written}"
        );
        assert_eq!(reference.familiar(), familiar, "{written}");
        assert_eq!(
            reference.to_string().parse::<Reference>().unwrap(),
            reference,
            "{written} does not read back"
        );
    }
}

#[test]
fn a_digest_pins_and_a_tag_beside_it_is_a_note() {
    let only: Reference = format!("debian@sha256:{HEX}").parse().unwrap();
    assert_eq!(only.tag(), None);
    assert_eq!(only.to_string(), format!("docker.io/library/debian@sha256:{HEX}"));
    let both: Reference = format!("r.example/a:1@sha256:{HEX}").parse().unwrap();
    assert_eq!(both.tag(), Some("1"));
    assert_eq!(both.locator(), format!("sha256:{HEX}"));
    assert_eq!(both.with_tag("2").unwrap().to_string(), "r.example/a:2");
    assert!(both.with_tag("-").is_err());
}

#[test]
fn refuses_what_docker_refuses() {
    let long = format!("r.example/{}", "a".repeat(256));
    let long_tag = format!("a:{}", "t".repeat(129));
    let bad_digest = format!("debian@sha512:{HEX}");
    let table = [
        ("", "empty"),
        ("https://docker.io/debian", "scheme"),
        ("Debian", "lower case"),
        ("docker.io/", "empty part"),
        ("/debian", "empty part"),
        ("a//b", "empty part"),
        ("a/-b", "`-b`"),
        ("a/b.", "`b.`"),
        ("a/b..c", "`b..c`"),
        ("a/b___c", "`b___c`"),
        ("a b", "`a b`"),
        ("debian:", "not a tag"),
        ("debian:.x", "not a tag"),
        ("debian:a/b", "not a port"),
        ("h:99999/a", "not a port"),
        ("-h.example/a", "registry host"),
        ("h..x/a", "registry host"),
        ("[::zz]/a", "registry host"),
        ("debian@sha256:12", "sha256 digest"),
        ("..", "`..`"),
        ("../etc", "registry host"),
        (HEX, "64 hex digits"),
        (&bad_digest, "sha256 digest"),
        (&long, "longer than"),
        (&long_tag, "not a tag"),
    ];
    for (written, reason) in table {
        match written.parse::<Reference>() {
            Ok(reference) => panic!("`{written}` was read as {reference}"),
            Err(error) => assert!(error.reason.contains(reason), "`{written}`: {error}"),
        }
    }
}
