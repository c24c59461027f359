//! Encodings, and for each field of an operation whether it counts.

use proptest::prelude::*;
use slipway_oci::{Digest, Platform};

use super::{Encoder, Key, Tree, content_key, layer_key, scratch_key, step_key};
use crate::ir::{
    CopyItem, CopyOp, Input, MountSource, Network, Op, RunMount, RunOp, Sharing, StageId, Unpack, WorkdirOp,
};

fn platform() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text)
}

fn key_of(op: &Op) -> Key {
    let trees: Vec<Tree> = op.reads().iter().map(|_| Tree::Content(digest("tree"))).collect();
    step_key(op, &scratch_key(), &platform(), &trees)
}

fn run() -> RunOp {
    RunOp {
        args: vec!["sh".into(), "-c".into(), "make".into()],
        script: None,
        env: vec![("PATH".into(), "/bin".into())],
        hidden_env: vec![],
        cwd: "/w".into(),
        user: String::new(),
        mounts: vec![
            RunMount { target: "/c".into(), source: cache() },
            RunMount {
                target: "/b".into(),
                source: MountSource::Bind {
                    input: Input::Context("context".into()),
                    path: "/x".into(),
                    writable: false,
                },
            },
            RunMount { target: "/s".into(), source: secret() },
        ],
        network: Network::Default,
        hostname: "h".into(),
        add_hosts: vec![("db".into(), "10.0.0.1".into())],
        ulimits: vec![],
        shm_size: None,
    }
}

fn cache() -> MountSource {
    MountSource::Cache {
        id: "/c".into(),
        sharing: Sharing::Shared,
        from: Input::Empty,
        path: "/".into(),
        readonly: false,
        uid: None,
        gid: None,
        mode: None,
    }
}

fn secret() -> MountSource {
    MountSource::Secret { id: "k".into(), required: false, uid: 0, gid: 0, mode: 0o400, env: None }
}

fn copy() -> CopyOp {
    let input = Input::Context("context".into());
    CopyOp {
        items: vec![
            CopyItem::Path { input, pattern: "/a/x*".into() },
            CopyItem::Inline { name: "f".into(), data: "d".into() },
        ],
        dest: "/to/".into(),
        owner: None,
        mode: None,
        link: false,
        parents: false,
        exclude: vec![],
        unpack: Unpack::Never,
    }
}

/// Asserts whether a change of a RUN gives another key.
fn run_with(name: &str, counts: bool, change: impl FnOnce(&mut RunOp)) {
    let mut changed = run();
    change(&mut changed);
    assert_ne!(changed, run(), "{name}: nothing changed");
    let (old, new) = (key_of(&Op::Run(Box::new(run()))), key_of(&Op::Run(Box::new(changed))));
    assert_eq!(old != new, counts, "{name}");
}

fn copy_with(name: &str, counts: bool, change: impl FnOnce(&mut CopyOp)) {
    let mut changed = copy();
    change(&mut changed);
    assert_ne!(changed, copy(), "{name}: nothing changed");
    let (old, new) = (key_of(&Op::Copy(Box::new(copy()))), key_of(&Op::Copy(Box::new(changed))));
    assert_eq!(old != new, counts, "{name}");
}

#[test]
fn what_counts_of_a_run() {
    run_with("args", true, |run| run.args[2].push('x'));
    run_with("split of args", true, |run| {
        run.args = vec!["sh".into(), "-cmake".into()];
    });
    run_with("script", true, |run| run.script = Some(("EOF".into(), "#!x".into())));
    run_with("env value", true, |run| run.env[0].1.push('x'));
    run_with("env name and value", true, |run| run.env = vec![("PATH/".into(), "bin".into())]);
    run_with("proxies", false, |run| run.hidden_env.push(("HTTP_PROXY".into(), "p".into())));
    run_with("cwd", true, |run| run.cwd.push('x'));
    run_with("user", true, |run| run.user.push('x'));
    run_with("network", true, |run| run.network = Network::None);
    run_with("host name", true, |run| run.hostname.push('x'));
    run_with("name of a host", true, |run| run.add_hosts[0].0.push('x'));
    run_with("address of a host", false, |run| run.add_hosts[0].1.push('x'));
    run_with("ulimits", true, |run| run.ulimits.push(("nofile".into(), 1, 2)));
    run_with("size of /dev/shm", false, |run| run.shm_size = Some(1));
    run_with("mount target", true, |run| run.mounts[0].target.push('x'));
    run_with("mount order", true, |run| run.mounts.swap(0, 2));
    run_with("bind path, known by content", false, |run| {
        run.mounts[1].source =
            MountSource::Bind { input: Input::Context("context".into()), path: "/y".into(), writable: false };
    });
    run_with("writable bind", true, |run| {
        run.mounts[1].source =
            MountSource::Bind { input: Input::Context("context".into()), path: "/x".into(), writable: true };
    });
    for (name, counts, change) in [
        ("cache id", false, 0),
        ("cache sharing", false, 1),
        ("cache owner", true, 2),
        ("cache read-only", true, 3),
        ("cache group is not cache owner", true, 4),
    ] {
        run_with(name, counts, |run| {
            let MountSource::Cache { id, sharing, uid, gid, readonly, .. } = &mut run.mounts[0].source else {
                panic!()
            };
            match change {
                0 => id.push('x'),
                1 => *sharing = Sharing::Locked,
                2 => *uid = Some(1),
                3 => *readonly = true,
                _ => *gid = Some(1),
            }
        });
    }
    for (name, change) in [("secret id", 0), ("secret required", 1), ("secret mode", 2), ("secret env", 3)] {
        run_with(name, true, |run| {
            let MountSource::Secret { id, required, mode, env, .. } = &mut run.mounts[2].source else {
                panic!()
            };
            match change {
                0 => id.push('x'),
                1 => *required = true,
                2 => *mode = 0,
                _ => *env = Some("E".into()),
            }
        });
    }
}

#[test]
fn what_counts_of_a_copy() {
    copy_with("destination", true, |copy| copy.dest.push('x'));
    copy_with("owner", true, |copy| copy.owner = Some("1".into()));
    copy_with("mode", true, |copy| copy.mode = Some("1".into()));
    copy_with("link", true, |copy| copy.link = true);
    copy_with("parents", true, |copy| copy.parents = true);
    copy_with("unpack", true, |copy| copy.unpack = Unpack::Local);
    copy_with("exclude, which is in the content", false, |copy| copy.exclude.push("x".into()));
    copy_with("folder of the source", false, |copy| {
        copy.items[0] = CopyItem::Path { input: Input::Context("context".into()), pattern: "/b/x*".into() };
    });
    copy_with("name of the source", true, |copy| {
        copy.items[0] = CopyItem::Path { input: Input::Context("context".into()), pattern: "/a/y*".into() };
    });
    copy_with("inline data", true, |copy| {
        copy.items[1] = CopyItem::Inline { name: "f".into(), data: "e".into() }
    });
    copy_with("inline name", true, |copy| {
        copy.items[1] = CopyItem::Inline { name: "g".into(), data: "d".into() }
    });
    copy_with("order", true, |copy| copy.items.swap(0, 1));
    copy_with("fewer", true, |copy| drop(copy.items.pop()));
}

#[test]
fn a_copy_by_content_is_the_same_wherever_the_files_come_from() {
    let from = |input: Input| {
        let mut copy = copy();
        copy.items[0] = CopyItem::Path { input, pattern: "/a/x*".into() };
        Op::Copy(Box::new(copy))
    };
    let (context, stage) = (from(Input::Context("context".into())), from(Input::Stage(StageId(3))));
    let by_content = |op: &Op| content_key(op, &scratch_key(), &platform(), &[digest("files")]);
    assert_eq!(by_content(&context), by_content(&stage));
    let by_key = |text: &str| step_key(&stage, &scratch_key(), &platform(), &[Tree::Key(Key(digest(text)))]);
    assert_ne!(by_key("files"), by_content(&stage));
    assert_ne!(by_key("a"), by_key("b"));
    // By key, the folder and what is left out are not in a digest, so they count.
    let Op::Copy(mut other) = stage.clone() else { panic!() };
    other.exclude.push("x".into());
    let other = Op::Copy(other);
    assert_ne!(by_key("a"), step_key(&other, &scratch_key(), &platform(), &[Tree::Key(Key(digest("a")))]));
}

#[test]
fn linked_layers_do_not_know_what_is_below() {
    let op = CopyOp { link: true, ..copy() };
    let trees = [Tree::Content(digest("files"))];
    let on = |base: &str| step_key(&Op::Copy(Box::new(op.clone())), &Key(digest(base)), &platform(), &trees);
    assert_ne!(on("a"), on("b"));
    assert_eq!(layer_key(&op, &trees), layer_key(&op.clone(), &trees));
}

#[test]
fn platforms_count_for_commands_alone() {
    let arm: Platform = "linux/arm64".parse().unwrap();
    let on = |op: &Op, platform: &Platform| {
        let trees: Vec<Tree> = op.reads().iter().map(|_| Tree::Content(digest("t"))).collect();
        step_key(op, &scratch_key(), platform, &trees)
    };
    let run = Op::Run(Box::new(run()));
    assert_ne!(on(&run, &platform()), on(&run, &arm));
    let workdir = Op::Workdir(WorkdirOp { path: "/a".into(), user: String::new() });
    assert_eq!(on(&workdir, &platform()), on(&workdir, &arm));
}

#[test]
fn a_download_is_known_by_its_checksum() {
    let sum = digest("bytes");
    let url = |checksum: Option<String>| {
        let mut copy = copy();
        copy.items = vec![CopyItem::Url { url: "https://x.example/f".into(), checksum }];
        Op::Copy(Box::new(copy))
    };
    let pinned = url(Some(sum.to_string()));
    assert_eq!(pinned.reads()[0].need(), None);
    let fetched = step_key(&url(None), &scratch_key(), &platform(), &[Tree::Content(sum)]);
    assert_eq!(step_key(&pinned, &scratch_key(), &platform(), &[Tree::Content(sum)]), fetched);
}

/// A typed value of an encoding.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Digest(u8),
    Key(u8),
    Option(Option<Box<Value>>),
    List(Vec<Value>),
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-b\\x00\\x01]{0,3}".prop_map(Value::Text),
        (0..3_u64).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Flag),
        (0..2_u8).prop_map(Value::Digest),
        (0..2_u8).prop_map(Value::Key),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::option::of(inner.clone().prop_map(Box::new)).prop_map(Value::Option),
            prop::collection::vec(inner, 0..3).prop_map(Value::List),
        ]
    })
}

fn put(encoder: &mut Encoder, value: &Value) {
    match value {
        Value::Text(text) => drop(encoder.text(text)),
        Value::Number(number) => drop(encoder.number(*number)),
        Value::Flag(flag) => drop(encoder.flag(*flag)),
        Value::Digest(byte) => drop(encoder.digest(&Digest::from_bytes([*byte; 32]))),
        Value::Key(byte) => drop(encoder.key(&Key(Digest::from_bytes([*byte; 32])))),
        Value::Option(value) => drop(encoder.option(value.as_deref(), put)),
        Value::List(values) => drop(encoder.list(values.iter(), put)),
    }
}

fn encoded(values: &[Value]) -> Vec<u8> {
    let mut encoder = Encoder::new("test");
    for value in values {
        put(&mut encoder, value);
    }
    encoder.bytes().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn different_values_have_different_bytes(
        a in prop::collection::vec(values(), 0..3), b in prop::collection::vec(values(), 0..3),
    ) {
        prop_assert_eq!(a == b, encoded(&a) == encoded(&b));
        // No encoding is the beginning of another of the same length of values: nothing can be moved across a border.
        if a.len() == b.len() && a != b {
            prop_assert!(!encoded(&b).starts_with(&encoded(&a)));
        }
    }
}
