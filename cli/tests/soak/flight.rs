//! Builds of the same and of different images at the same time, over one store.

use std::process::{Command, Stdio};

use crate::alone;
use crate::bed::Bed;
use crate::left;

#[test]
fn of_many_equal_builds_one_makes_each_step() {
    let _alone = alone();
    let Some(bed) = Bed::new("flight") else { return };
    let store = bed.path("store");
    let mark = left::mark(&bed);
    let dockerfile = |own: &str| {
        format!(
            "FROM scratch AS shared\nCOPY busybox /bin/\nENV {mark}\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n\
             RUN --mount=type=cache,id=count,target=/count echo once >> /count/runs && /bin/busybox sleep 1 && echo x > /x\n\
             FROM shared\nRUN echo {own} > /own\n"
        )
    };
    let contexts: Vec<_> = (0..6)
        .map(|number| bed.context(&format!("context{number}"), &dockerfile(&format!("own {}", number % 3))))
        .collect();
    let started: Vec<_> = contexts
        .iter()
        .map(|context| {
            bed.build(&store, context).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let (mut shared, mut own) = (0, 0);
    for child in started {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        let made =
            |what: &str| text.lines().filter(|line| line.contains(what) && line.contains("DONE")).count();
        shared += made("shared 2/2");
        own += made("1/1");
    }
    assert_eq!(shared, 1, "the step that all have was made once");
    assert_eq!(own, 3, "and each step that two have was made once");
    assert_eq!(runs(&mut bed.build(&store, &counting(&bed))), 1);
    left::nothing_runs(&bed, &store);
    // Each build that made something had the disk waited for, after its end: nothing is in doubt any more.
    assert_eq!(std::fs::read_dir(store.join("leases")).unwrap().count(), 0, "unsettled");
    left::is_clean(&bed, &store);
}

/// A build that shows what the cache mount has counted.
fn counting(bed: &Bed) -> std::path::PathBuf {
    bed.context(
        "counting",
        "FROM scratch\nCOPY busybox /bin/\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n\
         RUN --mount=type=cache,id=count,target=/count /bin/busybox cat /count/runs\n",
    )
}

fn runs(build: &mut Command) -> usize {
    let output = build.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text.lines().filter(|line| line.ends_with(" once")).count()
}
