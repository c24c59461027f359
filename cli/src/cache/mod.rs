//! `slipway cache`: what the cache holds, and making room in it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use slipway_store::{Collected, Kind, Policy, Store};

use crate::build::bytes;
use crate::build::settings::HomeArgs;

/// Shows what the cache holds, and makes room in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    home: HomeArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows how much room is taken, by kind.
    Du {
        /// Shows every single thing.
        #[arg(short, long)]
        verbose: bool,
        /// Writes JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes everything that no running build uses.
    Prune {
        /// Keeps what was used within this time: `48h`, `30m`, `7d`.
        #[arg(long, value_name = "TIME")]
        keep: Option<String>,
    },
    /// Removes the oldest things until limits are met.
    Gc {
        /// The most bytes: `20g`.
        #[arg(long, value_name = "BYTES")]
        max_size: Option<String>,
        /// What was not used for longer goes: `30d`.
        #[arg(long, value_name = "TIME")]
        max_age: Option<String>,
        /// Bytes that the disk must have left: `5g`.
        #[arg(long, value_name = "BYTES")]
        keep_free: Option<String>,
    },
    /// Reads everything, and removes what is damaged: the next build makes it again.
    Verify,
    /// Waits until what builds made is on the disk, so that it outlives a crash of the machine too. Builds start this by
    /// themselves when they are done.
    Settle,
}

/// Runs the verb.
#[allow(clippy::needless_pass_by_value)] // as all verbs
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    slipway_sandbox::enter_user_namespace().context("cannot open the cache as this user")?;
    let store = Store::open(args.home.folder()?).context("cannot open the cache")?;
    let mut out = io::stdout().lock();
    match &args.verb {
        Verb::Du { verbose, json } => du(&store, *verbose, *json, &mut out)?,
        Verb::Prune { keep } => {
            let age = keep.as_deref().map(time).transpose()?.unwrap_or(Duration::ZERO);
            let policy = Policy { max_age: Some(age), ..Policy::everything() };
            removed(&store.collect(&policy, SystemTime::now())?, &mut out)?;
            store.settle()?;
        }
        Verb::Gc { max_size, max_age, keep_free } => {
            if max_size.is_none() && max_age.is_none() && keep_free.is_none() {
                bail!("say what the limit is: --max-size, --max-age or --keep-free");
            }
            let policy = Policy {
                max_bytes: max_size.as_deref().map(size).transpose()?,
                max_age: max_age.as_deref().map(time).transpose()?,
                keep_free: keep_free.as_deref().map(size).transpose()?,
                ..Policy::default()
            };
            removed(&store.collect(&policy, SystemTime::now())?, &mut out)?;
            store.settle()?;
        }
        Verb::Settle => store.settle()?,
        Verb::Verify => {
            let found = store.verify()?;
            writeln!(out, "{} blobs, {} layers, {} documents", found.blobs, found.layers, found.documents)?;
            for path in &found.damaged {
                writeln!(out, "damaged, removed: {path}")?;
            }
            if !found.damaged.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn du(store: &Store, verbose: bool, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let usage = store.usage()?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &usage)?;
        return Ok(writeln!(out)?);
    }
    if verbose {
        for item in &usage.items {
            writeln!(out, "{:>10}  {}", bytes(item.size), item.name)?;
        }
        writeln!(out)?;
    }
    let kinds: BTreeSet<Kind> = usage.items.iter().map(|item| item.kind).collect();
    for kind in kinds {
        let (size, count) = usage.of(kind);
        writeln!(out, "{:>10}  {count:>6}  {}", bytes(size), name(kind))?;
    }
    writeln!(
        out,
        "{:>10}  {:>6}  in all, {} free",
        bytes(usage.total()),
        usage.items.len(),
        bytes(usage.free)
    )?;
    Ok(())
}

fn removed(collected: &Collected, out: &mut impl Write) -> anyhow::Result<()> {
    for (kind, (size, count)) in collected.by_kind() {
        writeln!(out, "{:>10}  {count:>6}  {}", bytes(size), name(kind))?;
    }
    writeln!(out, "removed {}", bytes(collected.bytes))?;
    if collected.short {
        writeln!(out, "the limits are not met: what is left is in use")?;
    }
    Ok(())
}

/// Returns what a kind is called.
fn name(kind: Kind) -> String {
    // Its name in JSON, in two words.
    let word = serde_json::to_value(kind)
        .ok()
        .and_then(|value| value.as_str().map(ToOwned::to_owned))
        .unwrap_or_default();
    let spaced = word
        .chars()
        .flat_map(|c| if c.is_ascii_uppercase() { vec![' ', c.to_ascii_lowercase()] } else { vec![c] });
    spaced.collect::<String>().trim().to_owned()
}

/// Reads `20g`.
fn size(text: &str) -> anyhow::Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => bail!("`{text}` is not a size such as 500m or 20g"),
    };
    let number: u64 =
        digits.parse().with_context(|| format!("`{text}` is not a size such as 500m or 20g"))?;
    Ok(number.saturating_mul(1 << shift))
}

/// Reads `48h`.
fn time(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => bail!("`{text}` is not a time such as 30m, 48h or 7d"),
    };
    let number: u64 =
        digits.parse().with_context(|| format!("`{text}` is not a time such as 30m, 48h or 7d"))?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read() {
        assert_eq!(size("20g").expect("a size"), 20 << 30);
        assert_eq!(size("1KiB").expect("a size"), 1024);
        assert_eq!(time("7d").expect("a time"), Duration::from_hours(7 * 24));
        assert!(size("many").is_err() && time("soon").is_err() && time("5").is_err());
    }
}
