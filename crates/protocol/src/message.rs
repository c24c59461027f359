//! Termination messages: JSON where it fits into the kubelet's 4 KiB, else gzip and base64, else shortened until it fits.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::paths::TERMINATION_LIMIT;
use crate::report::{BuildReport, Failure, PlanReport, PollReport, StagePodReport, StageReport};

/// What a compressed message begins with; JSON begins with `{`.
const COMPRESSED: &str = "gz:";

/// The most bytes that a message unpacks to: whatever is longer was not written by [`encode`].
const UNPACKED_LIMIT: u64 = 1 << 20;

/// The most bytes that are left as they are. A kubelet keeps 12 KiB a pod and divides them among its containers, also those
/// that others put into it: a report that it cuts is none.
const PLAIN_LIMIT: usize = 2048;

/// A report that can be made shorter.
pub trait Message: Serialize + DeserializeOwned + Clone {
    /// Leaves out the least useful part that is left. Returns false where nothing can be left out any more.
    fn shorten(&mut self) -> bool;
}

/// Why a termination message was not understood.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The pod ended without a word.
    #[error("the container ended without a report")]
    Empty,
    /// Not what [`encode`] writes.
    #[error("the container's report is not base64 of gzip")]
    Packing,
    /// Not the JSON of this report.
    #[error("the container's report is not understood")]
    Json(#[from] serde_json::Error),
}

/// Writes a report in at most [`TERMINATION_LIMIT`] bytes, leaving out what does not fit.
pub fn encode<M: Message>(message: &M) -> String {
    encode_within(message, TERMINATION_LIMIT)
}

/// Writes a report in at most so many bytes, leaving out what does not fit.
pub fn encode_within<M: Message>(message: &M, limit: usize) -> String {
    let mut message = message.clone();
    loop {
        let json = serde_json::to_string(&message).unwrap_or_else(|_| "{}".into());
        if json.len() <= limit.min(PLAIN_LIMIT) {
            return json;
        }
        let packed = format!("{COMPRESSED}{}", BASE64.encode(compress(json.as_bytes())));
        if packed.len() <= limit {
            return packed;
        }
        if !message.shorten() {
            return "{}".into();
        }
    }
}

/// Reads what [`encode`] wrote.
pub fn decode<M: Message>(text: &str) -> Result<M, MessageError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(MessageError::Empty);
    }
    let Some(packed) = text.strip_prefix(COMPRESSED) else { return Ok(serde_json::from_str(text)?) };
    let packed = BASE64.decode(packed).map_err(|_| MessageError::Packing)?;
    let mut json = String::new();
    GzDecoder::new(&packed[..])
        .take(UNPACKED_LIMIT)
        .read_to_string(&mut json)
        .map_err(|_| MessageError::Packing)?;
    Ok(serde_json::from_str(&json)?)
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // A `Vec` takes every write.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

impl Message for PlanReport {
    fn shorten(&mut self) -> bool {
        if self.failure.as_mut().is_some_and(shorten_failure)
            || self.warnings.pop().is_some()
            || self.done.as_mut().is_some_and(|done| done.pods.pop_last().is_some())
        {
            return true;
        }
        let longest = self.stages.iter_mut().max_by_key(|stage| stage.why.len());
        if longest.is_some_and(|stage| halve(&mut stage.why, 0)) {
            return true;
        }
        // Of a build that is done, its result says more than what was planned, which was said before.
        let Some(done) = &mut self.done else { return false };
        let many = !self.stages.is_empty();
        self.stages.clear();
        many || done.shorten()
    }
}

impl Message for PollReport {
    fn shorten(&mut self) -> bool {
        self.failure.as_mut().is_some_and(shorten_failure)
    }
}

impl Message for StagePodReport {
    fn shorten(&mut self) -> bool {
        shorten_stages(&mut self.stages) || halve(&mut self.isolation_reason, 0)
    }
}

impl Message for BuildReport {
    fn shorten(&mut self) -> bool {
        // The stage pods say the same themselves, a little later.
        if self.pods.pop_last().is_some() {
            return true;
        }
        if self.failure.as_mut().is_some_and(shorten_failure) || shorten_stages(&mut self.stages) {
            return true;
        }
        let longest = self.images.iter_mut().max_by_key(|image| image.layers.len());
        longest.is_some_and(|image| {
            let any = !image.layers.is_empty();
            image.layers.clear();
            any
        })
    }
}

fn shorten_stages(stages: &mut [StageReport]) -> bool {
    stages.iter_mut().filter_map(|stage| stage.failure.as_mut()).any(shorten_failure)
}

fn shorten_failure(failure: &mut Failure) -> bool {
    halve(&mut failure.tail, 200) || halve(&mut failure.message, 200) || halve(&mut failure.instruction, 100)
}

/// Keeps the last half of a text, where its end says most; false where it is at most `least` bytes long.
fn halve(text: &mut String, least: usize) -> bool {
    if text.len() <= least {
        return false;
    }
    let middle = (text.len() / 2..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    *text = if text.len() < 8 { String::new() } else { format!("…{}", &text[middle..]) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PlannedStage;

    #[test]
    fn a_short_report_is_plain_json() {
        let report = PlanReport { revision: "main@sha1:abc".into(), ..PlanReport::default() };
        let text = encode(&report);
        assert!(text.starts_with('{'));
        assert_eq!(decode::<PlanReport>(&text).ok(), Some(report));
    }

    #[test]
    fn a_hundred_stages_fit() {
        let stages = (0..100)
            .map(|n| PlannedStage {
                name: format!("stage-{n}"),
                steps: n,
                pod: Some(n % 16),
                needs: (0..n.min(4)).collect(),
                why: format!("file src/module-{n}/lib.rs changed"),
                ..PlannedStage::default()
            })
            .collect();
        let report = PlanReport { stages, ..PlanReport::default() };
        let text = encode(&report);
        assert!(text.starts_with(COMPRESSED) && text.len() <= TERMINATION_LIMIT, "{}", text.len());
        assert_eq!(decode::<PlanReport>(&text).ok(), Some(report));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_end_of_the_output_stays() {
        // Digests do not compress, so that packing alone cannot help.
        let noise: String = (0..400).map(|n| slipway_oci::Digest::of(format!("{n}")).hex()).collect();
        let failure =
            Failure { reason: "RunFailed".into(), tail: format!("{noise} the end"), ..Failure::default() };
        let text = encode(&BuildReport { failure: Some(failure), ..BuildReport::default() });
        assert!(text.len() <= TERMINATION_LIMIT);
        let read = decode::<BuildReport>(&text).expect("readable").failure.expect("a failure");
        assert!(read.tail.ends_with("the end") && read.reason == "RunFailed");
    }

    #[test]
    fn what_stage_pods_say_themselves_goes_first() {
        let words = |number: u32| {
            let reason = slipway_oci::Digest::of(number.to_string()).to_string().repeat(8);
            let report = StagePodReport { isolation_reason: reason, ..StagePodReport::default() };
            (number, report)
        };
        let failure = Failure { message: "kept".into(), ..Failure::default() };
        let report = BuildReport {
            pods: (0..64).map(words).collect(),
            failure: Some(failure.clone()),
            ..BuildReport::default()
        };
        let read = decode::<BuildReport>(&encode(&report)).expect("readable");
        assert!(read.pods.len() < 64 && read.failure == Some(failure), "{}", read.pods.len());
        let all = decode::<BuildReport>(&encode_within(&report, 128 << 10)).expect("readable");
        assert_eq!(all, report);
    }

    #[test]
    fn of_a_build_that_is_done_the_result_stays_longest() {
        let noise = |n: usize| slipway_oci::Digest::of(n.to_string()).hex();
        let tail: String = (0..30).map(noise).collect();
        let failure = Failure { tail: tail.clone(), ..Failure::default() };
        let done = BuildReport { failure: Some(failure), ..BuildReport::default() };
        let stage = |n| PlannedStage { name: noise(n), why: noise(n + 100), ..PlannedStage::default() };
        let stages = (0..60).map(stage).collect();
        let report = PlanReport { stages, done: Some(Box::new(done)), ..PlanReport::default() };
        let read = decode::<PlanReport>(&encode(&report)).expect("readable");
        assert_eq!(read.done.and_then(|done| done.failure).map(|failure| failure.tail), Some(tail));
    }

    #[test]
    fn what_is_not_short_is_packed_before_a_kubelet_may_cut_it() {
        let tail = "the same line again\n".repeat(150);
        let report =
            BuildReport { failure: Some(Failure { tail, ..Failure::default() }), ..BuildReport::default() };
        let text = encode(&report);
        assert!(text.starts_with(COMPRESSED) && text.len() < 1024, "{}", text.len());
        assert_eq!(decode::<BuildReport>(&text).ok(), Some(report));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(matches!(decode::<PlanReport>("  "), Err(MessageError::Empty)));
        assert!(matches!(decode::<PlanReport>("gz:!"), Err(MessageError::Packing)));
        assert!(matches!(decode::<PlanReport>("bye"), Err(MessageError::Json(_))));
    }
}
