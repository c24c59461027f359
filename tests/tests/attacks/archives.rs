//! Archives that try to reach beyond the folder that they are unpacked in: as a context, as ADD of a file, as ADD of a
//! download, and as a layer of a base image.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result, ensure};
use slipway_tests::server::Server;

use crate::bed::Bed;
use crate::tar::{self, Tar};

/// Archives that are attacks, each with a name; `victim` is the folder to reach.
fn attacks(victim: &str) -> Vec<(String, Vec<u8>)> {
    let up = format!("../../../../../../../../../..{victim}");
    let paths = [
        format!("{up}/evil"),
        format!("{victim}/evil"),
        format!("a/../../../../../../../../../../..{victim}/evil"),
        format!("./..//../..//../../../../../../..{victim}/evil"),
        format!("{up}/secret"),
        format!("a/{up}/evil/."),
    ];
    let mut all: Vec<(String, Vec<u8>)> =
        paths.into_iter().map(|path| (path.clone(), Tar::new().file(&path, b"evil").end())).collect();
    let mut add = |name: &str, tar: Tar| all.push((name.to_owned(), tar.end()));
    add("a link, then a file through it", Tar::new().link("l", victim).file("l/evil", b"evil"));
    add("a link, then a folder in its place", Tar::new().link("l", victim).folder("l", 0o777));
    add("a link upwards", Tar::new().link("l", &up).file("l/secret", b"evil"));
    add(
        "links in a chain",
        Tar::new().link("one", "..").link("two", &format!("one/{up}")).file("two/evil", b"evil"),
    );
    add("a second name of the victim", Tar::new().hard("h", &format!("{victim}/secret")).file("h", b"evil"));
    add("a second name upwards", Tar::new().hard("h", &format!("{up}/secret")).file("h", b"evil"));
    add(
        "a second name through a link",
        Tar::new().link("l", victim).hard("h", "l/secret").file("h", b"evil"),
    );
    add(
        "a second name of a link",
        Tar::new().link("l", &format!("{victim}/secret")).hard("h", "l").file("h", b"evil"),
    );
    add("a link of /proc", Tar::new().link("l", &format!("/proc/self/root{victim}")).file("l/evil", b"evil"));
    add(
        "whiteouts through a link",
        Tar::new().link("l", victim).file("l/.wh.secret", b"").file("l/.wh..wh..opq", b""),
    );
    add("whiteouts of what is above", Tar::new().file(".wh...", b"").file(".wh..", b"").file("a/.wh..", b""));
    add(
        "a name with a zero in a record",
        Tar::new().renamed(format!("ok\0{victim}/evil").as_bytes(), b"evil"),
    );
    add("a size record that hides an entry", tar::desynchronised(&format!("{up}/evil")));
    all
}

#[test]
fn no_archive_leaves_the_folder_it_is_unpacked_in() -> Result<()> {
    let bed = Bed::new()?;
    let server = Server::start()?;
    server.show(&bed.context());
    let mut built = 0;
    for (name, archive) in attacks(&bed.victim().display().to_string()) {
        bed.write("a.tar", &archive)?;
        for add in ["a.tar /x/", &format!("--unpack=true {}/x/a.tar /x/", server.url)] {
            bed.write("Dockerfile", format!("FROM scratch\nADD {add}\n"))?;
            let outcome = bed.build(&["--no-cache"])?;
            built += u32::from(outcome.succeeded);
            ensure!(!outcome.said.contains("panicked"), "{name}: {}", outcome.said);
            bed.unharmed(&format!("ADD {add}: {name}"))?;
        }
        // The context itself, with a Dockerfile that takes everything.
        let dockerfile = Tar::new().file("Dockerfile", b"FROM scratch\nCOPY . /x/\n").open();
        let outcome = bed.build_archive(&[dockerfile, archive].concat(), &[])?;
        ensure!(!outcome.said.contains("panicked"), "{name}: {}", outcome.said);
        bed.unharmed(&format!("context: {name}"))?;
    }
    ensure!(built > 0, "no archive was unpacked at all, so nothing was tried");
    Ok(())
}

#[test]
fn no_layer_of_a_base_leaves_the_root() -> Result<()> {
    let bed = Bed::new()?;
    for (name, archive) in attacks(&bed.victim().display().to_string()) {
        let layout = bed.path("layout");
        tar::layout(
            &layout,
            &[&archive, &Tar::new().file("l/evil", b"evil").file("l/secret", b"evil").end()],
        )?;
        bed.write(
            "Dockerfile",
            "FROM base\nCOPY Dockerfile /l/evil\nCOPY Dockerfile /l/secret\nWORKDIR /l/d\n",
        )?;
        let outcome = bed.build(&["--build-context", &format!("base=oci-layout://{}", layout.display())])?;
        ensure!(!outcome.said.contains("panicked"), "{name}: {}", outcome.said);
        bed.unharmed(&name)?;
        fs::remove_dir_all(layout)?;
    }
    Ok(())
}

#[test]
fn what_unpacks_to_more_than_anybody_wants_ends_with_the_limit_s_name() -> Result<()> {
    let bed = Bed::new()?;
    bed.write("Dockerfile", "FROM scratch\nADD a.tar /\n")?;
    // What cannot be read from its first entry on is no archive, and is copied.
    let first = || Tar::new().file("first", b"harmless");
    for (attack, archive) in [
        ("a name of two megabytes", first().renamed(&vec![b'n'; 2 << 20], b"x").end()),
        ("a path of 1500 parts", first().renamed(vec!["d"; 1500].join("/").as_bytes(), b"x").end()),
        (
            "a path longer than the kernel takes",
            first().renamed(vec!["dddddd"; 900].join("/").as_bytes(), b"x").end(),
        ),
        ("a file of a million gigabytes of holes", tar::hole(1 << 50)),
    ] {
        bed.write("a.tar", archive)?;
        bed.build(&[])?.refused("limit").with_context(|| attack)?;
        bed.unharmed(attack)?;
    }
    // A name that no file system takes is no limit of ours, but an error all the same.
    bed.write("a.tar", first().renamed("n".repeat(300).as_bytes(), b"x").end())?;
    bed.build(&[])?.refused("nnnn")
}

#[test]
fn links_of_a_context_stay_in_the_context() -> Result<()> {
    let bed = Bed::new()?;
    symlink(bed.victim(), bed.context().join("folder"))?;
    symlink(bed.victim().join("secret"), bed.context().join("file"))?;
    symlink("../victim", bed.context().join("up"))?;
    symlink("/proc/self/cwd/../victim", bed.context().join("proc"))?;
    for source in
        ["folder", "folder/secret", "folder/*", "f*", "file", "up", "up/secret", "proc", "../victim", "."]
    {
        for line in [format!("COPY {source} /x/"), format!("ADD {source} /x/")] {
            bed.write("Dockerfile", format!("FROM scratch\n{line}\n"))?;
            let outcome = bed.build(&[])?;
            ensure!(!outcome.said.contains("panicked"), "{line}: {}", outcome.said);
            bed.unharmed(&line)?;
            let _ = fs::remove_file(bed.path("tree.tar"));
        }
    }
    // A Dockerfile that is a link out of the context would be shown in the error.
    fs::remove_file(bed.context().join("Dockerfile"))?;
    symlink(bed.victim().join("secret"), bed.context().join("Dockerfile"))?;
    let archive = Tar::new().link("Dockerfile", &bed.victim().join("secret").display().to_string()).end();
    let outcome = bed.build_archive(&archive, &[])?;
    ensure!(!outcome.succeeded && !outcome.said.contains(crate::bed::CANARY), "{}", outcome.said);
    Ok(())
}
