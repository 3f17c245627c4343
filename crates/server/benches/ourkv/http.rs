//! As much of HTTP/1.1 as a client that measures needs: a kept connection, answers with a length.

use std::fmt::Write;

use anyhow::{Context as _, bail};
use ourkv_wire::SignedRequest;

/// The largest head of an answer, bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Where the body begins.
    pub(crate) body: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

/// The bytes of a signed request.
pub(crate) fn bytes(request: &SignedRequest) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.path_and_query);
    for (name, value) in &request.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "content-length: {}\r\n\r\n", request.body.len());
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

/// The head of what has come in so far, once all of it is there.
pub(crate) fn head(received: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(length) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        if received.len() > LONGEST_HEAD {
            bail!("an answer without an end of its head");
        }
        return Ok(None);
    };
    let text = std::str::from_utf8(&received[..length])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
    let content = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    let content: usize = content.context("an answer without a length")?.parse()?;
    let body = length + 4;
    Ok(Some(Head { status: status.parse()?, body, end: body + content }))
}
