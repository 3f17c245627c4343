//! Questions over TCP: a bounded number of connections, each closed when it idles.
//!
//! The library's own listener takes any number of connections; this one takes
//! [`CONNECTIONS`] and lets the rest wait in the kernel's queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_server::net::tcp::TcpStream;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::MessageType;
use hickory_server::server::{Request, RequestHandler, ResponseHandle, TimeoutStream};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answer::Answerer;

/// Connections that are served at once.
const CONNECTIONS: usize = 128;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(5);

/// Answers that may wait for a slow reader.
const PENDING_ANSWERS: usize = 16;

/// Serves until told to stop.
pub(super) async fn serve(listener: TcpListener, answerer: Answerer, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    // Dropping the connections at the end closes them.
    let _ = stop
        .run_until_cancelled(async {
            loop {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let answerer = answerer.clone();
                        connections.spawn(async move {
                            converse(stream, peer, answerer).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a DNS connection could not be accepted");
                        // Out of descriptors: trying again at once would only burn the processor.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                while connections.try_join_next().is_some() {}
            }
        })
        .await;
}

/// Answers one connection's questions in their order.
async fn converse(stream: tokio::net::TcpStream, peer: SocketAddr, answerer: Answerer) {
    let (stream, answers) =
        TcpStream::from_stream_with_buffer_size(AsyncIoTokioAsStd(stream), peer, PENDING_ANSWERS);
    let mut questions = TimeoutStream::new(stream, IDLE);
    while let Some(Ok(message)) = questions.next().await {
        let Ok(request) = Request::from_bytes(message.into_parts().0, peer, Protocol::Tcp) else {
            return;
        };
        if request.metadata.message_type != MessageType::Query {
            return;
        }
        let handle = ResponseHandle::new(peer, answers.clone(), Protocol::Tcp);
        answerer.handle_request::<_, TokioTime>(&request, handle).await;
    }
}
