//! Commands of a RUN, and mounts, that try to reach what lies outside of their root file system.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Result, ensure};

use crate::bed::{Bed, CANARY};

/// Says why a test did nothing, where it can do nothing.
macro_rules! need_busybox {
    ($bed:expr, $dockerfile:expr) => {
        if !$bed.busybox($dockerfile)? {
            eprintln!("left out: this machine has no /bin/busybox (Debian's busybox-static)");
            return Ok(());
        }
    };
}

#[test]
fn no_working_directory_is_an_open_file_of_ours() -> Result<()> {
    let bed = Bed::new()?;
    let mut dockerfile = String::new();
    for number in 3..=50 {
        let _ = writeln!(dockerfile, "FROM base AS s{number}\nWORKDIR /proc/self/fd/{number}");
        let _ = writeln!(
            dockerfile,
            "RUN [\"/bin/sh\", \"-c\", \"cat ../../../../../../../../../{0}/secret > /stolen; pwd\"]",
            bed.victim().display()
        );
    }
    need_busybox!(bed, &dockerfile);
    let mut built = 0;
    for number in 3..=50 {
        let outcome = bed.build(&["--target", &format!("s{number}")])?;
        built += u32::from(outcome.succeeded);
        ensure!(!outcome.said.contains("panicked"), "{}", outcome.said);
        ensure!(!outcome.said.contains(CANARY), "the canary was read:\n{}", outcome.said);
        bed.unharmed(&format!("WORKDIR /proc/self/fd/{number}"))?;
    }
    // Each either fails or is an ordinary directory; a command sees nothing but its own three files.
    need_busybox!(
        bed,
        "RUN ls -l /proc/self/fd > /fds; for p in /proc/[0-9]*; do ls $p/fd; done > /all 2>/dev/null; true\n"
    );
    bed.build(&[])?.ok()?;
    let listed = bed.file("fds")?;
    ensure!(!listed.contains(&bed.path("").display().to_string()), "{built}: {listed}");
    Ok(())
}

#[test]
fn the_program_cannot_be_overwritten_by_what_it_runs() -> Result<()> {
    let bed = Bed::new()?;
    let program = slipway_tests::program()?;
    let before = slipway_oci::Digest::of(fs::read(&program)?);
    need_busybox!(
        bed,
        "RUN for p in /proc/[0-9]*/exe /proc/self/exe; do (echo evil > $p) 2>/dev/null; cat $p 2>/dev/null | head -c 4; \
         done; for p in /proc/[0-9]*/root; do ls $p/ 2>/dev/null | grep victim; done; true\n"
    );
    bed.build(&[])?.ok()?;
    ensure!(slipway_oci::Digest::of(fs::read(&program)?) == before, "the program was changed");
    Ok(())
}

#[test]
fn sources_of_mounts_stay_in_what_they_are_of() -> Result<()> {
    let bed = Bed::new()?;
    let victim = bed.victim().display().to_string();
    let up = "../../../../../../../../../../../../..";
    let mut stages = format!(
        "FROM base AS bad\nRUN ln -s {victim} /abs; ln -s {up}{victim} /up; mkdir /d; ln -s {victim} /d/l; true\n"
    );
    let sources = [
        "from=bad,source=/abs".to_owned(),
        "from=bad,source=/up".to_owned(),
        "from=bad,source=/d/l".to_owned(),
        "from=bad,source=/d/l/secret".to_owned(),
        format!("from=bad,source={up}{victim}"),
        format!("source={up}{victim}"),
        "source=link".to_owned(),
        "source=link/secret".to_owned(),
        format!("type=cache,from=bad,source={up}{victim}"),
        "type=cache,from=bad,source=/abs".to_owned(),
        format!("type=cache,id={up}{victim}"),
        "type=cache,id=..".to_owned(),
        "type=cache,id=/".to_owned(),
        format!("type=cache,id=x/{up}{victim}"),
        format!("type=secret,required=false,id={up}{victim}/secret"),
    ];
    for (number, source) in sources.iter().enumerate() {
        let _ = writeln!(
            stages,
            "FROM base AS s{number}\nRUN --mount={source},target=/m cat /m /m/secret > /stolen 2>/dev/null; \
             echo evil > /m/evil; rm -f /m/secret; true"
        );
    }
    need_busybox!(bed, &stages);
    std::os::unix::fs::symlink(bed.victim(), bed.context().join("link"))?;
    for (number, source) in sources.iter().enumerate() {
        let outcome = bed.build(&["--target", &format!("s{number}")])?;
        ensure!(!outcome.said.contains("panicked"), "{source}: {}", outcome.said);
        bed.unharmed(source)?;
    }
    // Only what the language has is passed on to the kernel.
    for option in ["bind-propagation=shared", "rshared", "z", "U=true", "exec", "dev"] {
        need_busybox!(bed, &format!("RUN --mount=type=bind,{option},target=/m true\n"));
        bed.build(&[])?.refused("unknown-mount-key")?;
    }
    Ok(())
}

#[test]
fn targets_of_mounts_stay_in_the_root() -> Result<()> {
    let bed = Bed::new()?;
    let victim = bed.victim().display().to_string();
    let up = "../../../../../../../../../../../../..";
    need_busybox!(
        bed,
        &format!(
            "RUN ln -s {victim} /abs; ln -s {up}{victim} /up; ln -s /proc/1/root{victim} /proc-way\n\
             RUN --mount=type=tmpfs,target=/abs --mount=type=tmpfs,target=/up/x --mount=type=tmpfs,target={up}{victim}/y \
             touch /abs/evil /up/x/evil\n\
             RUN --mount=type=cache,target=/abs/secret touch /abs/secret/x; true\n\
             # The stub of a mount point is removed after the command; here its parent leads elsewhere by then.\n\
             RUN --mount=type=tmpfs,target=/a/b/c mv /a /moved; ln -s {victim} /a; true\n"
        )
    );
    bed.build(&[])?.ok()?;
    bed.unharmed("targets of mounts")
}

#[test]
fn parallel_steps_cannot_swap_what_a_cache_mount_shows() -> Result<()> {
    let bed = Bed::new()?;
    let victim = bed.victim().display().to_string();
    let swap = format!(
        "i=0; while [ $i -lt 3000 ]; do mkdir -p /c/a 2>/dev/null; rmdir /c/a 2>/dev/null; ln -s {victim} /c/a 2>/dev/null; \
         rm -f /c/a; i=$((i+1)); done"
    );
    let mut stages = format!("FROM base AS swaps\nRUN --mount=type=cache,id=shared,target=/c {swap}\n");
    let mut copies = String::new();
    for number in 0..8 {
        let _ = writeln!(stages, "FROM base AS r{number}");
        for step in 0..10 {
            let _ = writeln!(
                stages,
                "RUN --mount=type=cache,id=shared,target=/c --mount=type=cache,id=shared,source=a,target=/m \
                 cat /m/secret >> /stolen 2>/dev/null; echo evil > /m/evil 2>/dev/null; echo {step}"
            );
        }
        let _ = writeln!(copies, "COPY --from=r{number} / /r{number}");
    }
    need_busybox!(bed, &format!("{stages}FROM scratch\nCOPY --from=swaps /bin/sh /\n{copies}"));
    // The mount may be refused where its source is gone at that moment, so all stages are built for themselves.
    for number in 0..8 {
        let outcome = bed.build(&["--target", "swaps", "--target", &format!("r{number}")])?;
        ensure!(!outcome.said.contains("panicked") && !outcome.said.contains(CANARY), "{}", outcome.said);
        bed.unharmed("a swapped source of a cache mount")?;
    }
    Ok(())
}

#[test]
fn names_of_stages_and_images_are_names_only() -> Result<()> {
    let bed = Bed::new()?;
    for name in
        ["..", "/", "../victim", "./victim", "/proc/self/root", "executor/..", "cache", "context", "builds"]
    {
        for line in
            [format!("COPY --from={name} secret /x/"), format!("ONBUILD COPY --from={name} secret /x/")]
        {
            bed.write(
                "Dockerfile",
                format!("FROM scratch AS executor\nCOPY Dockerfile /\n{line}\nFROM executor\n"),
            )?;
            let outcome = bed.build(&[
                "--registry-mirror",
                "docker.io=127.0.0.1:1",
                "--insecure-registry",
                "127.0.0.1:1",
            ])?;
            ensure!(!outcome.succeeded && !outcome.said.contains("panicked"), "{line}: {}", outcome.said);
            bed.unharmed(&line)?;
        }
    }
    Ok(())
}

#[test]
fn a_frontend_that_a_file_names_is_never_asked() -> Result<()> {
    let bed = Bed::new()?;
    bed.write("Dockerfile", "# syntax=127.0.0.1:1/evil/frontend:latest\nFROM scratch\nCOPY Dockerfile /\n")?;
    bed.build(&[])?.ok()?;
    for text in [
        "\0\u{1}\u{2}FROM",
        "FROM scratch\nRUN --mount=,,,,=\nCOPY <<",
        "FROM scratch\nCOPY a\\",
        "FROM ${",
        "ONBUILD ONBUILD",
    ] {
        bed.write("Dockerfile", text)?;
        let outcome = bed.build(&[])?;
        ensure!(!outcome.succeeded && !outcome.said.contains("panicked"), "{text:?}: {}", outcome.said);
    }
    Ok(())
}
