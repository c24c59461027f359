//! COPY and ADD.

use super::{AllKnown, copies, graph, graph_of, histories, last, problems, request};
use crate::ir::{CopyItem, Input, StageId, Unpack};
use crate::request::NamedContext;

fn patterns(stage: &crate::ir::Stage, at: usize) -> Vec<&str> {
    let pattern = |item: &'_ CopyItem| matches!(item, CopyItem::Path { .. });
    copies(stage)[at]
        .items
        .iter()
        .filter(|item| pattern(item))
        .filter_map(|item| match item {
            CopyItem::Path { pattern, .. } => Some(pattern.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn sources_and_destinations() {
    let stage = last(
        "FROM a\nWORKDIR /app\nENV D=out\nCOPY package*.json ./\nCOPY a b/ $D\nCOPY --parents x/./y/z /w/",
    );
    assert_eq!(patterns(&stage, 0), ["/package*.json"]);
    assert_eq!(copies(&stage)[0].dest, "/app/");
    assert_eq!(patterns(&stage, 1), ["/a", "/b"]);
    assert_eq!(copies(&stage)[1].dest, "/app/out");
    assert_eq!(patterns(&stage, 2), ["/x/./y/z"]);
    assert_eq!(
        histories(&stage)[2..],
        [
            "COPY package*.json ./ # buildkit",
            "COPY a b/ out # buildkit",
            "COPY --parents x/./y/z /w/ # buildkit"
        ]
    );
}

#[test]
fn flags_expand_except_exclude() {
    let stage = last(concat!(
        "FROM a\nARG U=me M=0750\n",
        "COPY --link --chown=$U:1 --exclude=*.$U a /b\nCOPY --link --chmod=$M a /b\nADD --chmod=u+x a.tar /b",
    ));
    let copies = copies(&stage);
    assert_eq!((copies[0].owner.as_deref(), copies[0].link), (Some("me:1"), true));
    assert_eq!(copies[0].exclude, ["*.$U"]);
    assert_eq!((copies[1].mode.as_deref(), copies[1].link), (Some("0750"), false));
    assert_eq!((copies[2].unpack, copies[0].unpack), (Unpack::Local, Unpack::Never));
    assert_eq!(histories(&stage)[1], "COPY --chown=me:1 a /b # buildkit");
    assert_eq!(problems("FROM a\nARG M=9\nCOPY --chmod=$M a b"), ["`--chmod=9` is no file mode"]);
}

#[test]
fn from_stages_images_and_contexts() {
    let mut request = request();
    request.contexts.insert("assets".into(), NamedContext::Tree);
    request.contexts.insert("nginx".into(), NamedContext::Image("reg.example/nginx:2".into()));
    let text = concat!(
        "FROM a AS Build\nFROM b\nCOPY --from=BUILD x /\nCOPY --from=0 x /\nCOPY --from=busybox:1 x /\n",
        "COPY --from=assets x /\nCOPY --from=nginx x /\nCOPY --from=scratch x /",
    );
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    let input = |at: usize| match &copies(&graph.stages[1])[at].items[0] {
        CopyItem::Path { input, .. } => input.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(input(0), Input::Stage(StageId(0)));
    assert_eq!(input(1), Input::Stage(StageId(0)));
    assert_eq!(input(3), Input::Context("assets".into()));
    assert_eq!(input(5), Input::Empty);
    let image = |at: usize| match input(at) {
        Input::Image(id) => graph.images[id.0].reference.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(image(2), "docker.io/library/busybox:1");
    assert_eq!(image(4), "reg.example/nginx:2");
}

#[test]
fn heredocs_expand_unless_quoted() {
    let stage = last("FROM a\nENV V=1\nCOPY <<a.txt <<\"b.txt\" /d/\n$V '$V'\na.txt\n$V\nb.txt\n");
    let data: Vec<(&str, &str)> = copies(&stage)[0]
        .items
        .iter()
        .map(|item| match item {
            CopyItem::Inline { name, data } => (name.as_str(), data.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(data, [("a.txt", "1 '1'\n"), ("b.txt", "$V\n")]);
    assert_eq!(histories(&stage)[1], "COPY <<a.txt <<b.txt /d/ # buildkit");
}

#[test]
fn downloads_and_repositories() {
    let sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text = format!(
        "FROM a\nADD --checksum={sum} https://x.example/a%20b.tgz /\nADD --keep-git-dir https://g.example/r.git?commit=abcdef1#main /r\nADD --unpack=true https://x.example/b.tgz /"
    );
    let graph = graph(&text);
    let copies = copies(&graph.stages[0]);
    assert_eq!(
        copies[0].items,
        [CopyItem::Url { url: "https://x.example/a%20b.tgz".into(), checksum: Some(sum.into()) }]
    );
    let expected = CopyItem::Git {
        url: "https://g.example/r.git?commit=abcdef1#main".into(),
        checksum: Some("abcdef1".into()),
        keep_git_dir: true,
    };
    assert_eq!(copies[1].items, [expected]);
    assert_eq!(copies[2].unpack, Unpack::Always);
    assert_eq!(crate::key::step::url_file_name("https://x.example/a%20b.tgz"), "a b.tgz");
    assert_eq!(crate::key::step::url_file_name("https://x.example/?q"), "__unnamed__");
}

#[test]
fn what_copy_cannot_do_is_said() {
    for (text, expected) in [
        ("FROM a\nENV U=https://x.example/y\nCOPY $U /", "COPY does not download `https://x.example/y`"),
        (
            "FROM a\nADD --checksum=sha256:12 https://x.example/y /",
            "`sha256:12` is not a digest of the form sha256:<64 hex digits>",
        ),
        ("FROM a\nADD git://x.example/y?ref= /", "`ref` in the query has no value"),
        (
            "FROM a\nADD --keep-git-dir=false https://x.example/y.git?keep-git-dir=1 /",
            "--keep-git-dir and the address's keep-git-dir disagree",
        ),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn contexts_stand_in_for_stages_and_bases() {
    let mut request = request();
    request.contexts.insert("build".into(), NamedContext::Tree);
    let text = "FROM nowhere AS build\nRUN never\nFROM b\nCOPY --from=build x /";
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    assert_eq!(graph.images.len(), 1);
    let titles: Vec<&str> = graph.stages[0].steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles, ["FROM build"]);
    request.contexts.insert("build".into(), NamedContext::Image("alpine".into()));
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    assert!(graph.stages[0].steps.is_empty());
    assert_eq!(graph.images[0].reference, "docker.io/library/alpine:latest");
}
