//! A line to MongoDB that can be cut, or lose the answers to commands.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
};

/// In a message of the wire protocol the name of the command comes after the
/// header (16 bytes), the flags (4), the kind of the section (1), and the
/// length of the document (4) and the type (1) of its first element.
const COMMAND: usize = 26;

/// Listens until it is dropped.
pub(super) struct Relay {
    pub(super) addr: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    server: String,
    up: watch::Sender<bool>,
    /// A command whose next answer is to be lost.
    losing: Mutex<Option<&'static str>>,
    refused: Notify,
}

impl Relay {
    /// A line to the server at that host and port.
    pub(super) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (up, _) = watch::channel(true);
        let losing = Mutex::new(None);
        let line = Arc::new(Line { server, up, losing, refused: Notify::new() });
        let accepting = Arc::downgrade(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(line) = accepting.upgrade() else { return };
                if *line.up.borrow() {
                    tokio::spawn(async move { line.carry(client).await });
                } else {
                    line.refused.notify_one();
                }
            }
        });
        Self { addr, line }
    }

    /// Ends all connections, and from now on each new one at once.
    pub(super) fn cut(&self) {
        self.line.up.send_replace(false);
    }

    /// Lets connections through again.
    pub(super) fn mend(&self) {
        self.line.up.send_replace(true);
    }

    /// Waits until somebody has tried in vain.
    pub(super) async fn refused(&self) {
        self.line.refused.notified().await;
    }

    /// The next such command is carried out, and its answer lost with the connection.
    pub(super) fn lose_answer_to(&self, command: &'static str) {
        *self.line.losing.lock().unwrap() = Some(command);
    }

    /// Whether an answer is still to be lost.
    pub(super) fn is_losing(&self) -> bool {
        self.line.losing.lock().unwrap().is_some()
    }
}

impl Line {
    async fn carry(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.server).await else { return };
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        let (mut up, is_lost) = (self.up.subscribe(), AtomicBool::new(false));
        tokio::select! {
            _ = up.wait_for(|up| !up) => {}
            _ = self.requests(from_client, to_server, &is_lost) => {}
            _ = answers(from_server, to_client, &is_lost) => {}
        }
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        is_lost: &AtomicBool,
    ) -> io::Result<()> {
        loop {
            let length = from.read_u32_le().await?;
            let mut message = length.to_le_bytes().to_vec();
            message.resize(usize::try_from(length).unwrap(), 0);
            from.read_exact(&mut message[4..]).await?;
            if self.loses_answer(&message) {
                is_lost.store(true, Ordering::Relaxed);
            }
            to.write_all(&message).await?;
        }
    }

    fn loses_answer(&self, message: &[u8]) -> bool {
        let mut losing = self.losing.lock().unwrap();
        losing.take_if(|command| is_command(message, command)).is_some()
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_lost: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 || is_lost.load(Ordering::Relaxed) {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}

fn is_command(message: &[u8], command: &str) -> bool {
    let name = message.get(COMMAND..).and_then(|rest| rest.strip_prefix(command.as_bytes()));
    name.is_some_and(|rest| rest.first() == Some(&0))
}
