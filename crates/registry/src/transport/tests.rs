use super::*;

fn transport() -> Transport {
    Transport::new(Settings { insecure: vec!["plain.example".into()], ..Settings::default() }).unwrap()
}

#[test]
fn locations_lead_where_they_may() {
    let transport = transport();
    let table = [
        // from, location, where to
        ("https://r.example/v2/", "/x?_state=1", Some("https://r.example/x?_state=1")),
        ("https://r.example/v2/", "x", Some("https://r.example/v2/x")),
        ("https://r.example/v2/", "https://storage.example/x", Some("https://storage.example/x")),
        ("https://r.example/v2/", "//storage.example/x", Some("https://storage.example/x")),
        // Behind a proxy that ends TLS, registries often name themselves so.
        ("https://r.example/v2/", "http://r.example/x", Some("https://r.example/x")),
        ("https://r.example:5000/v2/", "http://r.example:5000/x", Some("https://r.example:5000/x")),
        ("https://r.example/v2/", "http://r.example:8080/x", None),
        ("https://r.example/v2/", "http://storage.example/x", None),
        ("https://r.example/v2/", "http://plain.example/x", Some("http://plain.example/x")),
        ("https://r.example/v2/", "http://127.0.0.1:5000/x", Some("http://127.0.0.1:5000/x")),
        ("http://plain.example/v2/", "http://other.example/x", Some("http://other.example/x")),
        ("https://r.example/v2/", "http://169.254.169.254/latest/meta-data", None),
        ("https://r.example/v2/", "https://169.254.169.254/", None),
        ("http://plain.example/v2/", "http://[fe80::1]/", None),
        ("http://plain.example/v2/", "http://[::ffff:169.254.1.1]/", None),
        ("https://r.example/v2/", "file:///etc/passwd", None),
        ("https://r.example/v2/", "ftp://x/", None),
        ("https://r.example/v2/", "http://", None),
    ];
    for (from, location, expected) in table {
        let got = transport.allowed(&from.parse().unwrap(), location).ok().map(|url| url.to_string());
        assert_eq!(got.as_deref(), expected, "{from} -> {location}");
    }
}

#[test]
fn what_is_shown_of_a_url_holds_no_secret() {
    let url: Url = "https://user:pass@h.example:8443/x/y?X-Amz-Signature=abc#frag".parse().unwrap();
    assert_eq!(shown_url(&url), "https://h.example:8443/x/y");
}

#[test]
fn origins_differ_by_scheme_host_and_port() {
    let same = |a: &str, b: &str| same_origin(&a.parse().unwrap(), &b.parse().unwrap());
    assert!(same("https://r.example/a", "https://r.example:443/b"));
    assert!(!same("https://r.example/", "http://r.example/"));
    assert!(!same("https://r.example/", "https://r.example:444/"));
    assert!(!same("https://r.example/", "https://r.example.evil.example/"));
}
