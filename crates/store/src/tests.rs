//! Tests of one process over one store; those of many are in `tests/`.

use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use slipway_oci::Digest;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().join("store")).unwrap();
    (directory, store)
}

fn put_layer(store: &Store, id: LayerId, content: &str) -> Committed {
    let writer = store.layer_writer(&id).unwrap();
    fs::write(writer.fs().join("file"), content).unwrap();
    writer.commit(LayerMeta { size: content.len() as u64, entries: 1, diff_id: None }).unwrap()
}

fn record(layer: Option<LayerId>) -> Record {
    let parts = vec![("command".to_owned(), "make".to_owned())];
    Record { layer, created: Timestamp::UNIX_EPOCH, seconds: 1.5, size: 7, parts, made: None, content: None }
}

/// Names of all that lies in `tmp` and `trash`, but for this process's own directory.
fn leftovers(store: &Store) -> Vec<String> {
    let mut names = files::names(&store.join("trash")).unwrap();
    for name in files::names(&store.join("tmp")).unwrap() {
        let path = store.join("tmp").join(&name);
        let inside = if path.is_dir() { files::names(&path).unwrap() } else { vec![name] };
        names.extend(inside);
    }
    names
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let (directory, store) = store();
    let root = directory.path().join("store");
    drop(store);
    fs::write(root.join("version"), "slipway-store 99\n").unwrap();
    let error = Store::open(&root).unwrap_err();
    assert!(matches!(&error, Error::Version { found, .. } if found == "slipway-store 99"), "{error}");
    assert!(matches!(Store::open_readonly(&root), Err(Error::Version { .. })));
    assert!(matches!(Store::open_readonly(directory.path()), Err(Error::NotAStore { .. })));
}

#[test]
fn permissions_do_not_depend_on_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, store) = store();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.root()), 0o700);
    let writer = store.layer_writer(&LayerId::step(Digest::of("key"))).unwrap();
    assert_eq!(mode(writer.fs()), 0o755);
}

#[test]
fn blobs_are_named_by_content() {
    let (_directory, store) = store();
    let digest = store.put_blob(b"hello").unwrap();
    assert_eq!(digest, Digest::of("hello"));
    assert_eq!(store.blob_size(&digest), Some(5));
    assert_eq!(store.read_blob(&digest).unwrap().unwrap(), b"hello");
    assert!(!store.has_blob(&Digest::of("other")));
    assert!(store.open_blob(&Digest::of("other")).unwrap().is_none());
    assert_eq!(leftovers(&store), Vec::<String>::new());
}

#[test]
fn a_blob_that_is_not_as_announced_leaves_nothing() {
    let (_directory, store) = store();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"evil").unwrap();
    let error = writer.finish(Some(Digest::of("good"))).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }));
    assert!(!store.has_blob(&Digest::of("good")) && !store.has_blob(&Digest::of("evil")));
    assert_eq!(leftovers(&store), Vec::<String>::new());
}

#[test]
fn a_damaged_blob_is_a_miss_and_can_be_written_again() {
    let (_directory, store) = store();
    let digest = store.put_blob(b"hello").unwrap();
    fs::write(store.blob_path(&digest), b"hellO").unwrap();
    assert_eq!(store.read_blob(&digest).unwrap(), None);
    assert!(!store.has_blob(&digest));
    store.put_blob(b"hello").unwrap();
    assert_eq!(store.read_blob(&digest).unwrap().unwrap(), b"hello");
}

#[test]
fn the_first_layer_wins() {
    let (_directory, store) = store();
    let id = LayerId::step(Digest::of("key"));
    assert!(!store.has_layer(&id));
    let slow = store.layer_writer(&id).unwrap();
    assert_eq!(put_layer(&store, id, "first"), Committed::First);
    fs::write(slow.fs().join("file"), "second").unwrap();
    assert_eq!(slow.commit(LayerMeta::default()).unwrap(), Committed::Lost);
    assert_eq!(fs::read_to_string(store.layer_path(&id).join("file")).unwrap(), "first");
    assert_eq!(store.layer_meta(&id).unwrap().size, 5);
    assert_eq!(leftovers(&store), Vec::<String>::new());
    // The same digest from elsewhere is another layer.
    assert!(!store.has_layer(&LayerId::diff(Digest::of("key"))));
}

#[test]
fn a_damaged_layer_is_a_miss_and_is_replaced() {
    let (_directory, store) = store();
    let id = LayerId::diff(Digest::of("diff"));
    put_layer(&store, id, "first");
    fs::write(store.layer_dir(&id).join("meta.json"), "{").unwrap();
    assert!(!store.has_layer(&id));
    assert_eq!(put_layer(&store, id, "second"), Committed::First);
    assert_eq!(fs::read_to_string(store.layer_path(&id).join("file")).unwrap(), "second");
}

#[test]
fn only_a_real_directory_is_adopted() {
    let (directory, store) = store();
    let id = LayerId::step(Digest::of("outbox"));
    let secret = directory.path().join("secret");
    fs::create_dir(&secret).unwrap();
    let build = store.build_dir("uid-1").unwrap();
    let outbox = build.outbox("build").unwrap();
    std::os::unix::fs::symlink(&secret, &outbox).unwrap();
    let error = store.adopt_layer(&id, &outbox, LayerMeta::default()).unwrap_err();
    assert!(matches!(error, Error::NotADirectory { .. }), "{error}");
    assert!(!store.has_layer(&id) && secret.is_dir());

    fs::create_dir(&outbox).unwrap();
    fs::write(outbox.join("made"), "here").unwrap();
    assert_eq!(store.adopt_layer(&id, &outbox, LayerMeta::default()).unwrap(), Committed::First);
    assert_eq!(fs::read_to_string(store.layer_path(&id).join("made")).unwrap(), "here");
    assert!(!outbox.exists());

    let bad = build.outbox("bad").unwrap();
    fs::create_dir(&bad).unwrap();
    let id = LayerId::step(Digest::of("bad"));
    let refused = store.adopt_layer_with(&id, &bad, |tree| {
        assert!(tree.starts_with(store.root().join("tmp")));
        Err(Error::NotADirectory { path: tree.to_owned() })
    });
    assert!(refused.is_err() && !store.has_layer(&id) && !bad.exists());
    assert_eq!(leftovers(&store), Vec::<String>::new());
    assert!(build.outbox("../x").is_err() && build.outbox("..").is_err() && store.build_dir("a/b").is_err());
}

#[test]
fn records_need_their_layer_and_their_checksum() {
    let (_directory, store) = store();
    let key = Digest::of("key");
    let id = LayerId::step(key);
    store.put_record(&key, &record(Some(id))).unwrap();
    assert_eq!(store.record(&key), None, "its layer is missing");
    put_layer(&store, id, "x");
    assert_eq!(store.record(&key), Some(record(Some(id))));

    let path = store.join("records").join(key.hex());
    let whole = fs::read(&path).unwrap();
    for at in [0, 10, 64, 70, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(store.record(&key), None, "bit flipped at {at}");
    }
    for length in [0, 1, 64, 65, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(store.record(&key), None, "cut at {length}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(store.record(&key).is_some());
}

#[test]
fn forms_and_memos_come_back() {
    let (_directory, store) = store();
    let id = LayerId::step(Digest::of("key"));
    let form = Form { diff_id: Digest::of("a"), blob: Digest::of("b"), size: 3, media_type: "x".to_owned() };
    assert_eq!(store.form(&id, "gzip-6").unwrap(), None);
    store.put_form(&id, "gzip-6", &form).unwrap();
    assert_eq!(store.form(&id, "gzip-6").unwrap(), Some(form));
    assert_eq!(store.form(&id, "zstd").unwrap(), None);
    assert!(store.form(&id, "../zstd").is_err());
    store.put_memo("last parts of docker.io/x:y\n", &vec![1, 2]).unwrap();
    assert_eq!(store.memo::<Vec<u8>>("last parts of docker.io/x:y\n"), Some(vec![1, 2]));
    assert_eq!(store.memo::<Vec<u8>>("other"), None);
}

#[test]
fn a_read_only_store_reads_and_refuses_to_write() {
    let (directory, store) = store();
    let id = LayerId::step(Digest::of("key"));
    put_layer(&store, id, "x");
    let reader = Store::open_readonly(directory.path().join("store")).unwrap();
    assert!(reader.hold_layer(&id).unwrap());
    assert!(matches!(reader.put_blob(b"x"), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.layer_writer(&id), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.collect(&Policy::everything(), SystemTime::now()), Err(Error::ReadOnly { .. })));
}

#[test]
fn one_flies_and_the_others_wait() {
    let (directory, store) = store();
    let key = Digest::of("key");
    let Flight::Mine(guard) = store.begin(&key).unwrap() else { panic!("nobody else is there") };
    let other = Store::open(directory.path().join("store")).unwrap();
    assert!(matches!(other.begin(&key).unwrap(), Flight::Theirs));
    assert!(matches!(other.wait(&key, Duration::from_millis(20), &|| false).unwrap(), Flight::Theirs));
    // Giving up passes the work on.
    drop(guard);
    let Flight::Mine(guard) = other.begin(&key).unwrap() else { panic!("the first one gave up") };
    other.put_record(&key, &record(None)).unwrap();
    drop(guard);
    assert!(matches!(store.begin(&key).unwrap(), Flight::Done(_)));
    assert_eq!(files::names(&store.join("flights")).unwrap(), Vec::<String>::new());
}

#[test]
fn what_a_killed_process_left_of_a_flight_is_swept() {
    let (_directory, store) = store();
    let (dead, alive) = (Digest::of("dead"), Digest::of("alive"));
    std::fs::write(store.join("flights").join(dead.hex()), "").unwrap();
    let Flight::Mine(guard) = store.begin(&alive).unwrap() else { panic!("nobody else is there") };
    store.sweep_flights().unwrap();
    assert_eq!(files::names(&store.join("flights")).unwrap(), [alive.hex()]);
    drop(guard);
}

#[test]
fn mounts_are_shared_locked_or_private() {
    let (_directory, store) = store();
    let mounts = store.mounts("ns").unwrap();
    let mut filled = 0;
    let mut take = |id: &str, sharing| {
        mounts
            .try_take(id, sharing, &mut |path| {
                filled += 1;
                fs::write(path.join("seed"), "s")
            })
            .unwrap()
    };
    let one = take("/root/.npm", Sharing::Shared).unwrap();
    let two = take("/root/.npm", Sharing::Shared).unwrap();
    assert_eq!(one.path(), two.path());
    assert!(take("/root/.npm", Sharing::Locked).is_none());
    let private = take("/root/.npm", Sharing::Private).unwrap();
    let another = take("/root/.npm", Sharing::Private).unwrap();
    assert!(private.path() != one.path() && private.path() != another.path());
    drop((one, two));
    let locked = take("/root/.npm", Sharing::Locked).unwrap();
    assert!(take("/root/.npm", Sharing::Shared).is_none());
    assert!(locked.path().join("seed").is_file());
    let elsewhere = take("../../etc", Sharing::Locked).unwrap();
    assert!(elsewhere.path().starts_with(store.root().join("mounts/ns")));
    assert_eq!(filled, 4, "each directory is filled once");
}

#[test]
fn collection_takes_the_oldest_and_spares_what_is_held() {
    let (directory, store) = store();
    let now = SystemTime::now();
    let ids: Vec<LayerId> = (0..4).map(|n| LayerId::step(Digest::of(format!("key {n}")))).collect();
    let maker = Store::open(directory.path().join("store")).unwrap();
    for (n, id) in ids.iter().enumerate() {
        put_layer(&maker, *id, &"x".repeat(100));
        let day = Duration::from_hours(24 * (10 - n as u64));
        fs::File::open(store.layer_dir(id).join("meta.json")).unwrap().set_modified(now - day).unwrap();
    }
    drop(maker);
    // The oldest is held by somebody, so the next ones go.
    let user = Store::open(directory.path().join("store")).unwrap();
    assert!(user.hold_layer(&ids[0]).unwrap());
    let time = now - Duration::from_hours(240);
    fs::File::open(store.layer_dir(&ids[0]).join("meta.json")).unwrap().set_modified(time).unwrap();
    let policy = Policy { max_bytes: Some(250), ..Policy::default() };
    let collected = store.collect(&policy, now).unwrap();
    let there: Vec<bool> = ids.iter().map(|id| store.has_layer(id)).collect();
    assert_eq!(there, [true, false, true, true], "{collected:?}");
    assert!(collected.short, "the held one keeps it above the limit");
    drop(user);
    let collected = store.collect(&policy, now).unwrap();
    assert!(!collected.short && !store.has_layer(&ids[0]) && store.has_layer(&ids[2]));
    let collected =
        store.collect(&Policy { grace: Duration::from_secs(1), ..Policy::everything() }, now).unwrap();
    assert_eq!(collected.bytes, 200);
    assert_eq!(store.usage().unwrap().total(), 0);
    assert_eq!(leftovers(&store), Vec::<String>::new());
}

#[test]
fn what_was_made_before_a_crash_of_the_machine_is_dropped() {
    let (directory, store) = store();
    let root = directory.path().join("store");
    let [kept, lost, old] = ["kept", "lost", "old"].map(|name| LayerId::step(Digest::of(name)));
    put_layer(&store, kept, "x");
    store.settle().unwrap();
    put_layer(&store, lost, "x");
    put_layer(&store, old, "x");
    let blob = store.put_blob(b"torn").unwrap();
    drop(store);
    // Another process of the same boot finds all of it, and passes the doubt on.
    let next = Store::open(&root).unwrap();
    assert!(next.has_layer(&kept) && next.has_layer(&lost));
    drop(next);
    let leases = files::names(&root.join("leases")).unwrap();
    assert_eq!(leases.len(), 1);
    let path = root.join("leases").join(&leases[0]);
    let text = fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    // As if the layer had been made an hour ago; that it was used since does not matter.
    let aged: String = rest
        .lines()
        .map(|line| match line.split_once(&old.to_string()) {
            Some((front, at)) => {
                let hour_ago = at.trim().parse::<u64>().unwrap() - 3600;
                format!("{front}{old} {hour_ago}\n")
            }
            None => format!("{line}\n"),
        })
        .collect();
    fs::write(&path, format!("another boot\n{aged}new blobs/../version 1\n")).unwrap();
    let after = Store::open(&root).unwrap();
    assert!(after.has_layer(&kept), "it was on the disk");
    assert!(after.has_layer(&old), "the kernel has written it long since");
    assert!(!after.has_layer(&lost) && !after.has_blob(&blob));
    assert!(root.join("version").is_file());
    assert_eq!(files::names(&root.join("leases")).unwrap(), Vec::<String>::new());
}

#[test]
fn a_blob_that_cannot_be_used_is_looked_at() {
    let (_directory, store) = store();
    let [good, bad] = [b"good", b"evil"].map(|bytes| store.put_blob(bytes).unwrap());
    fs::write(store.blob_path(&bad), b"worse").unwrap();
    assert!(store.check_blob(&good).unwrap() && !store.check_blob(&bad).unwrap());
    assert!(store.has_blob(&good) && !store.has_blob(&bad));
    assert!(!store.check_blob(&bad).unwrap(), "one that is gone is not whole");
}

#[test]
fn settling_beside_work_leaves_nothing_to_do() {
    let (directory, store) = store();
    let id = LayerId::step(Digest::of("layer"));
    assert!(!store.is_unsettled());
    put_layer(&store, id, "x");
    assert!(store.is_unsettled());
    let done = store.settle_beside(|| {
        put_layer(&store, LayerId::step(Digest::of("other")), "x");
        7
    });
    assert_eq!(done, 7);
    assert!(!store.is_unsettled() && store.has_layer(&id));
    drop(store);
    assert_eq!(files::names(&directory.path().join("store/leases")).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_still_written_to_does_not_keep_others_out() {
    let (directory, first) = store();
    let root = directory.path().join("store");
    let left = first.temporary().unwrap();
    fs::create_dir_all(left.join("busy")).unwrap();
    // As a process does that is killed: no destructor runs, and its lock goes.
    let lease = files::names(&root.join("leases")).unwrap().remove(0);
    let text = fs::read(root.join("leases").join(&lease)).unwrap();
    std::mem::forget(first);
    fs::remove_file(root.join("leases").join(&lease)).unwrap();
    fs::write(root.join("leases").join(&lease), text).unwrap();
    let second = Store::open(&root).unwrap();
    assert!(!left.exists(), "what a dead process left goes when the store is opened");
    second.collect(&Policy::default(), SystemTime::now()).unwrap();
    assert_eq!(leftovers(&second), Vec::<String>::new());
}

#[test]
fn verify_finds_each_kind_of_damage() {
    let (_directory, store) = store();
    let good = store.put_blob(b"good").unwrap();
    let bad = store.put_blob(b"bad").unwrap();
    fs::write(store.blob_path(&bad), b"worse").unwrap();
    let layer = LayerId::step(Digest::of("layer"));
    put_layer(&store, layer, "x");
    fs::remove_file(store.layer_dir(&layer).join("meta.json")).unwrap();
    let key = Digest::of("key");
    store.put_record(&key, &record(None)).unwrap();
    fs::write(store.join("records").join(key.hex()), "garbage").unwrap();
    let seen = store.verify().unwrap();
    assert_eq!((seen.blobs, seen.layers, seen.documents), (2, 1, 1));
    let expected =
        [format!("blobs/sha256/{}", bad.hex()), format!("layers/{layer}"), format!("records/{}", key.hex())];
    assert_eq!(seen.damaged, expected);
    assert!(store.has_blob(&good) && !store.has_blob(&bad));
    assert_eq!(store.verify().unwrap().damaged, Vec::<String>::new());
}

#[test]
fn layer_names_have_one_spelling() {
    let id = LayerId::chain(Digest::of("x"));
    assert_eq!(id.to_string().parse::<LayerId>().unwrap(), id);
    let upper = id.to_string().to_uppercase().replace("CHAIN", "chain");
    for text in ["", "step", "step-", "step-abc", "odd-00", "../../etc", &upper] {
        assert!(text.parse::<LayerId>().is_err(), "{text}");
    }
}
