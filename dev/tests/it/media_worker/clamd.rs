//! A virus scanner that speaks clamd's protocol, and answers when it is told to.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::PATIENCE;

/// What every scanner finds.
pub(super) const EICAR: &[u8] =
    br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

const PING: &[u8; 6] = b"zPING\0";
const INSTREAM: &[u8; 10] = b"zINSTREAM\0";

pub(super) struct Clamd {
    listener: TcpListener,
}

/// Somebody who has asked, and waits.
pub(super) struct Asked {
    connection: TcpStream,
    file: Option<Vec<u8>>,
}

impl Clamd {
    pub(super) async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(super) async fn at(addr: SocketAddr) -> Self {
        Self { listener: TcpListener::bind(addr).await.unwrap() }
    }

    pub(super) fn address(&self) -> String {
        format!("clamd://{}", self.listener.local_addr().unwrap())
    }

    /// Nobody listens any more; where it was.
    pub(super) fn stops(self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Waits until somebody has a file for it; meanwhile it says that it is there.
    pub(super) async fn is_asked(&self) -> Asked {
        timeout(PATIENCE, self.command()).await.expect("somebody asks")
    }

    async fn command(&self) -> Asked {
        loop {
            let (mut connection, _) = self.listener.accept().await.unwrap();
            let mut command = [0; PING.len()];
            connection.read_exact(&mut command).await.unwrap();
            if &command == PING {
                connection.write_all(b"PONG\0").await.unwrap();
                continue;
            }
            let mut rest = [0; INSTREAM.len() - PING.len()];
            connection.read_exact(&mut rest).await.unwrap();
            assert_eq!([&command[..], &rest].concat(), INSTREAM);
            return Asked { connection, file: None };
        }
    }
}

impl Asked {
    /// The whole file, piece by piece.
    pub(super) async fn file(&mut self) -> &[u8] {
        if self.file.is_none() {
            let file = timeout(PATIENCE, read(&mut self.connection)).await;
            self.file = Some(file.expect("a file comes"));
        }
        self.file.as_deref().unwrap()
    }

    pub(super) async fn answers(&mut self) {
        let found = super::pictures::says(self.file().await, EICAR);
        let answer: &[u8] =
            if found { b"stream: Eicar-Signature FOUND\0" } else { b"stream: OK\0" };
        self.connection.write_all(answer).await.unwrap();
        self.connection.shutdown().await.unwrap();
    }

    /// Hears no more than is in its `StreamMaxLength`.
    pub(super) async fn refuses(mut self) {
        self.file().await;
        self.connection.write_all(b"INSTREAM size limit exceeded. ERROR\0").await.unwrap();
    }

    /// Whoever asked has hung up.
    pub(super) async fn is_left(&mut self) {
        let end = timeout(PATIENCE, self.connection.read_u8()).await.expect("they hang up");
        assert!(end.is_err());
    }
}

async fn read(connection: &mut TcpStream) -> Vec<u8> {
    let mut file = Vec::new();
    loop {
        let length = connection.read_u32().await.unwrap() as usize;
        if length == 0 {
            return file;
        }
        let begin = file.len();
        file.resize(begin + length, 0);
        connection.read_exact(&mut file[begin..]).await.unwrap();
    }
}
