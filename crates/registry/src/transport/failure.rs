//! What errors and error answers mean.

use std::error::Error as _;
use std::io;

use oci_client::errors::OciEnvelope;

use super::Answer;
use crate::error::What;

/// How much of an error answer is read.
const MAX_MESSAGE: usize = 64 << 10;

/// Returns the innermost reason of an error: the outer ones only say "error sending request".
pub(super) fn root(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}

/// Tells why no answer came.
pub(super) fn of_request(error: &reqwest::Error, sent: u64) -> What {
    let reason = root(error);
    if let Some(tls) = tls_error(error) {
        let hint = match tls {
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(_))
                if reason.contains("CaUsedAsEndEntity") =>
            {
                "it shows a CA's certificate as its own: give it one that the CA signed, or name the registry as insecure"
            }
            rustls::Error::InvalidCertificate(_) => "give its CA file, or name the registry as insecure",
            _ => "if it speaks plain http, name it as insecure",
        };
        return What::Tls { reason, hint: hint.into() };
    }
    if error.is_connect() {
        let hint = if reason.contains("refused") { " (is it running, and is the port right?)" } else { "" };
        return What::Unreachable { reason, hint: hint.into() };
    }
    if error.is_builder() {
        return What::Protocol(reason);
    }
    What::Cut { bytes: sent, reason }
}

/// Finds an error of TLS among the reasons, also inside of I/O errors, which do not show what they hold as their source.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(reason) = next {
        if let Some(tls) = reason.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let held = reason.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map_or_else(|| reason.source(), |held| Some(held as &dyn std::error::Error));
    }
    None
}

/// Reads what a registry says about a failure, for people.
pub(super) async fn message(answer: Answer) -> String {
    let reason = answer.status().canonical_reason().unwrap_or("no reason given").to_owned();
    let Ok(body) = answer.bytes(MAX_MESSAGE).await else { return reason };
    if let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(&body)
        && !envelope.errors.is_empty()
    {
        let said = envelope.errors.iter().take(5).map(|error| {
            let code = serde_json::to_value(&error.code).ok();
            let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or("error").to_owned();
            if error.message.is_empty() { code } else { format!("{} ({code})", clean(&error.message)) }
        });
        return said.collect::<Vec<_>>().join("; ");
    }
    let text = clean(&String::from_utf8_lossy(&body));
    if text.is_empty() || text.starts_with('<') { reason } else { text }
}

/// Makes foreign text fit for a terminal.
fn clean(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.collect::<String>().trim().chars().take(300).collect()
}
