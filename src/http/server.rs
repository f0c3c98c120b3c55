//! Sockets: accept, bound, serve, stop.
//!
//! The limits below are what keeps a hostile or broken client from taking the process down:
//! every connection is counted, every head has a deadline and a size, and a stop has an end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Api;
use super::deadlined::Deadlined;
use super::gate::Gate;
use super::router::router;
use super::routes;
use super::stack::Stack;

/// Connections that are open at once; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 1_024;
/// The head of a request must have arrived within this time. It also ends idle connections.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A client must take in something of its answer within this time.
const WRITE_STALLED_MAX: Duration = Duration::from_secs(30);
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Largest head of a request, and the read buffer of a connection.
const BUFFER_MAX_BYTES: usize = 32 * 1024;
/// Pause after a failed accept: out of file descriptors, trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// The address that it really has: with port 0 the system chose one.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Binds a socket.
pub async fn bind(addr: SocketAddr) -> io::Result<Listener> {
    let socket = TcpListener::bind(addr).await?;
    let addr = socket.local_addr()?;
    Ok(Listener { socket, addr })
}

/// Serves until `shutdown` ends, then lets requests in flight end until the stop deadline.
/// Says whether all of them did.
pub async fn serve(listener: Listener, api: Api, shutdown: impl Future<Output = ()>) -> bool {
    let stack = stack(&api);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    {
        let accepting = accept(&listener.socket, &stack, &graceful, &mut connections);
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
    }
    drop(listener);
    // Ends the streams of events, which would otherwise hold their connections for ever.
    api.stopping.send_replace(true);
    let in_time = tokio::time::timeout(api.stop_deadline, graceful.shutdown())
        .await
        .is_ok();
    if !in_time {
        let left = connections.len();
        tracing::warn!(
            left,
            "connections were cut off: they did not end by the stop deadline"
        );
    }
    connections.shutdown().await;
    in_time
}

/// The whole API as one service.
pub(super) fn stack(api: &Api) -> Stack {
    let engine = api.engine.clone();
    let identify = Arc::new(move |hash: &[u8; 32]| engine.identify(hash));
    let gate = Gate::new(identify, Arc::clone(&api.clock));
    let gate = Arc::new(gate.noting(Arc::clone(&api.keys), api.engine.clone()));
    Stack {
        router: router(routes::table(), api, &gate),
        clock: Arc::clone(&api.clock),
        entropy: Arc::clone(&api.entropy),
        counters: Arc::clone(&api.counters),
    }
}

async fn accept(
    socket: &TcpListener,
    stack: &Stack,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let builder = builder();
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match socket.accept().await {
            Ok((stream, peer)) => {
                let stack = stack.clone();
                let service = service_fn(move |request| stack.clone().answer(request, Some(peer)));
                let io = TokioIo::new(Deadlined::new(without_delay(stream), WRITE_STALLED_MAX));
                let connection = builder.serve_connection(io, service);
                let watched = graceful.watch(connection.into_owned());
                connections.spawn(async move {
                    if let Err(error) = watched.await {
                        tracing::debug!(%peer, %error, "a connection broke off");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    // HTTP/1 only: telling the versions apart by the first bytes has no deadline, so a client
    // that sends nothing would hold its connection for ever.
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_MAX_BYTES);
    builder
}

/// Answers are small: waiting to fill a packet only delays them.
fn without_delay(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    stream
}
