//! RUN: commands, here-documents, mounts.

use super::{AllKnown, graph, graph_of, histories, last, problems, request, runs};
use crate::ir::{Input, MountSource, Network, Sharing, StageId};

#[test]
fn heredocs_become_scripts() {
    let stage = last(
        "FROM a\nRUN <<EOF\necho $HOME\nEOF\nRUN <<EOF\n#!/usr/bin/env python\nprint(1)\nEOF\nRUN cat <<A <<B\na\nA\nb\nB\n",
    );
    let runs = runs(&stage);
    assert_eq!(runs[0].args, ["/bin/sh", "-c", "echo $HOME\n"]);
    assert_eq!(runs[0].script, None);
    assert_eq!(runs[1].args, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
    assert_eq!(runs[1].script, Some(("EOF".into(), "#!/usr/bin/env python\nprint(1)\n".into())));
    assert_eq!(runs[2].args, ["/bin/sh", "-c", "cat <<A <<B\na\nA\nb\nB"]);
}

#[test]
fn mounts_are_typed_and_expanded() {
    let text = concat!(
        "FROM a AS src\nFROM b\nWORKDIR /w\nARG S=64m C=cache\nUSER me\n",
        "RUN --mount=from=src,source=x/../y,target=in,rw --mount=type=$C,target=/c,sharing=locked,uid=5 ",
        "--mount=type=cache,id=go,target=d --mount=type=tmpfs,target=/t,size=$S --mount=type=secret,id=a/b ",
        "--mount=type=secret,id=k,env=KEY --mount=type=ssh --mount=type=bind,target=. make",
    );
    let graph = graph(text);
    let run = runs(&graph.stages[1])[0];
    let targets: Vec<&str> = run.mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(
        targets,
        ["/w/in", "/c", "/w/d", "/t", "/run/secrets/b", "", "/run/buildkit/ssh_agent.0", "/w"]
    );
    let source = |at: usize| &run.mounts[at].source;
    assert_eq!(
        *source(0),
        MountSource::Bind { input: Input::Stage(StageId(0)), path: "/y".into(), writable: true }
    );
    let MountSource::Cache { id, sharing, uid, .. } = source(1) else { panic!() };
    assert_eq!((id.as_str(), *sharing, *uid), ("/c", Sharing::Locked, Some(5)));
    let MountSource::Cache { id, from, .. } = source(2) else { panic!() };
    assert_eq!((id.as_str(), from), ("go", &Input::Empty));
    assert_eq!(*source(3), MountSource::Tmpfs { size: Some(64 << 20) });
    let MountSource::Secret { id, mode, env, .. } = source(5) else { panic!() };
    assert_eq!((id.as_str(), *mode, env.as_deref()), ("k", 0o400, Some("KEY")));
    assert_eq!(
        *source(7),
        MountSource::Bind { input: Input::Context("context".into()), path: "/".into(), writable: false }
    );
    assert_eq!(run.user, "me");
}

#[test]
fn networks() {
    let stage = last("FROM a\nRUN a\nRUN --network=none b\nRUN --network=host c");
    let networks: Vec<Network> = runs(&stage).iter().map(|run| run.network).collect();
    assert_eq!(networks, [Network::Default, Network::None, Network::Host]);
    let mut request = request();
    request.network = Network::None;
    let graph = graph_of("FROM a\nRUN a\nRUN --network=default b", &request, &AllKnown::default()).unwrap();
    assert!(runs(&graph.stages[0]).iter().all(|run| run.network == Network::None));
}

#[test]
fn what_run_cannot_do_is_said() {
    for (text, expected) in [
        ("FROM a\nRUN --security=insecure x", "`--security=insecure` would leave the sandbox"),
        ("FROM a\nARG T=.\nRUN --mount=type=tmpfs,target=$T x", "a mount cannot be put on `/`"),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn caches_of_different_namespaces_and_origins_are_different() {
    let mut request = request();
    request.cache_namespace = "shop".into();
    let text = "FROM a AS seed\nFROM b\nRUN --mount=type=cache,target=/c --mount=type=cache,target=/c2,id=x,from=seed a";
    let graph = graph_of(text, &request, &AllKnown::default()).unwrap();
    let ids: Vec<&str> = runs(&graph.stages[1])[0]
        .mounts
        .iter()
        .map(|mount| match &mount.source {
            MountSource::Cache { id, .. } => id.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, ["shop//c", "shop/x:seed"]);
}

#[test]
fn history_of_a_run_in_a_child_names_inherited_args() {
    let graph = graph("FROM a AS one\nARG V=1\nFROM one\nARG W\nRUN x");
    assert_eq!(histories(&graph.stages[1])[1], "RUN |2 V=1 W= /bin/sh -c x # buildkit");
}
