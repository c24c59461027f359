//! The ways to run commands, each brought about on this machine where that is possible.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use slipway_sandbox::{Overlay, Sandbox};

use crate::{bed::Bed, cases};

/// The capabilities that the `baseline` level of Kubernetes' Pod Security Standards lets a pod ask for, without those that
/// no build needs.
const BASELINE: &str =
    "-all,+chown,+dac_override,+fowner,+fsetid,+setuid,+setgid,+setfcap,+setpcap,+sys_chroot,+mknod,+kill";

/// Runs the suite for one way, or starts itself once for each. Returns the exit code.
pub fn main(args: &[String]) -> i32 {
    match args.first().map(String::as_str) {
        Some("connect") => connect(&args[1]),
        Some("granted") => suite("granted", &Overlay::granted(), args.get(1)),
        Some("nested") => suite("nested", &Overlay::nested(), args.get(1)),
        Some("user") => {
            slipway_sandbox::enter_user_namespace().unwrap();
            suite("user", &Overlay::granted(), args.get(1))
        }
        filter => {
            let mut failed = false;
            for (way, start) in [("granted", granted as fn() -> Start), ("nested", nested), ("user", user)] {
                match start() {
                    Ok(mut command) => {
                        command.arg(way).args(filter);
                        failed |= !command.status().unwrap().success();
                    }
                    Err(why) => println!("{way}: skipped: {why}"),
                }
            }
            i32::from(failed)
        }
    }
}

/// What a command does with a socket: prints all that comes.
fn connect(path: &str) -> i32 {
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    std::io::copy(&mut stream, &mut std::io::stdout()).unwrap();
    0
}

type Start = Result<Command, String>;

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
    Ok(Command::new(this()))
}

fn nested() -> Start {
    is_root()?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", BASELINE, "--inh-caps", "-all", "--"]).arg(this());
    if Command::new("setpriv").arg("--version").output().is_err() {
        return Err("`setpriv` is missing".into());
    }
    Ok(command)
}

/// An ordinary user with subordinate ids. Root lends them to itself for the test, in a mount namespace of its own, so that
/// the machine's files stay as they are.
fn user() -> Start {
    if is_root().is_err() {
        return Ok(Command::new(this()));
    }
    if !["/etc/subuid", "/etc/subgid"].iter().all(|file| Path::new(file).exists()) {
        return Err("/etc/subuid and /etc/subgid are missing".into());
    }
    for tool in ["newuidmap", "newgidmap", "setpriv", "unshare"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(format!("`{tool}` is missing"));
        }
    }
    let place = tempfile::Builder::new().prefix("slipway-user").tempdir().unwrap().keep();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
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
    Ok(command)
}

/// Runs all cases in one way.
fn suite(way: &str, sandbox: &dyn Sandbox, filter: Option<&String>) -> i32 {
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        println!("{way}: skipped: /bin/busybox is missing (Debian's busybox-static)");
        return 0;
    }
    let scratch = tempfile::Builder::new().prefix("slipway-sandbox").tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (mut passed, mut failed) = (0, 0);
    for case in cases::ALL {
        if filter.is_some_and(|filter| !case.name.contains(filter.as_str())) {
            continue;
        }
        let mut bed = Bed::new(scratch.path(), busybox);
        match case.run(&mut bed, sandbox) {
            Ok(()) => {
                passed += 1;
                println!("{way}: {} ... ok", case.name);
            }
            Err(why) => {
                failed += 1;
                println!("{way}: {} ... FAILED\n    {why}", case.name);
            }
        }
    }
    println!("{way}: {passed} passed, {failed} failed");
    i32::from(failed > 0 || passed == 0)
}
