//! Every call of `slipway` in the documentation is one that this program takes.

use clap::Parser;
use slipway_tests::docs::calls;

use super::Cli;

#[test]
fn calls_in_the_documentation_are_understood() {
    let calls = calls("slipway");
    assert!(calls.len() > 10, "{}", calls.len());
    for (place, words) in calls {
        let line = words.join(" ");
        // A synopsis such as `slipway cache du|prune` is no call.
        if words.is_empty()
            || words.iter().any(|word| word.starts_with('[') || word.starts_with('<') || word == "…")
        {
            continue;
        }
        let parsed = Cli::try_parse_from(std::iter::once("slipway".to_owned()).chain(words));
        let refused = parsed.err().filter(clap::Error::use_stderr);
        assert!(
            refused.is_none(),
            "{place}: slipway {line}\n{}",
            refused.map(|e| e.to_string()).unwrap_or_default()
        );
    }
}
