//! A stream whose writes have a deadline: a client that does not read its answer, or its events,
//! would hold a connection and its buffers for ever.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream that breaks off when no byte could be written for a while.
#[derive(Debug)]
pub struct Deadlined<T> {
    stream: T,
    stalled_max: Duration,
    /// Ends a stall; none while bytes flow.
    stall: Option<Pin<Box<Sleep>>>,
}

impl<T> Deadlined<T> {
    /// A stream whose writes may stall for so long.
    pub fn new(stream: T, stalled_max: Duration) -> Self {
        Self {
            stream,
            stalled_max,
            stall: None,
        }
    }

    /// Passes progress on, and turns a stall that lasts too long into an error.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let until = Instant::now() + self.stalled_max;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        stall.as_mut().poll(cx).map(|()| {
            let message = "the client did not read for too long";
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Deadlined<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Deadlined<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stands_still_ends_the_stream_and_a_slow_one_does_not() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut stream = Deadlined::new(near, Duration::from_millis(200));
        let slow = async {
            let mut bytes = [0; 4];
            for _ in 0..4 {
                tokio::time::advance(Duration::from_millis(80)).await;
                far.read_exact(&mut bytes).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(stream.write_all(&[1; 16]), slow);
        written.unwrap();
        let stalled = stream.write_all(&[2; 16]).await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    }
}
