//! What is asked for before there is a graph.

use slipway_oci::{Digest, ImageConfig};

use super::request;
use crate::facts::{ContentFact, ContentNeed, ImageFact, KnownFacts, Needs};
use crate::lower::{Lowered, lower};

fn needs(text: &str, facts: &KnownFacts) -> Option<Needs> {
    let parsed = slipway_dockerfile::parse(text.as_bytes());
    match lower(&parsed.file, &parsed.source, &request(), facts).unwrap() {
        Lowered::Needs(needs) => Some(needs),
        Lowered::Ready(_) => None,
    }
}

fn answer(needs: &Needs, facts: &mut KnownFacts, triggers: &[&str]) {
    for need in &needs.images {
        let mut config = ImageConfig::default();
        config.rootfs.diff_ids = vec![Digest::of(&need.reference)];
        if need.reference.contains("trigger") {
            config.config.on_build = triggers.iter().map(|t| (*t).to_owned()).collect();
        }
        facts.images.insert(need.clone(), ImageFact { digest: Digest::of("manifest"), config });
    }
    for need in &needs.contents {
        facts
            .contents
            .insert(need.clone(), ContentFact { digest: Digest::of(format!("{need:?}")), files: vec![] });
    }
}

#[test]
fn all_images_first_then_contents() {
    let text = concat!(
        "FROM never AS unused\nFROM base AS one\nCOPY a b\nFROM one\nCOPY --from=img x /\nCOPY c d\nADD https://x.example/f /\n",
        "ADD --checksum=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 https://x.example/g /\n",
        "RUN --mount=target=/src --mount=from=two,target=/x x",
    );
    let mut facts = KnownFacts::default();
    let first = needs(text, &facts).unwrap();
    let names: Vec<&str> = first.images.iter().map(|need| need.reference.as_str()).collect();
    assert_eq!(
        names,
        ["docker.io/library/base:latest", "docker.io/library/img:latest", "docker.io/library/two:latest"]
    );
    assert!(first.contents.is_empty());
    answer(&first, &mut facts, &[]);
    let second = needs(text, &facts).unwrap();
    assert!(second.images.is_empty());
    let shown: Vec<String> = second
        .contents
        .iter()
        .map(|need| match need {
            ContentNeed::Tree(selection) => format!("{} {}", selection.context, selection.pattern),
            ContentNeed::Url { url } | ContentNeed::Git { url, .. } => url.clone(),
        })
        .collect();
    assert_eq!(shown, ["context /a", "context /c", "https://x.example/f", "context /"]);
    answer(&second, &mut facts, &[]);
    assert_eq!(needs(text, &facts), None);
}

#[test]
fn triggers_can_ask_for_more() {
    let text = "FROM trigger\nRUN x";
    let mut facts = KnownFacts::default();
    let triggers = ["COPY --from=more a b", "COPY c d"];
    let mut rounds = 0;
    let mut asked = vec![];
    while let Some(more) = needs(text, &facts) {
        asked.push((more.images.len(), more.contents.len()));
        answer(&more, &mut facts, &triggers);
        rounds += 1;
        assert!(rounds < 5);
    }
    // The trigger's image and its content come together: the base is known by then.
    assert_eq!(asked, [(1, 0), (1, 1)]);
}
