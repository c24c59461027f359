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
        Some("granted") => suite("granted", &Overlay::granted(), args.get(1)),
        Some("nested") => suite("nested", &Overlay::nested(), args.get(1)),
        filter => {
            let mut failed = false;
            for (way, start) in [("granted", granted as fn() -> Start), ("nested", nested)] {
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
        match (case.check)(&mut bed, sandbox) {
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
