//! Connections to apps, kept open between requests.
//!
//! A connection is worked by the request that uses it, in that request's own task: nothing is woken across threads, and a
//! client that leaves takes the connection with it. Idle ones are looked at when they are taken out and every few seconds.

use axum::body::Body;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const CONNECT: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(5);
// Of one app; more than this are closed after their answer.
const MOST_IDLE: usize = 256;

// By `host:port`, each with when it was given back.
type Idle = HashMap<Arc<str>, Vec<(Live, Instant)>>;

/// The idle connections of all apps.
pub struct Pool {
    idle: Mutex<Idle>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A connection to an app, and the handle that sends requests into it.
pub struct Live {
    pub(super) sender: SendRequest<Body>,
    connection: Connection<TokioIo<TcpStream>, Body>,
    // A connection must not be polled after its end.
    ended: bool,
}

impl Live {
    /// Moves bytes as far as they go.
    pub(super) fn work(&mut self, cx: &mut Context<'_>) {
        // How it ended is told to whoever waits for the answer or its body.
        self.ended = self.ended || Pin::new(&mut self.connection).poll(cx).is_ready();
    }

    // Whether it can take another request.
    fn is_idle(&mut self) -> bool {
        self.work(&mut Context::from_waker(Waker::noop()));
        !self.ended && self.sender.is_ready()
    }

    /// Itself as a future that ends with the connection, for one that becomes a tunnel.
    pub(super) fn into_tunnel(self) -> (SendRequest<Body>, impl Future<Output = hyper::Result<()>> + Send) {
        (self.sender, self.connection.with_upgrades())
    }
}

impl Pool {
    /// An empty pool; what is idle in it for long is closed until `stop`.
    pub fn new(stop: CancellationToken) -> Arc<Self> {
        let pool = Arc::new(Self { idle: Mutex::default() });
        let kept = Arc::downgrade(&pool);
        // Where there is no runtime, as in a test of the router alone, nothing is ever connected to.
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                    let Some(pool) = kept.upgrade() else { return };
                    pool.tidy();
                }
            });
        }
        pool
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tidy(&self) {
        self.idle().retain(|_, kept| {
            kept.retain_mut(|(live, since)| since.elapsed() < IDLE && live.is_idle());
            !kept.is_empty()
        });
    }

    /// An idle connection to this app, if there is one.
    pub(super) fn take(&self, upstream: &str) -> Option<Live> {
        loop {
            let (mut live, _) = self.idle().get_mut(upstream)?.pop()?;
            if live.is_idle() {
                return Some(live);
            }
        }
    }

    /// Keeps a connection for the next request, where it can take one.
    pub(super) fn give_back(&self, upstream: &Arc<str>, mut live: Live) {
        if !live.is_idle() {
            return;
        }
        let mut idle = self.idle();
        let kept = match idle.get_mut(upstream) {
            Some(kept) => kept,
            None => idle.entry(Arc::clone(upstream)).or_default(),
        };
        if kept.len() < MOST_IDLE {
            kept.push((live, Instant::now()));
        }
    }
}

/// Connects to an app.
///
/// # Errors
/// Where nothing listens there, or it does not answer in time.
pub(super) async fn connect(upstream: &str) -> io::Result<Live> {
    let connected = tokio::time::timeout(CONNECT, TcpStream::connect(upstream)).await;
    let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let shaken = Builder::new().handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(io::Error::other)?;
    Ok(Live {
        sender,
        connection,
        ended: false,
    })
}

/// Waits for something that a connection brings, working the connection meanwhile.
pub(super) async fn working<F: Future>(live: &mut Live, wanted: F) -> F::Output {
    let mut wanted = std::pin::pin!(wanted);
    std::future::poll_fn(|cx| {
        live.work(cx);
        match wanted.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
