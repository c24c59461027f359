//! Flags of `slipway build` that change what is taken from the cache, and what the program tells of itself.

use std::fs;

use crate::bed::{Bed, bad, good, out};

#[test]
fn a_stage_can_be_kept_from_the_cache() {
    let bed = Bed::new("no-cache");
    bed.file(
        "Dockerfile",
        "FROM scratch AS a\nCOPY one /\nFROM scratch AS b\nCOPY two /\nFROM scratch\nCOPY --from=a one /\nCOPY --from=b two /\n",
    );
    bed.file("one", "1");
    bed.file("two", "2");
    bed.built(&[]);
    let again = bed.built(&[]);
    assert!(!again.contains("DONE"), "{again}");
    for flag in ["--no-cache=b", "--no-cache-filter=b,nowhere"] {
        let said = bed.built(&[flag]);
        let made: Vec<&str> = said.lines().filter(|line| line.contains(" DONE ")).collect();
        assert!(made.len() == 1 && made[0].starts_with("[b 1/1]"), "{flag}: only the stage itself: {said}");
        assert_eq!(
            said.contains("--no-cache=nowhere: the Dockerfile has no stage of this name"),
            flag.contains("nowhere")
        );
    }
    let said = bed.built(&["--no-cache"]);
    assert_eq!(said.lines().filter(|line| line.contains(" DONE ")).count(), 4, "{said}");
}

#[test]
fn wrong_flags_are_told_and_nothing_is_built() {
    let bed = Bed::new("wrong-flags");
    bed.file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    for (flags, words) in [
        (["--add-host", "db"], "`--add-host db` is not NAME:IP"),
        (["--ulimit", "nofile"], "`--ulimit nofile` is not NAME=SOFT[:HARD]"),
        (["--shm-size", "3q"], "use k, m or g"),
        (["--network", "some"], "invalid value 'some'"),
        (["--platform", "a/b/c/d"], "--platform: `a/b/c/d` is not a platform"),
        (["--annotation", "manifest[x/y/z/w]:a=b"], "is not a platform"),
        (["--output", "type=oci"], "it has no dest"),
    ] {
        let said = bad(&bed.build(&flags), 2);
        assert!(said.contains(words) && !said.contains("plan:"), "{flags:?}: {said}");
    }
}

#[test]
fn help_completions_and_man_pages_know_the_verbs() {
    let bed = Bed::new("help");
    for verb in ["build", "push"] {
        let help = bed.slipway(&[verb, "--help"]).output().unwrap();
        good(&help);
        assert!(out(&help).contains("Examples:") && out(&help).contains("--platform"), "{}", out(&help));
    }
    good(&bed.slipway(&["man", "pages"]).output().unwrap());
    assert!(fs::read_to_string(bed.folder.join("pages/slipway-push.1")).unwrap().contains("registry\\-ca"));
    let script = bed.slipway(&["completions", "bash"]).output().unwrap();
    assert!(
        out(&script).contains("slipway__push") || out(&script).contains("slipway__subcmd__push"),
        "{}",
        out(&script).len()
    );
}
