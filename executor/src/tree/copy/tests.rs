//! Tests of `COPY` and `ADD`: each row is a source, a base, an instruction, and what the layer then holds.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use slipway_graph::ir::CopyItem;

use super::*;
use crate::tree::testing::{Desk, NOW, lines, show, show_layer};

/// `COPY a b dest` in the words of the graph.
fn op(text: &str) -> CopyOp {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let dest = words.pop().unwrap().to_owned();
    let mut op = CopyOp {
        items: Vec::new(),
        dest,
        owner: None,
        mode: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
        unpack: Unpack::Never,
    };
    for word in words {
        match word.split_once('=') {
            Some(("--chown", value)) => op.owner = Some(value.to_owned()),
            Some(("--chmod", value)) => op.mode = Some(value.to_owned()),
            Some(("--exclude", value)) => op.exclude.push(value.to_owned()),
            _ if word == "--parents" => op.parents = true,
            _ if word == "--link" => op.link = true,
            _ => {
                let input = slipway_graph::ir::Input::Context("context".to_owned());
                op.items.push(CopyItem::Path { input, pattern: word.to_owned() });
            }
        }
    }
    op
}

struct Case<'a> {
    source: &'a str,
    /// A context, which belongs to root; else a layer, which keeps its owners.
    context: bool,
    ignore: &'a str,
    base: &'a str,
    unpack: bool,
    share: bool,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { source: "", context: true, ignore: "", base: "", unpack: false, share: false }
    }
}

impl Case<'_> {
    fn run(&self, desk: &Desk, instruction: &str) -> (Result<CopyStats, TreeError>, std::path::PathBuf) {
        let op = op(instruction);
        let base = desk.stack(&[self.base]);
        let source = desk.tree("source", self.source);
        let upper = desk.dir.path().join("upper");
        fs::create_dir_all(&upper).unwrap();
        let stack = if self.context {
            LayerStack::plain(&source).unwrap()
        } else {
            LayerStack::open([&source]).unwrap()
        };
        let ignore = IgnoreFile::parse(self.ignore).unwrap();
        let owner = self.context.then(Owner::default);
        let items: Vec<Item<'_>> = op
            .items
            .iter()
            .map(|item| match item {
                CopyItem::Path { pattern, .. } => Item::Path {
                    source: Source { stack: &stack, ignore: Some(&ignore), owner },
                    pattern,
                    unpack: self.unpack,
                },
                _ => unreachable!(),
            })
            .collect();
        let base = if op.is_on_its_own() { LayerStack::empty() } else { base };
        let done = Options::of(&op, &base, NOW).and_then(|options| {
            copy(&upper, &base, &items, &op.dest, &Options { share: self.share, ..options })
        });
        (done, upper)
    }

    fn gives(&self, instruction: &str, expected: &str) {
        let desk = Desk::new();
        let (done, upper) = self.run(&desk, instruction);
        done.unwrap_or_else(|error| panic!("{instruction}: {error}"));
        assert_eq!(show_layer(&upper), lines(expected), "{instruction}");
    }

    fn fails(&self, instruction: &str, expected: &str) {
        let desk = Desk::new();
        let (done, _) = self.run(&desk, instruction);
        let error = done.expect_err(instruction).to_string();
        assert!(error.contains(expected), "{instruction}: {error}");
    }
}

#[test]
fn where_things_go() {
    let case = Case {
        source: "file = f 0600 3:4\nother = o\nd/x = x\nd/sub/y = y 0755\nempty/",
        base: "app/ 0700 5:5\napp/old = old\nlink -> app\nabs -> /app/deep\nplain = p\ntofile -> plain",
        ..Case::default()
    };
    case.gives("file /new", "new = f 0600");
    case.gives("file /new/", "new/ now\nnew/file = f 0600");
    case.gives("file /app", "app/ 0700 5:5\napp/file = f 0600");
    case.gives("file /app/", "app/ 0700 5:5\napp/file = f 0600");
    case.gives("file /link", "app/ 0700 5:5\napp/file = f 0600");
    case.gives("file /link/x", "app/ 0700 5:5\napp/x = f 0600");
    case.gives("file /abs/x", "app/ 0700 5:5\napp/deep/ now\napp/deep/x = f 0600");
    case.gives("file /a/b/c", "a/ now\na/b/ now\na/b/c = f 0600");
    case.gives("file /plain", "plain = f 0600");
    case.gives("file /tofile", "plain = f 0600");
    case.gives("file other /two/", "two/ now\ntwo/file = f 0600\ntwo/other = o");
    case.gives("file other /same", "same = o");
    case.gives("d /new", "new/\nnew/sub/\nnew/sub/y = y 0755\nnew/x = x");
    case.gives("d/ /app", "app/ 0700 5:5\napp/sub/\napp/sub/y = y 0755\napp/x = x");
    case.gives("d empty /app", "app/ 0700 5:5\napp/sub/\napp/sub/y = y 0755\napp/x = x");
    case.gives("d/sub/y /", "y = y 0755");
    case.gives(". /", "d/\nd/sub/\nd/sub/y = y 0755\nd/x = x\nempty/\nfile = f 0600\nother = o");
    case.gives("../../file /new", "new = f 0600");
    case.fails("nothing /x", "`nothing` not found");
    case.fails("fle /x", "did you mean `file`?");
    case.fails("file d/nothing /x/", "`d/nothing` not found");
    case.fails("d /plain", "`/plain`");
    case.fails("file /plain/x", "`/plain` is not a directory");
}

#[test]
fn what_is_there_already() {
    let case = Case {
        source: "d/sub/ 0711\nd/sub/f = new\nd/file = new\nd/was-link = new\nd/to/ 0711\nd/to/f = new",
        base: "t/sub/ 0700 5:5\nt/sub/kept = k\nt/file = old 0600\nt/was-link -> file\nt/to/ 0755",
        ..Case::default()
    };
    // An existing top directory keeps its metadata but for the time, one below takes the source's; files are replaced, links are too.
    case.gives(
        "d /t",
        "t/\nt/file = new\nt/sub/ 0711\nt/sub/f = new\nt/to/ 0711\nt/to/f = new\nt/was-link = new",
    );
    let blocked = Case { base: "t/sub = file", ..case };
    blocked.fails("d /t", "cannot copy to non-directory: `/t/sub`");
    let blocked = Case { base: "t/file/x = 1", ..blocked };
    blocked.fails("d /t", "cannot replace to directory `/t/file` with file");
    blocked.fails("d/file /t/", "cannot replace to directory `/t/file` with file");
    let linked = Case { base: "real/\nt/sub -> ../real", ..blocked };
    linked.fails("d /t", "cannot copy to non-directory: `/t/sub`");
}

#[test]
fn owners_and_modes() {
    let layer = Case {
        source: "d/ 0700 7:8\nd/x = x 0640 7:8\nd/run = r 04755 7:8\nl -> d/x",
        context: false,
        base: "etc/passwd = app:x:1000:1001::/:",
        ..Case::default()
    };
    layer.gives("d /new", "new/\nnew/run = r 4755 7:8\nnew/x = x 0640 7:8");
    layer.gives("d/x /y", "y = x 0640 7:8");
    layer.gives("--chown=app d /new", "new/ 1000:1001\nnew/run = r 4755 1000:1001\nnew/x = x 0640 1000:1001");
    layer.gives("--chown=5 d/x /new/", "new/ 5:5 now\nnew/x = x 0640 5:5");
    layer.gives("--chown=nobody:9 d/x /y", "y = x 0640 0:9");
    layer.gives("--chmod=600 d /new", "new/ 0600\nnew/run = r 0600 7:8\nnew/x = x 0600 7:8");
    layer.gives("--chmod=go=u d /new", "new/\nnew/run = r 4777 7:8\nnew/x = x 0666 7:8");
    layer.gives(
        "--chmod=755 . /all",
        "all/\nall/d/ 7:8\nall/d/run = r 0755 7:8\nall/d/x = x 0755 7:8\nall/l -> d/x",
    );
    layer.fails("--chmod=rwx d /new", "`--chmod=rwx`");
    layer.fails("--link --chown=app d /new", "needs numbers");
    let context = Case { context: true, ..layer };
    context.gives("d /new", "new/\nnew/run = r 4755\nnew/x = x 0640");
}

#[test]
fn links_pipes_and_second_names() {
    let case = Case {
        source: "d/a = 1\nd/b => d/a\nd/c => d/a\nd/l -> a\nd/out -> /etc/passwd\nd/pipe fifo\ntop -> d\ntofile -> d/a\nlone -> nowhere",
        ..Case::default()
    };
    let copied = "n/a = 1 x3\nn/b = 1 x3\nn/c = 1 x3\nn/l -> a\nn/out -> /etc/passwd";
    let desk = Desk::new();
    let (done, upper) = case.run(&desk, "d /n");
    assert_eq!(done.unwrap().files, 3);
    let shown = show_layer(&upper);
    assert_eq!(shown[1..6], lines(copied)[..]);
    assert!(shown[6].starts_with("n/pipe fifo"));
    case.gives("top/l /n", "n = 1");
    case.gives("tofile /n/", "n/ now\nn/tofile = 1");
    case.gives("d/b d/a /n/", "n/ now\nn/a = 1\nn/b = 1");
    case.fails("lone /n", "not found");
    case.fails("d/out /n", "not found");
}

#[test]
fn wildcards() {
    let case = Case {
        source: "a.txt = a\nb.txt = b\n.hid.txt = h\nc.md = c\nx1/f.txt = 1\nx2/f.txt = 2\nx2/deep/g.txt = g\nl -> x1\n[q] = q",
        ..Case::default()
    };
    case.gives("*.txt /n/", "n/ now\nn/.hid.txt = h\nn/a.txt = a\nn/b.txt = b");
    case.gives("?.md /n/", "n/ now\nn/c.md = c");
    case.gives("[ab].txt /n/", "n/ now\nn/a.txt = a\nn/b.txt = b");
    case.gives("*/f.txt /n/", "n/ now\nn/f.txt = 2");
    case.gives("x* /n/", "n/\nn/deep/\nn/deep/g.txt = g\nn/f.txt = 2");
    case.gives("[[]q] /n/", "n/ now\nn/[q] = q");
    case.gives("l/*.txt /n/", "n/ now\nn/f.txt = 1");
    case.gives("*.none /n/", "");
    case.gives("none/* /n/", "");
    case.gives("*.none c.md /n/", "n/ now\nn/c.md = c");
    case.fails("[a /n/", "the pattern `[a`");
}

#[test]
fn ignored_and_excluded() {
    let case = Case {
        source: "a.go = a\nb.txt = b\nkeep/x = x\nmods/big/f = f\nmods/wanted/f = w\nd/.git/c = c\nd/s.txt = s",
        ignore: "mods\n!mods/wanted\n*.txt\n**/.git",
        ..Case::default()
    };
    case.gives(". /n", "n/\nn/a.go = a\nn/d/\nn/d/s.txt = s\nn/keep/\nn/keep/x = x\nn/mods/\nn/mods/wanted/\nn/mods/wanted/f = w");
    case.gives("mods /n", "n/\nn/wanted/\nn/wanted/f = w");
    case.gives("* /n/", "n/\nn/a.go = a\nn/s.txt = s\nn/wanted/\nn/wanted/f = w\nn/x = x");
    case.gives(
        "--exclude=*.go --exclude=keep . /n",
        "n/\nn/d/\nn/d/s.txt = s\nn/mods/\nn/mods/wanted/\nn/mods/wanted/f = w",
    );
    case.gives("--exclude=s* d /n", "n/");
    case.gives("--exclude=**/f --exclude=!wanted/f mods /n", "n/\nn/wanted/\nn/wanted/f = w");
    case.gives("--exclude=*.go *.go /n/", "");
    case.fails("b.txt /n", "line 3 of the ignore file leaves it out");
    case.fails("mods/big /n", "line 1 of the ignore file leaves it out");
    case.fails("--exclude=[ . /n", "`--exclude=[`");
}

#[test]
fn parents() {
    let case = Case {
        source: "a/ 0711\na/b/ 0700\na/b/x.go = x\na/b/y.txt = y\na/c/z.go = z\ntop.go = t\na/b/d/deep.go = d",
        base: "n/a/ 0755 9:9",
        ..Case::default()
    };
    case.gives("--parents a/b/x.go /m/", "m/ now\nm/a/ 0711\nm/a/b/ 0700\nm/a/b/x.go = x");
    case.gives("--parents a/b/x.go /n/", "n/\nn/a/ 9:9\nn/a/b/ 0700\nn/a/b/x.go = x");
    case.gives("--parents a/./b/x.go /m/", "m/ now\nm/b/ 0700\nm/b/x.go = x");
    case.gives("--parents a/./*/*.go /m/", "m/ now\nm/b/ 0700\nm/b/x.go = x\nm/c/\nm/c/z.go = z");
    case.gives(
        "--parents **/*.go /m/",
        "m/ now\nm/a/ 0711\nm/a/b/ 0700\nm/a/b/d/\nm/a/b/d/deep.go = d\nm/a/b/x.go = x\nm/a/c/\nm/a/c/z.go = z\nm/top.go = t",
    );
    case.gives("--parents a/b/d /m/", "m/ now\nm/a/ 0711\nm/a/b/ 0700\nm/a/b/d/\nm/a/b/d/deep.go = d");
    case.gives(
        "--parents --exclude=**/deep.go a/b /m/",
        "m/ now\nm/a/ 0711\nm/a/b/ 0700\nm/a/b/d/\nm/a/b/x.go = x\nm/a/b/y.txt = y",
    );
    case.gives("--parents no/*.go /m/", "m/ now");
    case.fails("--parents a/b/none.go /m/", "`a/b/none.go` not found");
    case.fails("--parents none/./x /m/", "`none/./x` not found");
}

#[test]
fn link_reads_nothing_of_the_base() {
    let case = Case { source: "f = f", base: "app -> /elsewhere\nd/ 0700 5:5", ..Case::default() };
    case.gives("--link f /app/f", "app/ now\napp/f = f");
    case.gives("--link f /d/", "d/ now\nd/f = f");
    case.gives("--link --chown=5:6 f /d/", "d/ 5:6 now\nd/f = f 5:6");
    // --chmod takes --link back.
    case.gives("--link --chmod=600 f /d/", "d/ 0700 5:5\nd/f = f 0600");
}

#[test]
fn sharing_makes_no_new_second_names() {
    let desk = Desk::new();
    let case = Case { source: "a = 1\nb = 2", context: false, share: true, ..Case::default() };
    let (done, upper) = case.run(&desk, "a b a /n/");
    assert_eq!(done.unwrap().files, 3);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let source = desk.dir.path().join("source");
    assert_eq!(inode(&upper.join("n/b")), inode(&source.join("b")));
    let twice = Case { source: "a = 1", context: false, share: true, ..Case::default() };
    let desk = Desk::new();
    let (done, upper) = twice.run(&desk, "a /one/");
    done.unwrap();
    assert_eq!(inode(&upper.join("one/a")), inode(&desk.dir.path().join("source/a")));
    // Two places of one instruction are two files.
    let desk = Desk::new();
    let case = Case { source: "d/a = 1\nl -> d/a", context: false, share: true, ..Case::default() };
    let (done, upper) = case.run(&desk, "d/a l /n/");
    done.unwrap();
    assert_ne!(inode(&upper.join("n/a")), inode(&upper.join("n/l")));
    // What changes is copied.
    let desk = Desk::new();
    let case = Case { source: "a = 1", context: false, share: true, ..Case::default() };
    let (done, upper) = case.run(&desk, "--chown=5 a /n/");
    done.unwrap();
    assert_ne!(inode(&upper.join("n/a")), inode(&desk.dir.path().join("source/a")));
}

#[test]
fn here_documents() {
    let desk = Desk::new();
    let base = desk.stack(&["etc/ 0700\nd/x/y = 1"]);
    let upper = desk.tree("upper", "");
    let options = Options::new(NOW);
    let item = |name: &'static str| [Item::Inline { name, data: "hello\n" }];
    copy(&upper, &base, &item("EOF"), "/etc/", &options).unwrap();
    copy(&upper, &base, &item("EOF"), "/etc/conf", &options).unwrap();
    let script = Options {
        mode: Some(ModeChange::parse("+x").unwrap()),
        owner: Some(Owner { uid: 5, gid: 6 }),
        ..options
    };
    copy(&upper, &base, &item("run"), "/bin/run", &script).unwrap();
    let expected = [
        "bin/ 5:6 now",
        "bin/run = hello\n 0755 5:6 now",
        "etc/ 0700",
        "etc/EOF = hello\n now",
        "etc/conf = hello\n now",
    ];
    assert_eq!(show_layer(&upper), expected);
    let error = copy(&upper, &base, &item("x"), "/d/", &script).unwrap_err();
    assert!(matches!(error, TreeError::FileOverDirectory { .. }), "{error}");
}

#[test]
fn the_view_is_that_of_overlayfs() {
    let desk = Desk::new();
    let base = desk.stack(&["d/a = 1\nd/b = 1", "d/c = 0\ne = 0"]);
    let (upper, source) = (desk.tree("upper", ""), desk.tree("source", "a = 2\nnew = 2"));
    let stack = LayerStack::plain(&source).unwrap();
    let source = Source { stack: &stack, ignore: None, owner: Some(Owner::default()) };
    let item = [Item::Path { source, pattern: "/", unpack: false }];
    copy(&upper, &base, &item, "/d", &Options::new(NOW)).unwrap();
    let view = base.with_top(&upper).unwrap();
    assert_eq!(show(&view), lines("d/\nd/a = 2\nd/b = 1\nd/c = 0\nd/new = 2\ne = 0"));
}

#[test]
fn many_files_in_many_threads() {
    let desk = Desk::new();
    let source = desk.tree("source", "");
    for directory in 0..20 {
        let path = source.join(format!("d{directory}"));
        fs::create_dir(&path).unwrap();
        for file in 0..150 {
            fs::write(path.join(format!("f{file}")), format!("{directory} {file}")).unwrap();
        }
    }
    fs::write(source.join("large"), vec![7; 3 << 20]).unwrap();
    let stack = LayerStack::plain(&source).unwrap();
    for threads in [1, 4] {
        let upper = desk.tree(&format!("upper-{threads}"), "");
        let source = Source { stack: &stack, ignore: None, owner: None };
        let item = [Item::Path { source, pattern: "/", unpack: false }];
        let options = Options { threads, ..Options::new(NOW) };
        let stats = copy(&upper, &LayerStack::empty(), &item, "/", &options).unwrap();
        assert_eq!(stats.files, 3001);
        assert_eq!(fs::read_to_string(upper.join("d7/f99")).unwrap(), "7 99");
        assert_eq!(fs::read(upper.join("large")).unwrap(), vec![7; 3 << 20]);
        let time = |path: &Path| fs::metadata(path).unwrap().mtime();
        assert_eq!(time(&upper.join("d7")), time(&desk.dir.path().join("source/d7")));
    }
}

#[test]
fn a_full_disk_or_an_unreadable_file_ends_all_threads() {
    let desk = Desk::new();
    let source = desk.tree("source", "");
    for file in 0..500 {
        fs::write(source.join(format!("f{file:03}")), "x").unwrap();
    }
    let upper = desk.tree("upper", "");
    // In the way of one of the threads.
    let stack = LayerStack::plain(&source).unwrap();
    let source_item = Source { stack: &stack, ignore: None, owner: None };
    let item = [Item::Path { source: source_item, pattern: "/", unpack: false }];
    fs::create_dir_all(upper.join("f250/x")).unwrap();
    let options = Options { threads: 4, ..Options::new(NOW) };
    let error = copy(&upper, &LayerStack::empty(), &item, "/", &options).unwrap_err();
    assert!(error.to_string().contains("f250"), "{error}");
}

/// Packs bytes with a program of the system, as a user would.
fn packed(program: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    Some(child.wait_with_output().unwrap().stdout)
}

#[test]
fn archives_are_unpacked_by_content() {
    let desk = Desk::new();
    let inside = desk.tree("inside", "a/ 0700 3:4\na/f = f 0600 3:4\nold = new\n.wh.x = kept");
    let plain = {
        let mut writer = slipway_oci::archive::Writer::new(Vec::new());
        for (path, text, mode, owner) in [
            ("a", None, 0o700, 3),
            ("a/f", Some("f"), 0o600, 3),
            ("old", Some("new"), 0o644, 0),
            (".wh.x", Some("kept"), 0o644, 0),
        ] {
            use slipway_oci::archive::{Entry, Kind};
            let kind = text.map_or(Kind::Directory, |text: &str| Kind::File { size: text.len() as u64 });
            let mut entry = Entry { uid: owner, gid: owner, ..Entry::new(path, kind, mode) };
            entry.mtime.seconds = 1_000_000;
            writer.append_file(&entry, &mut text.unwrap_or_default().as_bytes()).unwrap();
        }
        writer.finish().unwrap()
    };
    drop(inside);
    let mut forms = vec![("tar", plain.clone())];
    for program in ["gzip", "bzip2", "xz", "zstd"] {
        forms.extend(packed(program, &plain).map(|bytes| (program, bytes)));
    }
    assert!(forms.len() > 2, "no packing programs here");
    for (program, bytes) in forms {
        let desk = Desk::new();
        let source = desk.tree("source", "");
        fs::write(source.join("any.name"), bytes).unwrap();
        let stack = LayerStack::plain(&source).unwrap();
        let base = desk.stack(&["srv/old = old\nsrv/kept = k"]);
        let item = |unpack| {
            let source = Source { stack: &stack, ignore: None, owner: Some(Owner::default()) };
            [Item::Path { source, pattern: "any.name", unpack }]
        };
        let upper = desk.tree("upper", "");
        copy(&upper, &base, &item(true), "/srv", &Options::new(NOW)).unwrap();
        let expected = "srv/\nsrv/.wh.x = kept\nsrv/a/ 0700 3:3\nsrv/a/f = f 0600 3:3\nsrv/old = new";
        assert_eq!(show_layer(&upper), lines(expected), "{program}");
        let upper = desk.tree("upper2", "");
        let owned = Options { owner: Some(Owner { uid: 9, gid: 9 }), ..Options::new(NOW) };
        copy(&upper, &base, &item(true), "/new", &owned).unwrap();
        let expected =
            "new/ 9:9 now\nnew/.wh.x = kept 9:9\nnew/a/ 0700 9:9\nnew/a/f = f 0600 9:9\nnew/old = new 9:9";
        assert_eq!(show_layer(&upper), lines(expected), "{program}");
        let upper = desk.tree("upper3", "");
        copy(&upper, &base, &item(false), "/srv/", &Options::new(NOW)).unwrap();
        assert!(upper.join("srv/any.name").is_file(), "{program}: COPY never unpacks");
    }
}

#[test]
fn what_is_no_archive_is_copied() {
    let gzip_of_text = packed("gzip", b"no archive").unwrap_or_default();
    for bytes in [&b""[..], b"text", b"\x1f\x8b\x08 broken", b"BZh9 broken", &[0; 4096], &gzip_of_text] {
        let desk = Desk::new();
        let source = desk.tree("source", "");
        fs::write(source.join("x.tar"), bytes).unwrap();
        let stack = LayerStack::plain(&source).unwrap();
        let source = Source { stack: &stack, ignore: None, owner: None };
        let upper = desk.tree("upper", "");
        let item = [Item::Path { source, pattern: "x.tar", unpack: true }];
        copy(&upper, &LayerStack::empty(), &item, "/srv/", &Options::new(NOW)).unwrap();
        assert_eq!(fs::read(upper.join("srv/x.tar")).unwrap(), bytes);
    }
}

#[test]
fn a_source_that_is_swapped_meanwhile_gives_nothing_from_outside() {
    let desk = Desk::new();
    let outside = desk.tree("outside", "secret = SECRET");
    let source = desk.tree("source", "d/x = 1\nd/secret = inner");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(source.join("d"), source.join("e"));
                let _ = std::os::unix::fs::symlink(&outside, source.join("d"));
                let _ = fs::remove_file(source.join("d"));
                let _ = fs::rename(source.join("e"), source.join("d"));
            }
        });
        let _stop = crate::tree::testing::Stop(&stop);
        let stack = LayerStack::plain(&source).unwrap();
        // Four copies each: ten thousand chances.
        for _ in 0..2500 {
            let upper = tempfile::tempdir().unwrap();
            let source = Source { stack: &stack, ignore: None, owner: None };
            for pattern in ["/", "d", "d/secret", "d/s*"] {
                let item = [Item::Path { source, pattern, unpack: false }];
                let _ = copy(
                    upper.path(),
                    &LayerStack::empty(),
                    &item,
                    "/n/",
                    &Options { threads: 1, ..Options::new(NOW) },
                );
            }
            for path in ["n/secret", "n/d/secret"] {
                let text = fs::read_to_string(upper.path().join(path)).unwrap_or_default();
                assert!(text != "SECRET" || upper.path().join("n/d").is_symlink(), "{path}");
            }
        }
    });
}
