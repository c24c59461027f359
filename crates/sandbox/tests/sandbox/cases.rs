//! What every way has to do, mostly as data: how the place is arranged, a script, what it has to say and to leave.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use slipway_sandbox::{
    Exit, Sandbox, Way,
    spec::{MountSource, Network, User},
};

use crate::bed::{Bed, Outcome};

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Prepares the place beyond the usual.
    pub(crate) arrange: fn(&mut Bed),
    /// What a shell runs.
    pub(crate) script: &'static str,
    pub(crate) exit: Exit,
    /// The whole of stdout.
    pub(crate) stdout: &'static str,
    /// What lies in `upper` afterwards, as [`Bed::upper`] lists it; `etc/` is left out, which a mount point may bring.
    pub(crate) upper: &'static [&'static str],
    /// What else has to hold.
    pub(crate) check: fn(&Bed, &Outcome) -> Result<(), String>,
    pub(crate) needs: Needs,
}

/// What a case asks of a way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A root that is not the container's own.
    Inside,
    /// A /proc.
    Proc,
    /// What only mounts and namespaces give.
    Overlay,
}

impl Needs {
    pub(crate) fn met_by(self, way: Way) -> bool {
        match way {
            Way::Granted | Way::Nested => true,
            Way::Container => matches!(self, Self::Nothing | Self::Proc),
            Way::Root => matches!(self, Self::Nothing | Self::Inside),
        }
    }
}

const USUAL: Case = Case {
    name: "",
    arrange: |_| {},
    script: "",
    exit: Exit::Code(0),
    stdout: "",
    upper: &[],
    check: |_, _| Ok(()),
    needs: Needs::Nothing,
};

impl Case {
    /// Runs it and says what is wrong.
    pub(crate) fn run(&self, bed: &mut Bed, sandbox: &dyn Sandbox) -> Result<(), String> {
        (self.arrange)(bed);
        let outcome = if bed.spec.args.is_empty() { bed.sh(sandbox, self.script) } else { bed.run(sandbox) };
        match &outcome.result {
            Err(error) => return Err(format!("error: {error}; stderr {:?}", outcome.stderr)),
            Ok(finished) if finished.exit != self.exit => {
                return Err(format!(
                    "expected {:?}, got {:?}; stdout {:?}, stderr {:?}",
                    self.exit, finished.exit, outcome.stdout, outcome.stderr
                ));
            }
            Ok(_) => {}
        }
        if outcome.stdout != self.stdout {
            return Err(format!(
                "expected {:?}, got {:?}; stderr {:?}",
                self.stdout, outcome.stdout, outcome.stderr
            ));
        }
        let upper: Vec<_> = bed.upper().into_iter().filter(|path| path != "etc/").collect();
        if self.upper != ANYTHING && upper != self.upper {
            return Err(format!("expected in upper {:?}, found {upper:?}", self.upper));
        }
        let left: Vec<_> = fs::read_dir(&bed.spec.work).unwrap().collect();
        if !left.is_empty() {
            return Err(format!("the work directory is not empty: {left:?}"));
        }
        (self.check)(bed, &outcome)
    }
}

fn app() -> User {
    User { uid: 1234, gid: 1235, groups: vec![5, 44], home: "/home/app".into() }
}

fn bind(bed: &mut Bed, name: &str, target: &str, readonly: bool) {
    let path = bed.tree(name, &[("file", "content\n"), ("deep/file", "deeper\n")]);
    bed.mount(target, MountSource::Bind { path, readonly });
}

fn secret(content: &str) -> MountSource {
    MountSource::File { content: content.into(), uid: 1234, gid: 1235, mode: 0o440, executable: false }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

pub(crate) const ALL: &[Case] = &[
    Case { name: "success", script: "true", ..USUAL },
    Case { name: "exit code", script: "exit 42", exit: Exit::Code(42), ..USUAL },
    Case { name: "exit code of 255", script: "exit 255", exit: Exit::Code(255), ..USUAL },
    Case { name: "signal", script: "kill -TERM $$", exit: Exit::Signal(15), ..USUAL },
    Case { name: "kill without want of memory", script: "kill -KILL $$", exit: Exit::Signal(9), ..USUAL },
    Case {
        name: "streams",
        script: "echo out; echo err >&2",
        stdout: "out\n",
        check: |_, outcome| ensure(outcome.stderr == "err\n", || format!("stderr {:?}", outcome.stderr)),
        ..USUAL
    },
    Case {
        name: "much output",
        script: "head -c 10000000 /dev/zero | tr '\\0' x >&2; echo done",
        stdout: "done\n",
        check: |_, outcome| {
            ensure(outcome.stderr.len() == 10_000_000, || format!("{} bytes", outcome.stderr.len()))
        },
        ..USUAL
    },
    Case { name: "no input", script: "wc -c", stdout: "0\n", ..USUAL },
    Case {
        name: "no file descriptor but the first three",
        script: "for n in 3 4 5 6 7 8 9; do (eval \": >&$n\") 2>/dev/null && echo $n; done; true",
        ..USUAL
    },
    Case {
        name: "open files",
        script: "for n in $(seq 0 99); do [ -e /proc/self/fd/$n ] && echo $n; done; true",
        needs: Needs::Proc,
        stdout: "0\n1\n2\n",
        ..USUAL
    },
    Case {
        name: "usage",
        script: "head -c 300000000 /dev/zero >/dev/null",
        check: |_, outcome| {
            let usage = outcome.result.as_ref().unwrap().usage;
            ensure((usage.user + usage.system).as_micros() > 0 && usage.max_rss > 100_000, || {
                format!("{usage:?}")
            })
        },
        ..USUAL
    },
    Case {
        name: "program not found",
        arrange: |bed| bed.spec.args = vec!["nothing-like-it".into()],
        exit: Exit::Code(127),
        check: |_, outcome| {
            ensure(outcome.stderr.contains("\"nothing-like-it\": not found in PATH (/usr/bin:/bin)"), || {
                outcome.stderr.clone()
            })
        },
        ..USUAL
    },
    Case {
        name: "program not executable",
        arrange: |bed| bed.spec.args = vec!["/etc/passwd".into()],
        exit: Exit::Code(126),
        check: |_, outcome| ensure(outcome.stderr.contains("permission denied"), || outcome.stderr.clone()),
        ..USUAL
    },
    Case {
        name: "interpreter missing",
        arrange: |bed| {
            let script = bed.spec.lowers[0].join("bin/odd");
            fs::write(&script, "#!/no/such/thing\n").unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            bed.spec.args = vec!["odd".into()];
        },
        exit: Exit::Code(126),
        check: |_, outcome| ensure(outcome.stderr.contains("interpreter"), || outcome.stderr.clone()),
        ..USUAL
    },
    Case {
        name: "environment",
        arrange: |bed| bed.spec.env.push("GREETING=hello there".into()),
        script: "env | grep -v -e ^SHLVL= -e ^PWD= | sort",
        stdout: "GREETING=hello there\nHOME=/root\nPATH=/usr/bin:/bin\n",
        ..USUAL
    },
    Case {
        name: "home that was set stays",
        arrange: |bed| bed.spec.env.push("HOME=/elsewhere".into()),
        script: "echo $HOME",
        stdout: "/elsewhere\n",
        ..USUAL
    },
    Case {
        name: "changes are in upper",
        arrange: |bed| {
            let lower = bed.tree("lower", &[("gone", ""), ("dir/old", ""), ("kept/a", ""), ("kept/b", "")]);
            bed.spec.lowers = vec![lower];
        },
        script: "rm /gone; rm -r /dir; mkdir /dir; touch /dir/new; echo x >>/kept/a; mkdir -p /made/deep",
        upper: &["dir/", "dir/new", "gone!", "kept/", "kept/a", "made/", "made/deep/"],
        check: |bed, _| {
            let mut value = [0; 4];
            let opaque = rustix::fs::lgetxattr(bed.spec.upper.join("dir"), "user.overlay.opaque", &mut value);
            ensure(opaque == Ok(1) && value[0] == b'y', || format!("opaque: {opaque:?}"))
        },
        ..USUAL
    },
    Case {
        name: "hard links in upper",
        script: "echo y >/one; ln /one /two; ln /one /three",
        upper: &["one", "three", "two"],
        check: |bed, _| {
            let inode = |name: &str| fs::metadata(bed.spec.upper.join(name)).unwrap().ino();
            ensure(inode("one") == inode("two") && inode("two") == inode("three"), || "three files".into())
        },
        ..USUAL
    },
    Case {
        name: "moved and replaced directories in upper",
        arrange: |bed| {
            bed.tree(
                "lower",
                &[("here/a", "1"), ("here/sub/b", "2"), ("old/c", "3"), ("file", "4"), ("dir/d", "5")],
            );
        },
        script: "cp -a /here /there; rm -r /here; rm -r /old; echo 6 >/old; rm /file; mkdir /file; touch /file/x; ls /there/sub",
        stdout: "b\n",
        upper: &["file/", "file/x", "here!", "old", "there/", "there/a", "there/sub/", "there/sub/b"],
        ..USUAL
    },
    Case {
        name: "metadata alone in upper",
        arrange: |bed| {
            bed.tree("lower", &[("dir/a", "1"), ("dir/b", "2"), ("other/c", "3")]);
        },
        script: "chmod 700 /dir; chown 5 /other/c; touch -d @1000000000 /dir/b",
        upper: &["dir/", "dir/b", "other/", "other/c"],
        check: |bed, _| {
            let found = [
                Bed::seen_inside(&bed.spec.upper.join("dir")),
                Bed::seen_inside(&bed.spec.upper.join("other/c")),
            ];
            ensure(found[0].2 == 0o700 && found[1].0 == 5, || format!("{found:?}"))?;
            let time = fs::metadata(bed.spec.upper.join("dir/b")).unwrap().mtime();
            ensure(time == 1_000_000_000, || format!("mtime {time}"))
        },
        ..USUAL
    },
    Case {
        name: "a change that keeps size and time",
        arrange: |bed| {
            bed.tree("lower", &[("f", "old")]);
        },
        script: "touch -r /f /stamp; echo -n new >/f; touch -r /stamp /f; rm /stamp",
        upper: &["f"],
        check: |bed, _| {
            let text = fs::read_to_string(bed.spec.upper.join("f")).unwrap();
            ensure(text == "new", || text)
        },
        ..USUAL
    },
    Case {
        name: "links, pipes and odd names in upper",
        script: "ln -s /nowhere /link; mkfifo /pipe; touch \"/a b\" '/-x' /ü; mkdir /empty",
        upper: &["-x", "a b", "empty/", "link", "pipe", "ü"],
        check: |bed, _| {
            let link = fs::read_link(bed.spec.upper.join("link")).unwrap();
            ensure(link.to_str() == Some("/nowhere"), || link.display().to_string())
        },
        ..USUAL
    },
    Case {
        name: "ownership in upper",
        script: "touch /f; chown 1234:99 /f; chmod 4711 /f",
        upper: &["f"],
        check: |bed, _| {
            let found = Bed::seen_inside(&bed.spec.upper.join("f"));
            ensure(found == (1234, 99, 0o4711), || format!("{found:?}"))
        },
        ..USUAL
    },
    Case {
        name: "layers hide each other, topmost first",
        arrange: |bed| {
            for index in (0..200).rev() {
                let text = format!("{index}");
                let layer =
                    bed.tree(&format!("layer-{index}"), &[("which", &text), (&format!("f{index}"), &text)]);
                bed.spec.lowers.insert(0, layer);
            }
        },
        script: "cat /which /f0 /f199; rm /f7",
        stdout: "00199",
        upper: &["f7!"],
        ..USUAL
    },
    Case {
        name: "no layers",
        arrange: |bed| {
            let lower = bed.spec.lowers.remove(0);
            fs::remove_dir(&bed.spec.upper).unwrap();
            bed.spec.upper = lower;
        },
        script: "echo here >/made; rm /etc/passwd; basename /x/cat",
        stdout: "cat\n",
        check: |bed, _| {
            let found = ["proc", "dev", "sys", "etc/hosts", "etc/passwd"]
                .map(|path| bed.spec.upper.join(path).exists());
            ensure(found == [false; 5], || format!("{found:?}"))?;
            ensure(bed.spec.upper.join("made").exists(), || "no `made`".into())
        },
        upper: ANYTHING,
        ..USUAL
    },
    Case {
        name: "user and groups",
        arrange: |bed| {
            bed.spec.user = app();
            bed.spec.cwd = "/home/app".into();
        },
        script: "id -u; id -g; id -G; echo $HOME; touch /etc/x || echo no",
        stdout: "1234\n1235\n1235 5 44\n/home/app\nno\n",
        ..USUAL
    },
    Case {
        name: "an ordinary user has no capability, and its output is its own",
        arrange: |bed| bed.spec.user = app(),
        script: "grep CapEff /proc/self/status; echo again >/dev/stdout",
        stdout: "CapEff:\t0000000000000000\nagain\n",
        needs: Needs::Proc,
        ..USUAL
    },
    Case {
        name: "working directory is made for the user",
        arrange: |bed| {
            bed.spec.user = app();
            bed.spec.cwd = "/srv/app/x".into();
        },
        script: "pwd; touch mine",
        stdout: "/srv/app/x\n",
        upper: &["srv/", "srv/app/", "srv/app/x/", "srv/app/x/mine"],
        check: |bed, _| {
            for path in ["srv", "srv/app/x"] {
                let found = Bed::seen_inside(&bed.spec.upper.join(path));
                ensure(found == (1234, 1235, 0o755), || format!("{path}: {found:?}"))?;
            }
            Ok(())
        },
        ..USUAL
    },
    Case {
        name: "working directory through a symlink stays inside",
        arrange: |bed| {
            let outside = bed.tree("outside", &[]);
            symlink(&outside, bed.spec.lowers[0].join("way")).unwrap();
            bed.spec.cwd = "/way/here".into();
        },
        script: "touch x; pwd | grep -c outside/here",
        stdout: "1\n",
        check: |bed, _| {
            let count = fs::read_dir(bed.base.join("outside")).unwrap().count();
            ensure(count == 0, || "something was made outside".into())?;
            fs::remove_dir_all(bed.spec.upper.join(bed.base.strip_prefix("/").unwrap()))
                .map_err(|e| e.to_string())
        },
        upper: ANYTHING,
        needs: Needs::Inside,
        ..USUAL
    },
    Case {
        name: "mounts and namespaces are refused",
        script: "for c in 'mount -t tmpfs x /tmp' 'mount -o bind /etc /tmp' 'mount -o remount,rw /sys' 'umount /proc' \
                 'umount /etc/hosts' 'unshare -U true' 'unshare -m true' 'unshare -n true' 'hostname x' \
                 'mount -t proc p /tmp'; do $c 2>/dev/null && echo \"$c worked\"; done; true",
        ..USUAL
    },
    Case {
        name: "the machine's switches are out of reach",
        script: "for f in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness /proc/sysrq-trigger /proc/irq/0/smp_affinity \
                 /sys/kernel/mm/ksm/run; do [ -e $f ] && (echo 1 >$f) 2>/dev/null && echo \"wrote $f\"; done; \
                 head -c1 /proc/kcore; head -c1 /proc/keys; ls /sys/firmware; true",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "devices cannot be reached by making them",
        // Any device serves to tell, and a harmless one exists everywhere.
        script: "touch /tmp/x; rm /tmp/x; for d in /tmp /dev /dev/shm; do \
                 mknod $d/made c 1 5 2>/dev/null && head -c1 $d/made >/dev/null 2>&1 && echo opened $d/made; rm -f $d/made; done; \
                 head -c1 /dev/zero | wc -c",
        stdout: "1\n",
        upper: &["tmp/"],
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "the usual devices work",
        script: "echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; echo err >/dev/stderr; \
                 cat /dev/fd/0; ls -d /dev/pts/ptmx /dev/shm /dev/mqueue; (echo x >/dev/full) 2>/dev/null || echo full",
        stdout: "3\n5\n/dev/mqueue\n/dev/pts/ptmx\n/dev/shm\nfull\n",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "the program that runs us is out of reach",
        script: "for p in /proc/[0-9]*; do t=$(readlink $p/exe 2>/dev/null); case $t in */bin/busybox|'') ;; *) echo $p $t;; esac; \
                 case $t in '') (: >>$p/exe) 2>/dev/null && echo wrote $p; head -c1 $p/exe 2>/dev/null;; esac; \
                 cat $p/environ >/dev/null 2>&1 && [ -z \"$t\" ] && [ -d $p/task ] && echo environ $p; done; true",
        needs: Needs::Proc,
        ..USUAL
    },
    Case {
        name: "own namespaces",
        script: "hostname; [ $$ -lt 10 ] && echo low; for n in mnt pid ipc uts cgroup; do readlink /proc/self/ns/$n; done >&2",
        stdout: "buildsandbox\nlow\n",
        check: |_, outcome| {
            for line in outcome.stderr.lines() {
                let kind = line.split(':').next().unwrap();
                let ours = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
                ensure(ours.to_str() != Some(line), || format!("{line} is ours"))?;
            }
            ensure(outcome.stderr.lines().count() == 5, || outcome.stderr.clone())
        },
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "processes in the background end with the command",
        script: "sleep 98761 & setsid sleep 98762 & (setsid sh -c 'while :; do sleep 98763; done' &) ; exit 3",
        exit: Exit::Code(3),
        check: |_, _| {
            for number in ["98761", "98762", "98763"] {
                ensure(!crate::bed::runs(number), || format!("`sleep {number}` still runs"))?;
            }
            Ok(())
        },
        ..USUAL
    },
    Case {
        name: "orphans are reaped",
        script: "mkdir /p; for i in 1 2 3; do (sleep 0.05 & echo $! >/p/$i); done; sleep 0.6; \
                 for i in 1 2 3; do kill -0 $(cat /p/$i) 2>/dev/null && echo zombie; done; rm -r /p",
        needs: Needs::Proc,
        ..USUAL
    },
    Case {
        name: "hosts and resolv.conf",
        script: "cat /etc/hosts /etc/resolv.conf",
        stdout: "127.0.0.1 localhost the-hosts-file\nnameserver 192.0.2.1\n",
        ..USUAL
    },
    Case {
        name: "hosts of the image come back",
        arrange: |bed| fs::write(bed.spec.lowers[0].join("etc/hosts"), "of the image").unwrap(),
        script: "cat /etc/hosts; (echo x >/etc/hosts) 2>/dev/null; true",
        stdout: "127.0.0.1 localhost the-hosts-file\n",
        ..USUAL
    },
    Case {
        name: "resolv.conf that points nowhere",
        arrange: |bed| {
            symlink("../run/resolve/stub.conf", bed.spec.lowers[0].join("etc/resolv.conf")).unwrap();
        },
        script: "cat /etc/resolv.conf; ls /run",
        stdout: "nameserver 192.0.2.1\nresolve\n",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "limits",
        arrange: |bed| bed.spec.ulimits = vec![("nofile".into(), 64, 128), ("core".into(), 0, 0)],
        script: "ulimit -Sn; ulimit -Hn; ulimit -c",
        stdout: "64\n128\n0\n",
        ..USUAL
    },
    Case {
        name: "shared memory of the usual size",
        script: "df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2",
        stdout: "65536\n",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "shared memory of a size",
        arrange: |bed| bed.spec.shm_size = Some(1 << 20),
        script: "df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2",
        stdout: "1024\n",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "no network",
        arrange: |bed| bed.spec.network = Network::None,
        script: "sed 1,2d /proc/self/net/dev | cut -d: -f1 | tr -d ' '; ifconfig lo 127.0.0.1 2>/dev/null; \
                 nc -w1 192.0.2.1 80 </dev/null 2>/dev/null && echo out; true",
        stdout: "lo\n",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "read-only bind",
        arrange: |bed| bind(bed, "source", "/mnt/in", true),
        script: "cat /mnt/in/file /mnt/in/deep/file; touch /mnt/in/x 2>/dev/null; rm /mnt/in/file 2>/dev/null; true",
        stdout: "content\ndeeper\n",
        check: |bed, _| {
            let source = bed.base.join("source");
            ensure(source.join("file").exists() && !source.join("x").exists(), || {
                "the source was changed".into()
            })
        },
        ..USUAL
    },
    Case {
        name: "read-only bind refuses changes",
        arrange: |bed| bind(bed, "source", "/mnt/in", true),
        script: "touch /mnt/in/x 2>/dev/null; rm /mnt/in/file 2>/dev/null; ls /mnt/in",
        stdout: "deep\nfile\n",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "read-only bind covers what is mounted below",
        arrange: |bed| bed.mount("/mnt", MountSource::Bind { path: "/dev".into(), readonly: true }),
        script: "touch /mnt/shm/slipway-was-here 2>/dev/null && echo wrote; rm /mnt/shm/slipway-was-here 2>/dev/null; \
                 (: >/mnt/null) 2>/dev/null; true",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "writable bind",
        arrange: |bed| bind(bed, "cache", "/var/cache/it", false),
        script: "echo more >>/var/cache/it/file; mkdir /var/cache/it/new",
        check: |bed, _| {
            let text = fs::read_to_string(bed.base.join("cache/file")).unwrap();
            ensure(text == "content\nmore\n" && bed.base.join("cache/new").is_dir(), || text)
        },
        ..USUAL
    },
    Case {
        name: "bind of a file",
        arrange: |bed| {
            let path = bed.tree("source", &[("file", "content\n")]).join("file");
            bed.mount("/opt/some/file", MountSource::Bind { path, readonly: true });
        },
        script: "cat /opt/some/file; (echo x >/opt/some/file) 2>/dev/null; ls /opt",
        stdout: "content\nsome\n",
        ..USUAL
    },
    Case {
        name: "what lies below a mount is not touched",
        arrange: |bed| {
            let lower = bed.tree("lower", &[("data/mine", "mine\n")]);
            bed.spec.lowers = vec![lower];
            bind(bed, "source", "/data", true);
        },
        script: "ls /data",
        stdout: "deep\nfile\n",
        ..USUAL
    },
    Case {
        name: "files left beside a mount stay, and the mount point goes",
        arrange: |bed| bind(bed, "source", "/opt/tool/in", true),
        script: "touch /opt/tool/kept",
        upper: &["opt/", "opt/tool/", "opt/tool/kept"],
        ..USUAL
    },
    Case {
        name: "times of directories around mounts",
        arrange: |bed| {
            let srv = bed.tree("lower/srv", &[("x", "")]);
            bed.spec.lowers = vec![bed.base.join("lower")];
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            fs::File::open(srv).unwrap().set_modified(then).unwrap();
            bind(bed, "source", "/srv/in", true);
            let other = bed.tree("other", &[]);
            bed.mount("/srv/other/deep", MountSource::Bind { path: other, readonly: false });
        },
        script: "stat -c %Y /srv/x >/dev/null; ls /srv",
        stdout: "in\nother\nx\n",
        upper: &["srv/"],
        check: |bed, _| {
            let time = fs::metadata(bed.spec.upper.join("srv")).unwrap().mtime();
            ensure(time == 1_000_000_000, || format!("mtime {time}"))
        },
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "a mount through a symlink stays inside",
        arrange: |bed| {
            let outside = bed.tree("outside", &[("victim", "safe")]);
            symlink(&outside, bed.spec.lowers[0].join("way")).unwrap();
            symlink("../../../../../../../../etc", bed.spec.lowers[0].join("up")).unwrap();
            bind(bed, "source", "/way/in", true);
            bind(bed, "source", "/up/in", true);
        },
        script: "cat /way/in/file /etc/in/file; ls /way",
        stdout: "content\ncontent\nin\n",
        check: |bed, _| {
            let left: Vec<_> =
                fs::read_dir(bed.base.join("outside")).unwrap().map(|e| e.unwrap().file_name()).collect();
            ensure(left == ["victim"], || format!("{left:?}"))
        },
        // Where the link led through directories of the image, these are copied up.
        upper: ANYTHING,
        needs: Needs::Inside,
        ..USUAL
    },
    Case {
        name: "a swapped mount point does not lead the cleanup astray",
        arrange: |bed| {
            bed.tree("lower/victim", &[]);
            bind(bed, "source", "/a/b/c", true);
        },
        script: "mv /a/b /a/moved 2>/dev/null; mkdir -p /a/b; rmdir /a/b 2>/dev/null; mv /a /elsewhere 2>/dev/null; \
                 ln -s /victim /a 2>/dev/null; mkdir -p /victim/b/c; ls -d /victim/b/c",
        stdout: "/victim/b/c\n",
        check: |bed, _| {
            ensure(bed.spec.upper.join("victim/b/c").is_dir(), || {
                "the cleanup removed another directory".into()
            })
        },
        upper: ANYTHING,
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "secret",
        arrange: |bed| {
            bed.spec.user = app();
            bed.mount("/run/secrets/token", secret("s3cr3t-canary"));
        },
        script: "cat /run/secrets/token | tr a-z A-Z; stat -c '%u %g %a' /run/secrets/token; \
                 cp /run/secrets/token /run/secrets/copy 2>/dev/null; true",
        stdout: "S3CR3T-CANARY1234 1235 440\n",
        check: |bed, _| {
            let found = crate::bed::holds(&bed.base, b"s3cr3t-canary");
            ensure(found.is_empty(), || format!("the secret is in {found:?}"))
        },
        ..USUAL
    },
    Case {
        name: "script",
        arrange: |bed| {
            let content = b"#!/bin/sh\necho from the script\n".to_vec();
            let source = MountSource::File { content, uid: 0, gid: 0, mode: 0o755, executable: true };
            bed.mount("/dev/pipes/script", source);
        },
        script: "/dev/pipes/script",
        stdout: "from the script\n",
        needs: Needs::Nothing,
        ..USUAL
    },
    Case {
        name: "tmpfs",
        arrange: |bed| bed.mount("/scratch", MountSource::Tmpfs { size: None }),
        script: "echo x >/scratch/file; stat -c %a /scratch; cat /scratch/file",
        stdout: "1777\nx\n",
        ..USUAL
    },
    Case {
        name: "tmpfs of a size",
        arrange: |bed| bed.mount("/scratch", MountSource::Tmpfs { size: Some(1 << 20) }),
        script: "head -c 2000000 /dev/zero >/scratch/file 2>/dev/null || echo full",
        stdout: "full\n",
        needs: Needs::Overlay,
        ..USUAL
    },
    Case {
        name: "layers as a mount",
        arrange: |bed| {
            let lowers = vec![
                bed.tree("top", &[("src/a", "top\n"), ("src/only", "1\n")]),
                bed.tree("bottom", &[("src/a", "bottom\n"), ("src/b", "2\n")]),
            ];
            symlink("/src", bed.base.join("top/link")).unwrap();
            bed.mount("/in", MountSource::Layers { lowers, path: "/link".into(), writable: false });
        },
        script: "cat /in/a /in/only /in/b; ls /in; rm /in/a 2>/dev/null; true",
        stdout: "top\n1\n2\na\nb\nonly\n",
        check: |bed, _| ensure(bed.base.join("top/src/a").exists(), || "the source was changed".into()),
        ..USUAL
    },
    Case {
        name: "a file of layers as a mount",
        arrange: |bed| {
            let lowers = vec![bed.tree("top", &[("src/a", "top\n")])];
            bed.mount("/in/file", MountSource::Layers { lowers, path: "src/a".into(), writable: false });
        },
        script: "cat /in/file",
        stdout: "top\n",
        ..USUAL
    },
    Case {
        name: "layers as a writable mount",
        arrange: |bed| {
            let lowers =
                vec![bed.tree("top", &[("src/a", "top\n")]), bed.tree("bottom", &[("src/b", "2\n")])];
            bed.mount("/in", MountSource::Layers { lowers, path: "/src".into(), writable: true });
        },
        script: "echo x >>/in/a; rm /in/b; touch /in/new; cat /in/a; ls /in",
        stdout: "top\nx\na\nnew\n",
        check: |bed, _| {
            let text = fs::read_to_string(bed.base.join("top/src/a")).unwrap();
            ensure(text == "top\n" && bed.base.join("bottom/src/b").exists(), || text)
        },
        ..USUAL
    },
    Case {
        name: "a tree with changes thrown away",
        arrange: |bed| {
            let path = bed.tree("context", &[("a", "1\n")]);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
            bed.mount("/in", MountSource::Scratch { path });
        },
        script: "echo x >>/in/a; cat /in/a; stat -c %a /in",
        stdout: "1\nx\n750\n",
        check: |bed, _| {
            let text = fs::read_to_string(bed.base.join("context/a")).unwrap();
            ensure(text == "1\n", || text)
        },
        ..USUAL
    },
    Case {
        name: "a mount within a mount",
        arrange: |bed| {
            bed.mount("/in", MountSource::Tmpfs { size: None });
            bind(bed, "source", "/in/side/it", true);
        },
        script: "cat /in/side/it/file",
        stdout: "content\n",
        ..USUAL
    },
    Case {
        name: "a socket",
        arrange: |bed| {
            let path = bed.base.join("agent");
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            std::thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = std::io::Write::write_all(&mut stream, b"hello from outside\n");
                }
            });
            bed.add_this_program();
            bed.spec.user = app();
            bed.mount("/run/agent.sock", MountSource::Socket { path, uid: 1234, gid: 1235, mode: 0o600 });
        },
        script: "stat -c '%u %g %a %F' /run/agent.sock; exec /client connect /run/agent.sock",
        stdout: "1234 1235 600 socket\nhello from outside\n",
        ..USUAL
    },
];

/// Stands for a list that is not compared.
pub(crate) const ANYTHING: &[&str] = &["*"];
