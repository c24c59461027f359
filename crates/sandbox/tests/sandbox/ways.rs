//! The ways to run commands, each brought about on this machine where that is possible.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use slipway_sandbox::{Cancel, Container, Overlay, Root, Sandbox, Way};

use crate::{
    bed::{Bed, make_kit},
    cases, special,
};

/// The capabilities that the `baseline` level of Kubernetes' Pod Security Standards lets a pod ask for, without those that
/// no build needs.
const BASELINE: &str =
    "-all,+chown,+dac_override,+fowner,+fsetid,+setuid,+setgid,+setfcap,+setpcap,+sys_chroot,+mknod,+kill";

type Brought = (&'static str, Way, fn() -> Start);

/// Every way as the suite brings it about: its word, what of the library it is, and how to start it.
const WAYS: [Brought; 6] = [
    ("granted", Way::Granted, granted),
    ("nested", Way::Nested, nested),
    ("nested-covered", Way::Nested, nested_covered),
    ("user", Way::Granted, user),
    ("root", Way::Root, nested),
    ("container", Way::Container, container),
];

/// Runs the suite for one way, or starts itself once for each. Returns the exit code.
pub(crate) fn main(args: &[String]) -> i32 {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["connect", path] => connect(path),
        ["run", way, spec] => run(way, spec),
        ["inside", way, ref rest @ ..] => suite(way, rest.first().copied()),
        ref filter => {
            let named = filter.first().filter(|first| WAYS.iter().any(|(word, ..)| word == *first));
            let filter = &filter[usize::from(named.is_some())..];
            let mut failed = false;
            for (way, _, start) in
                WAYS.into_iter().filter(|(word, ..)| named.is_none_or(|named| named == word))
            {
                match start() {
                    Ok(mut started) => {
                        started.command.args(["inside", way]).args(filter);
                        failed |= !started.command.status().unwrap().success();
                    }
                    Err(why) => println!("{way}: skipped: {why}"),
                }
            }
            i32::from(failed)
        }
    }
}

/// Returns the word for a way whose surroundings this process is in already.
pub(crate) fn word(way: Way) -> &'static str {
    WAYS.iter().find(|(_, of, _)| *of == way).map_or("granted", |(word, ..)| word)
}

fn sandbox(way: Way, scratch: &Path) -> Box<dyn Sandbox> {
    match way {
        Way::Granted => Box::new(Overlay::granted()),
        Way::Nested => Box::new(Overlay::nested()),
        Way::Container => Box::new(Container::new()),
        Way::Root => Box::new(Root::new(scratch)),
    }
}

fn way(word: &str) -> Way {
    WAYS.iter().find(|(known, ..)| *known == word).unwrap().1
}

/// Runs one specification and prints its end.
fn run(word: &str, spec: &str) -> i32 {
    let place = Path::new(spec).parent().unwrap();
    let spec = serde_json::from_slice(&fs::read(spec).unwrap()).unwrap();
    println!("{:?}", sandbox(way(word), place).run(&spec, &mut |_, _| {}, &Cancel::new()));
    0
}

/// What a command does with a socket: prints all that comes.
fn connect(path: &str) -> i32 {
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    std::io::copy(&mut stream, &mut std::io::stdout()).unwrap();
    0
}

type Start = Result<Started, String>;

/// How to start a way, and what has to stay until its end.
struct Started {
    command: Command,
    _keep: Option<tempfile::TempDir>,
}

impl From<Command> for Started {
    fn from(command: Command) -> Self {
        Self { command, _keep: None }
    }
}

fn this() -> PathBuf {
    env::current_exe().unwrap()
}

fn is_root() -> Result<(), String> {
    // Any file of ours tells who we are.
    use std::os::unix::fs::MetadataExt;
    let uid = fs::metadata("/proc/self").unwrap().uid();
    if uid == 0 { Ok(()) } else { Err("needs root".into()) }
}

fn granted() -> Start {
    is_root()?;
    Ok(Command::new(this()).into())
}

fn nested() -> Start {
    is_root()?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", BASELINE, "--inh-caps", "-all", "--"]).arg(this());
    if Command::new("setpriv").arg("--version").output().is_err() {
        return Err("`setpriv` is missing".into());
    }
    Ok(command.into())
}

/// As a container runtime has it that covers parts of /proc: the kernel then refuses a fresh one in a user namespace.
fn nested_covered() -> Start {
    let inner = nested()?.command;
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs none /proc/acpi && mount -o bind /dev/null /proc/timer_list && exec \"$@\"";
    command.args(["-m", "--", "sh", "-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    Ok(command.into())
}

/// An ordinary user with subordinate ids. Root lends them to itself for the test, in a mount namespace of its own, so that
/// the machine's files stay as they are.
fn user() -> Start {
    if is_root().is_err() {
        return Ok(Command::new(this()).into());
    }
    if !["/etc/subuid", "/etc/subgid"].iter().all(|file| Path::new(file).exists()) {
        return Err("/etc/subuid and /etc/subgid are missing".into());
    }
    for tool in ["newuidmap", "newgidmap", "setpriv", "unshare"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(format!("`{tool}` is missing"));
        }
    }
    let keep = tempfile::Builder::new().prefix("slipway-user").tempdir().unwrap();
    let place = keep.path();
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(this(), place.join("test")).unwrap();
    fs::write(place.join("ids"), "tester:200000:65536\n").unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap() + "tester:x:64321:64321::/tmp:/bin/sh\n";
    fs::write(place.join("passwd"), passwd).unwrap();
    let script = format!(
        "mount --bind {0}/passwd /etc/passwd || exit 1; \
         for f in /etc/subuid /etc/subgid; do mount --bind {0}/ids $f || exit 1; done; \
         exec setpriv --reuid 64321 --regid 64321 --clear-groups --inh-caps=-all -- {0}/test \"$@\"",
        place.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "--", "sh", "-c", &script, "sh"]);
    Ok(Started { command, _keep: Some(keep) })
}

/// A container as a runtime makes it: an overlay as `/`, its own pids, /proc, /dev and /sys, some mounts, few capabilities.
/// The program needs its libraries after its image is gone, so they are mounts; the real one is linked statically.
fn container() -> Start {
    is_root()?;
    let keep = tempfile::Builder::new().prefix("slipway-container").tempdir().unwrap();
    let place = keep.path();
    let image = place.join("image");
    for folder in
        ["bin", "proc", "dev", "sys", "etc", "volume", "usr/lib", "lib64", "image-only", "var/run/mounted"]
    {
        fs::create_dir_all(image.join(folder)).unwrap();
    }
    for folder in ["upper", "work", "root", "scratch", "lib64"] {
        fs::create_dir(place.join(folder)).unwrap();
    }
    for loader in fs::read_dir("/lib64").into_iter().flatten() {
        let loader = loader.unwrap().path();
        fs::copy(&loader, place.join("lib64").join(loader.file_name().unwrap())).unwrap();
    }
    fs::copy(this(), image.join("test")).unwrap();
    fs::copy("/bin/busybox", image.join("bin/busybox")).map_err(|_| "/bin/busybox is missing")?;
    fs::write(image.join("image-only/file"), "").unwrap();
    fs::write(image.join("etc/hosts"), "").unwrap();
    fs::write(place.join("hosts"), "of the container\n").unwrap();
    fs::write(image.join(slipway_sandbox::DISPOSABLE_MARK.trim_start_matches('/')), "").unwrap();
    let script = format!(
        "set -e; cd {}; mount -t overlay overlay -o lowerdir=image,upperdir=upper,workdir=work root; \
         mount -t proc proc root/proc; mount -t sysfs -o ro sysfs root/sys; mount -t tmpfs tmpfs root/dev; \
         for d in null zero full random urandom tty; do touch root/dev/$d; mount --bind /dev/$d root/dev/$d; done; \
         mkdir root/dev/shm root/dev/pts; ln -s /proc/self/fd/1 root/dev/stdout; ln -s /proc/self/fd/2 root/dev/stderr; mount --bind scratch root/volume; mount --bind hosts root/etc/hosts; \
         mount --bind /usr/lib root/usr/lib; mount --bind lib64 root/lib64; mount -t tmpfs tmpfs root/var/run/mounted; \
         export TMPDIR=/volume; exec setpriv --bounding-set {BASELINE} --inh-caps -all -- chroot root /test \"$@\"",
        place.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "-p", "-f", "--", "sh", "-c", &script, "sh"]);
    Ok(Started { command, _keep: Some(keep) })
}

/// Runs all cases in one way.
fn suite(word: &str, filter: Option<&str>) -> i32 {
    if word == "user" {
        slipway_sandbox::enter_user_namespace().unwrap();
    }
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        println!("{word}: skipped: /bin/busybox is missing (Debian's busybox-static)");
        return 0;
    }
    let scratch = tempfile::Builder::new().prefix("slipway-sandbox").tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let kit = scratch.path().join("kit");
    make_kit(&kit, busybox);
    let (way, mut passed, mut failed) = (way(word), 0, 0);
    let sandbox = sandbox(way, scratch.path());
    let mut report = |name: &str, result: Result<(), String>| match result {
        Ok(()) => {
            passed += 1;
            println!("{word}: {name} ... ok");
        }
        Err(why) => {
            failed += 1;
            println!("{word}: {name} ... FAILED\n    {why}");
        }
    };
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    for case in cases::ALL {
        if wanted(case.name) && case.needs.met_by(way) {
            report(case.name, case.run(&mut Bed::new(scratch.path(), &kit), &*sandbox));
        }
    }
    for (name, check) in special::ALL {
        if wanted(name) {
            report(name, check(&mut Bed::new(scratch.path(), &kit), &*sandbox, way));
        }
    }
    println!("{word}: {passed} passed, {failed} failed");
    i32::from(failed > 0 || passed == 0)
}
