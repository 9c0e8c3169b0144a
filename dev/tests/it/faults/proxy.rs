//! A line between a client and a server that can go dead without a word.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// The most of what a client says that is searched for a word.
const HEARD_BYTES: usize = 64 * 1024;
/// Bytes carried at once; while the line is frozen, so many are on it.
const CHUNK_BYTES: usize = 16 * 1024;

/// Carries bytes from clients to one server and back.
pub(super) struct Proxy {
    addr: SocketAddr,
    state: Arc<State>,
    _accepting: AbortOnDropHandle<()>,
}

struct State {
    server: SocketAddr,
    flow: watch::Sender<Flow>,
    lines: Mutex<Vec<Arc<Line>>>,
}

/// What is carried. What is not is kept, and so is the end of a connection:
/// neither side learns that the other is gone.
#[derive(Debug, Clone, Copy)]
struct Flow {
    to_server: bool,
    to_client: bool,
    accepting: bool,
}

/// One connection through the proxy.
#[derive(Default)]
struct Line {
    heard: Mutex<Vec<u8>>,
    cut: CancellationToken,
}

impl Proxy {
    /// A free port whose connections end at this server.
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let flow = Flow { to_server: true, to_client: true, accepting: true };
        let state =
            Arc::new(State { server, flow: watch::Sender::new(flow), lines: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { addr, state, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Where clients connect.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on nothing gets through, in either direction.
    pub(super) fn freeze(&self) {
        self.state.flow.send_modify(|flow| (flow.to_server, flow.to_client) = (false, false));
    }

    /// From now on the server hears nothing.
    pub(super) fn mute(&self) {
        self.state.flow.send_modify(|flow| flow.to_server = false);
    }

    /// What was kept gets through, and all that follows.
    pub(super) fn thaw(&self) {
        self.state.flow.send_modify(|flow| (flow.to_server, flow.to_client) = (true, true));
    }

    /// Ends the connections whose clients have said this; how many.
    pub(super) fn cut(&self, word: &str) -> usize {
        let lines = self.state.lines.lock().unwrap();
        let said = |line: &&Arc<Line>| {
            let heard = line.heard.lock().unwrap();
            !line.cut.is_cancelled() && heard.windows(word.len()).any(|at| at == word.as_bytes())
        };
        lines.iter().filter(said).map(|line| line.cut.cancel()).count()
    }

    /// Whether new connections are let through, or ended at once.
    pub(super) fn accept(&self, accepting: bool) {
        self.state.flow.send_modify(|flow| flow.accepting = accepting);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if !state.flow.borrow().accepting {
            continue;
        }
        let line = Arc::new(Line::default());
        state.lines.lock().unwrap().push(Arc::clone(&line));
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            line.cut.run_until_cancelled(carry(&line, client, &state)).await;
        });
    }
}

async fn carry(line: &Line, client: TcpStream, state: &State) {
    let Ok(server) = TcpStream::connect(state.server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) = (state.flow.subscribe(), state.flow.subscribe());
    let hear = |bytes: &[u8]| {
        let mut heard = line.heard.lock().unwrap();
        let room = HEARD_BYTES.saturating_sub(heard.len());
        heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
    };
    tokio::join!(
        pump(from_client, to_server, up, |flow| flow.to_server, hear),
        pump(from_server, to_client, down, |flow| flow.to_client, |_| {}),
    );
}

/// Carries one direction, its end included. A side that is gone takes the other
/// along when it is next written to.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flow: watch::Receiver<Flow>,
    flows: impl Fn(&Flow) -> bool,
    hear: impl Fn(&[u8]),
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut chunk).await.unwrap_or(0);
        hear(&chunk[..length]);
        if flow.wait_for(&flows).await.is_err() {
            return;
        }
        if length == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
