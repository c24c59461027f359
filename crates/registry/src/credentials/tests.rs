use super::*;

fn rank(key: &str, image: &str) -> Option<usize> {
    Pattern::read(key)?.matches(&image.parse().unwrap())
}

#[test]
fn keys_match_as_the_kubelet_does() {
    let table = [
        ("registry.example", "registry.example/a", true),
        ("https://registry.example", "registry.example/a", true),
        ("http://registry.example/v2/", "registry.example/a", true),
        ("https://registry.example/v1/", "registry.example/a", true),
        ("Registry.Example", "registry.example/a", true),
        ("registry.example:5000", "registry.example:5000/a", true),
        ("registry.example", "registry.example:5000/a", false),
        ("registry.example:5000", "registry.example/a", false),
        ("registry.example/team", "registry.example/team/a", true),
        ("registry.example/team/", "registry.example/team/a", true),
        ("registry.example/team/a", "registry.example/team/a", true),
        ("registry.example/team", "registry.example/teamwork/a", false),
        ("registry.example/team/b", "registry.example/team/a", false),
        ("*.example", "registry.example/a", true),
        ("*.registry.example", "a.registry.example/x", true),
        ("*.example", "a.registry.example/x", false),
        ("*.registry.example", "registry.example/x", false),
        ("reg*.example", "registry.example/x", true),
        ("*", "registry.example/x", false),
        // Look-alikes.
        ("azurecr.io", "evilazurecr.io/x", false),
        ("azurecr.io", "azurecr.io.evil.example/x", false),
        ("*.azurecr.io", "a.evilazurecr.io/x", false),
        ("gcr.io", "eu.gcr.io/x", false),
        ("registry.example", "registry.example.evil.example/a", false),
        ("registry.example@evil.example", "evil.example/a", false),
        // Docker Hub under its names.
        ("https://index.docker.io/v1/", "debian", true),
        ("index.docker.io", "user/app", true),
        ("docker.io", "debian", true),
        ("registry-1.docker.io", "debian", true),
        ("docker.io", "docker.io.evil.example/x", false),
        ("https://index.docker.io/v1/", "quay.io/x/y", false),
        ("", "debian", false),
        ("/", "debian", false),
    ];
    for (key, image, expected) in table {
        assert_eq!(rank(key, image).is_some(), expected, "`{key}` for {image}");
    }
}

#[test]
fn the_more_specific_key_comes_first() {
    let image = "registry.example/team/app";
    let order = ["registry.example/team/app", "registry.example/team", "registry.example", "*.example"];
    let ranks: Vec<_> = order.iter().map(|key| rank(key, image).unwrap()).collect();
    assert!(ranks.is_sorted_by(|a, b| a > b), "{ranks:?}");
}

async fn find_in(text: &str, image: &str) -> Result<Vec<Found>, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    find(&[], &[folder.path().to_owned()], &image.parse().unwrap()).await
}

fn basic(username: &str, password: &str) -> Login {
    Login::Basic { username: username.into(), password: password.into() }
}

#[tokio::test]
async fn all_forms_of_entries_are_read() {
    let table = [
        (r#"{"auths":{"r.example":{"auth":"dXNlcjpwYTpzcw=="}}}"#, Some(basic("user", "pa:ss"))),
        (r#"{"auths":{"r.example":{"auth":"dXNlcjpwYTpzcw"}}}"#, Some(basic("user", "pa:ss"))),
        (r#"{"auths":{"r.example":{"username":"u","password":"p"}}}"#, Some(basic("u", "p"))),
        (
            r#"{"auths":{"r.example":{"auth":"dTpw","identitytoken":"it"}}}"#,
            Some(Login::Identity("it".into())),
        ),
        (r#"{"auths":{"r.example":{"registrytoken":"rt"}}}"#, Some(Login::Bearer("rt".into()))),
        (r#"{"auths":{"r.example":{}}}"#, None),
        (r#"{"r.example":{"auth":"dTpw"}}"#, Some(basic("u", "p"))),
        (r#"{"auths":{"other.example":{"auth":"dTpw"}}}"#, None),
        ("{}", None),
        ("", None),
    ];
    for (text, expected) in table {
        let found = find_in(text, "r.example/a").await.unwrap();
        assert_eq!(found.first().map(|found| found.login.clone()), expected, "{text}");
    }
}

#[tokio::test]
async fn broken_files_say_where_and_never_what() {
    let table = [
        (r#"{"auths":{"r.example":{"auth":"s3cret!"}}}"#, "not base64"),
        (r#"{"auths":{"r.example":{"auth":"czNjcmV0"}}}"#, "not `name:password`"),
        (r#"{"auths":["#, "config.json"),
        ("[]", "not a JSON object"),
        (r#"{"credsStore":"../../bin/sh"}"#, "may only have letters"),
        (r#"{"credsStore":"no-such-helper"}"#, "no such program"),
    ];
    for (text, expected) in table {
        let error = find_in(text, "r.example/a").await.unwrap_err();
        assert!(
            error.contains(expected) && !error.contains("s3cret") && !error.contains("czNj"),
            "{text}: {error}"
        );
    }
    assert_eq!(format!("{:?}", basic("u", "s3cret")), "Basic(…)");
}

#[tokio::test]
async fn logins_given_directly_come_before_files_of_the_same_rank() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    std::fs::write(&file, r#"{"auths":{"r.example":{"auth":"dTpw"},"r.example/team":{"auth":"dDpw"}}}"#)
        .unwrap();
    let logins = [("r.example".to_owned(), basic("direct", "p"))];
    let found =
        find(&logins, &[file, "/no/such/file".into()], &"r.example/team/a".parse().unwrap()).await.unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|found| match &found.login {
            Login::Basic { username, .. } => username.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(names, ["t", "direct", "u"]);
}

#[test]
fn the_usual_files_follow_the_environment() {
    let with = |set: &[(&str, &str)]| {
        let set = set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect::<Vec<(String, std::ffi::OsString)>>();
        usual_files(|name| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
    };
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(with(&[]), paths(&[]));
    assert_eq!(with(&[("HOME", "/h")]), paths(&["/h/.docker", "/h/.config/containers/auth.json"]));
    assert_eq!(
        with(&[("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/r")]),
        paths(&["/d", "/r/containers/auth.json"])
    );
    assert_eq!(with(&[("DOCKER_CONFIG", ""), ("REGISTRY_AUTH_FILE", "/a")]), paths(&["/a"]));
}
