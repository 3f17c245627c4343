//! An engine whose connections are all taken: it says so to whoever comes next, and hangs up.
//!
//! That is what its tenant bought and uses up. It is alive and serves, and must not be mistaken
//! for one that fails.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What Redis and Valkey say when they are full.
const FULL: &[u8] = b"-ERR max number of clients";

/// More than the longest line that is told apart here.
const LONGEST: usize = 512;

/// Greets a Redis engine before anything secret is said, and tells whether it is full.
pub async fn is_full(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<bool> {
    // One that is full may have hung up already; what it said before can still be read.
    let _ = stream.write_all(b"PING\r\n").await;
    let mut line = Vec::with_capacity(64);
    while !line.ends_with(b"\n") && line.len() < LONGEST {
        line.push(stream.read_u8().await?);
    }
    Ok(line.starts_with(FULL))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(answer: &'static [u8]) -> std::io::Result<bool> {
        let (mut near, mut far) = tokio::io::duplex(1024);
        far.write_all(answer).await?;
        drop(far);
        is_full(&mut near).await
    }

    #[tokio::test]
    async fn tells_full_from_everything_else() {
        assert!(told(b"-ERR max number of clients reached\r\n").await.unwrap());
        assert!(
            told(b"-ERR max number of clients + cluster connections reached\r\n").await.unwrap()
        );
        assert!(!told(b"-NOAUTH Authentication required.\r\n").await.unwrap());
        assert!(!told(b"+PONG\r\n").await.unwrap());
        told(b"").await.unwrap_err();
    }
}
