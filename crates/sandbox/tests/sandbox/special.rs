//! What a table cannot say: errors, ends from outside, want of memory, the choice of a way.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use slipway_sandbox::{Cancel, Error, Exit, Isolation, Sandbox, Way, choose, probe, spec::MountSource};

use crate::bed::{Bed, runs};

type Check = fn(&mut Bed, &dyn Sandbox, Way) -> Result<(), String>;

/// Cases with code of their own.
pub(crate) const ALL: &[(&str, Check)] = &[
    ("cancel ends everything at once", cancel),
    ("cancelled before the start", cancelled_before),
    ("the death of the program ends everything", death),
    ("many at once", many),
    ("want of memory is named", out_of_memory),
    ("links of /proc to open files are refused", open_file_links),
    ("limits that cannot be had", bad_limits),
    ("too many layers", too_many_layers),
    ("500 layers", most_layers),
    ("a source that is missing", missing_source),
    ("a file on a directory", kinds_differ),
    ("relative paths are refused", relative),
    ("the part of an earlier run stays", continued),
    ("the choice", choice),
    ("no network is an error where it cannot be", no_network),
    ("steps upon steps", steps),
    ("ids that do not exist", ids),
    ("a layer that is there twice", twice),
    ("the way out of a chroot", way_out),
    ("the usual capabilities", usual_capabilities),
    ("the loopback device", loopback),
    ("a command that kills what watches it", mutiny),
    ("a container that holds the store is not emptied", store_inside),
    ("a part of several layers, twice", part_twice),
];

fn is_bare(way: Way) -> bool {
    matches!(way, Way::Root | Way::Container)
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Waits until no process has the argument, for two seconds at most.
fn gone(argument: &str) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        if !runs(argument) {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

fn cancel(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    let wish = bed.cancel.clone();
    let waiter = thread::spawn(move || {
        let start = Instant::now();
        while !runs("98771") && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        wish.cancel();
        Instant::now()
    });
    let outcome = bed.sh(sandbox, "trap '' TERM INT HUP; setsid sleep 98771 & sleep 98772");
    let late = waiter.join().unwrap().elapsed();
    ensure(matches!(outcome.result, Err(Error::Cancelled)), || format!("{:?}", outcome.result))?;
    ensure(late < Duration::from_secs(1), || format!("it took {late:?}"))?;
    // Not "soon": when `run` has returned, nothing holds a file of the layer open.
    ensure(!runs("98771") && !runs("98772"), || "something still runs".into())
}

fn cancelled_before(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    bed.cancel.cancel();
    let outcome = bed.sh(sandbox, "touch /ran");
    ensure(matches!(outcome.result, Err(Error::Cancelled)), || format!("{:?}", outcome.result))?;
    ensure(!bed.spec.upper.join("ran").exists(), || "it ran".into())
}

fn death(bed: &mut Bed, _: &dyn Sandbox, way: Way) -> Result<(), String> {
    if way == Way::Container {
        // The program is the container's first process there, so the container ends with it.
        return Ok(());
    }
    let spec = bed.base.join("spec.json");
    bed.spec.args = ["/bin/sh", "-c", "setsid sleep 98773 & sleep 98774"].map(String::from).to_vec();
    fs::write(&spec, serde_json::to_vec(&bed.spec).unwrap()).unwrap();
    let mut program = Command::new("/proc/self/exe")
        .args(["run", crate::ways::word(way)])
        .arg(&spec)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut started = false;
    while !started && start.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(5));
        started = runs("98773") && runs("98774");
    }
    program.kill().unwrap();
    program.wait().unwrap();
    ensure(started, || "it did not start".into())?;
    ensure(gone("98773") && gone("98774"), || "something survived".into())
}

fn many(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    bed.spec.args = ["/bin/sh", "-c", "echo $$; cat /etc/hosts"].map(String::from).to_vec();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|index| {
                let mut spec = bed.spec.clone();
                for (place, name) in
                    [(&mut spec.upper, "upper"), (&mut spec.work, "work"), (&mut spec.root, "root")]
                {
                    *place = bed.base.join(format!("{index}-{name}"));
                    fs::create_dir(place).unwrap();
                }
                scope.spawn(move || sandbox.run(&spec, &mut |_, _| {}, &Cancel::new()))
            })
            .collect();
        for thread in threads {
            let result = thread.join().unwrap();
            ensure(result.as_ref().is_ok_and(|finished| finished.exit.success()), || format!("{result:?}"))?;
        }
        Ok(())
    })
}

/// Needs a memory group of its own, which only root of the machine can make.
fn out_of_memory(bed: &mut Bed, _: &dyn Sandbox, way: Way) -> Result<(), String> {
    let group = Path::new("/sys/fs/cgroup/memory").join(format!("slipway-test-{}", std::process::id()));
    if fs::create_dir(&group).is_err() {
        println!("    (not tried: no memory group can be made)");
        return Ok(());
    }
    fs::write(group.join("memory.limit_in_bytes"), "60000000").unwrap();
    bed.spec.args = ["/bin/sh", "-c", "head -c 200m /dev/zero | tail -c 150m | wc -c; exit 137"]
        .map(String::from)
        .to_vec();
    let spec = bed.base.join("spec.json");
    fs::write(&spec, serde_json::to_vec(&bed.spec).unwrap()).unwrap();
    let output = Command::new("sh")
        .args(["-c", "echo $$ >\"$1\"/cgroup.procs && shift && exec \"$@\"", "sh"])
        .arg(&group)
        .arg(std::env::current_exe().unwrap())
        .args(["run", crate::ways::word(way)])
        .arg(&spec)
        .output()
        .unwrap();
    thread::sleep(Duration::from_millis(50));
    let _ = fs::remove_dir(&group);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(said.contains("OutOfMemory"), || format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}

fn open_file_links(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    if is_bare(way) {
        return Ok(());
    }
    for path in
        ["/proc/self/fd/0", "/proc/self/cwd", "/proc/1/root/etc", "/proc/self/fd/3", "/proc/self/fd/7/../.."]
    {
        bed.spec.cwd = path.into();
        let outcome = bed.sh(sandbox, "pwd; ls");
        ensure(matches!(outcome.result, Err(Error::Setup { .. })), || {
            format!("{path}: {:?}, {}", outcome.result, outcome.stdout)
        })?;
    }
    bed.spec.cwd = "/".into();
    bed.mount("/proc/self/cwd/x", MountSource::Tmpfs { size: None });
    let outcome = bed.sh(sandbox, "true");
    let said = outcome.result.as_ref().map_err(ToString::to_string);
    ensure(said.as_ref().is_err_and(|said| said.contains("link of /proc")), || format!("{said:?}"))
}

fn bad_limits(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    for (name, soft, hard, expected) in [
        ("nofiles", 1, 1, "failed to set the limit `nofiles`: there is no limit of this name"),
        ("nofile", 20, 10, "the soft limit is above the hard one"),
    ] {
        bed.spec.ulimits = vec![(name.into(), soft, hard)];
        let outcome = bed.sh(sandbox, "true");
        let said = outcome.result.map_err(|error| error.to_string());
        ensure(said.as_ref().is_err_and(|said| said.contains(expected)), || format!("{said:?}"))?;
    }
    Ok(())
}

fn layer_count(bed: &mut Bed, count: usize) {
    let first = bed.spec.lowers[0].clone();
    bed.spec.lowers = (1..count).map(|index| bed.tree(&format!("l{index}"), &[])).collect();
    bed.spec.lowers.push(first);
}

fn too_many_layers(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    layer_count(bed, 501);
    let outcome = bed.sh(sandbox, "true");
    if is_bare(way) {
        return ensure(outcome.result.is_ok(), || format!("{:?}", outcome.result));
    }
    let said = outcome.result.map_err(|error| error.to_string());
    ensure(said.as_ref().is_err_and(|said| said.starts_with("501 layers") && said.contains("500")), || {
        format!("{said:?}")
    })
}

fn most_layers(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    layer_count(bed, 500);
    let outcome = bed.sh(sandbox, "true");
    ensure(outcome.result.as_ref().is_ok_and(|finished| finished.exit == Exit::Code(0)), || {
        format!("{:?}", outcome.result)
    })
}

fn missing_source(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    bed.mount("/in", MountSource::Bind { path: "/no/such/place".into(), readonly: true });
    let said = bed.sh(sandbox, "true").result.map_err(|error| error.to_string());
    ensure(said.as_ref().is_err_and(|said| said.contains("/in") && said.contains("/no/such/place")), || {
        format!("{said:?}")
    })
}

fn kinds_differ(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    let path = bed.tree("source", &[]);
    bed.mount("/etc/passwd", MountSource::Bind { path, readonly: true });
    let said = bed.sh(sandbox, "true").result.map_err(|error| error.to_string());
    ensure(said.as_ref().is_err_and(|said| said.contains("it is a file, and the source a directory")), || {
        format!("{said:?}")
    })
}

fn relative(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    bed.spec.lowers.push("lower".into());
    let said = bed.sh(sandbox, "true").result;
    ensure(matches!(said, Err(Error::Invalid(_))), || format!("{said:?}"))
}

fn continued(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    let first = bed.sh(sandbox, "echo one >/f; rm /etc/passwd");
    let second = bed.sh(sandbox, "cat /f; ls /etc/passwd 2>/dev/null; echo two >>/f; cat /f");
    ensure(first.result.is_ok() && second.stdout == "one\none\ntwo\n", || {
        format!("{:?} {:?} {}", first.result, second.result, second.stdout)
    })?;
    let upper = bed.upper();
    ensure(upper == ["etc/", "etc/passwd!", "f"], || format!("{upper:?}"))
}

fn choice(bed: &mut Bed, _: &dyn Sandbox, way: Way) -> Result<(), String> {
    let requested = if is_bare(way) { Isolation::Root } else { Isolation::Auto };
    let (sandbox, choice) = choose(requested, &bed.base).map_err(|error| error.to_string())?;
    // In an image that may be emptied, that way is the better one.
    let better = way == Way::Root && choice.way == Way::Container;
    ensure(choice.way == way || better, || format!("chose {choice:?}"))?;
    let ways = probe(&bed.base).ways;
    ensure(ways.iter().all(|(_, result)| result.as_ref().err().is_none_or(|why| why.len() > 20)), || {
        format!("{ways:?}")
    })?;
    let left: Vec<_> = fs::read_dir(&bed.base)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".probe"))
        .collect();
    ensure(left.is_empty(), || format!("{left:?}"))?;
    let outcome = bed.sh(&*sandbox, "echo it runs");
    ensure(outcome.stdout == "it runs\n", || format!("{:?}", outcome.result))
}

fn no_network(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    bed.spec.network = slipway_sandbox::spec::Network::None;
    let result = bed.sh(sandbox, "true").result;
    let said = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    match way {
        Way::Root | Way::Container => {
            ensure(said.contains("`--network=none`") && said.contains("root"), || format!("{result:?}"))
        }
        _ => ensure(result.is_ok(), || said),
    }
}

/// Each command's changes are the next one's topmost layer, under another name, as in a build.
fn steps(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    for step in 0..5 {
        let script = match step {
            0 => "mkdir -p /d/deep; echo 0 >/d/f; echo keep >/d/deep/k".to_owned(),
            3 => "echo 3 >>/d/f; rm -r /d/deep; mkdir /d/deep; ls /d/deep".to_owned(),
            _ => format!("echo {step} >>/d/f; cat /d/deep/k >/dev/null || [ {step} = 4 ]"),
        };
        let outcome = bed.sh(sandbox, &script);
        ensure(outcome.result.as_ref().is_ok_and(|finished| finished.exit.success()), || {
            format!("step {step}: {:?} {}", outcome.result, outcome.stderr)
        })?;
        let layer = bed.base.join(format!("step-{step}"));
        fs::rename(&bed.spec.upper, &layer).unwrap();
        fs::create_dir(&bed.spec.upper).unwrap();
        bed.spec.lowers.insert(0, layer);
        // As when another instruction comes between.
        let copied = bed.tree(&format!("copied-{step}"), &[("copied", &step.to_string())]);
        bed.spec.lowers.insert(0, copied);
    }
    let outcome = bed.sh(sandbox, "cat /d/f /copied; ls /d/deep; rm /d/f");
    ensure(outcome.stdout == "0\n1\n2\n3\n4\n4", || format!("{:?} {}", outcome.stdout, outcome.stderr))?;
    let upper: Vec<_> = bed.upper().into_iter().filter(|path| path != "etc/").collect();
    ensure(upper == ["d/", "d/f!"], || format!("{upper:?}"))
}

fn part_twice(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    let lowers =
        vec![bed.tree("top", &[("src/a", "top\n")]), bed.tree("bottom", &[("src/b", "2\n"), ("c", "3")])];
    bed.mount("/in", MountSource::Layers { lowers, path: "/src".into(), writable: true });
    for _ in 0..2 {
        let outcome = bed.sh(sandbox, "ls /in; rm /in/b");
        ensure(outcome.stdout == "a\nb\n", || format!("{:?} {}", outcome.result, outcome.stdout))?;
    }
    Ok(())
}

/// Outside of a user namespace every id exists; inside, the map of the namespace says.
fn ids(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let all = map.split_whitespace().last() == Some("4294967295");
    bed.spec.user.uid = 2_000_000_000;
    let result = bed.sh(sandbox, "id -u").result;
    if all {
        return ensure(result.is_ok(), || format!("{result:?}"));
    }
    let said = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    ensure(said.contains("become user 2000000000") && said.contains("no such id"), || format!("{result:?}"))
}

fn twice(bed: &mut Bed, sandbox: &dyn Sandbox, _: Way) -> Result<(), String> {
    let (top, middle) =
        (bed.tree("top", &[("f", "top")]), bed.tree("middle", &[("f", "middle"), ("g", "middle")]));
    for layer in [&top, &middle, &top] {
        bed.spec.lowers.insert(0, layer.clone());
    }
    let outcome = bed.sh(sandbox, "cat /f /g");
    ensure(outcome.stdout == "topmiddle", || format!("{:?} {}", outcome.result, outcome.stdout))
}

/// `chroot` by itself holds nobody who may use it again.
fn way_out(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    let outcome = bed.sh(sandbox, "chroot /home /nothing 2>&1 | grep -c 'not permitted'; exit 0");
    let expected = if way == Way::Root { "1\n" } else { "0\n" };
    ensure(outcome.stdout == expected, || format!("{:?} {}", outcome.result, outcome.stdout))
}

/// What the kernel says of a command, against the set that containers usually have; less where this process has less.
fn usual_capabilities(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    const USUAL: u64 = 0xa804_25fb;
    if is_bare(way) {
        return Ok(());
    }
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    let ours = ours.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    let ours = u64::from_str_radix(ours, 16).unwrap();
    let set = if way == Way::Nested { USUAL } else { USUAL & ours };
    let outcome = bed.sh(sandbox, "grep -e ^Cap -e NoNewPrivs -e ^Seccomp: /proc/self/status");
    let none = 0;
    let expected = format!(
        "CapInh:\t{none:016x}\nCapPrm:\t{set:016x}\nCapEff:\t{set:016x}\nCapBnd:\t{set:016x}\nCapAmb:\t{none:016x}\n\
         NoNewPrivs:\t0\nSeccomp:\t2\n"
    );
    ensure(outcome.stdout == expected, || format!("{} instead of {expected}", outcome.stdout))
}

fn loopback(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    // NET_ADMIN over the new network: as root of the machine or of the namespace that owns it.
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    let ours = ours.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    let may = way == Way::Nested || u64::from_str_radix(ours, 16).unwrap() & (1 << 12) != 0;
    if is_bare(way) || !may {
        return Ok(());
    }
    bed.spec.network = slipway_sandbox::spec::Network::None;
    let outcome = bed.sh(sandbox, "ifconfig lo | grep -c 'UP.*RUNNING'; ifconfig lo | grep -c 127.0.0.1");
    ensure(outcome.stdout == "1\n1\n", || format!("{:?} {}", outcome.result, outcome.stdout))
}

fn mutiny(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    let outcome = bed.sh(sandbox, "kill -9 $PPID; sleep 1; echo on");
    match way {
        // Process 1 of a namespace cannot be killed from within.
        Way::Granted | Way::Nested => ensure(outcome.stdout == "on\n", || format!("{:?}", outcome.result)),
        Way::Root | Way::Container => {
            ensure(matches!(outcome.result, Err(Error::Died(_))), || format!("{:?}", outcome.result))
        }
    }
}

fn store_inside(bed: &mut Bed, sandbox: &dyn Sandbox, way: Way) -> Result<(), String> {
    if way != Way::Container {
        return Ok(());
    }
    bed.sh(sandbox, "true").result.map_err(|error| error.to_string())?;
    let canary = Path::new("/store-of-somebody");
    fs::create_dir(canary).unwrap();
    fs::write(canary.join("layer"), "").unwrap();
    bed.spec.lowers.push(canary.to_owned());
    let said = bed.sh(sandbox, "true").result.err().map(|error| error.to_string()).unwrap_or_default();
    ensure(said.contains("`/store-of-somebody`, which lies in the container's own file system"), || said)?;
    ensure(canary.join("layer").exists(), || "it was emptied".into())
}
