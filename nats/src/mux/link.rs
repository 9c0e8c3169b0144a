//! A greeted connection to one server: INFO, TLS where it is asked for, CONNECT.

use std::sync::{Arc, OnceLock};

use async_nats::ServerAddr;
use bytes::{Buf as _, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

use super::{
    connection::Lost,
    wire::{self, Op},
};
use crate::options::Credentials;

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Plain TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The stream, and what was read from it and not taken yet.
pub(super) struct Link {
    pub(super) stream: Box<dyn Stream>,
    pub(super) buffer: BytesMut,
}

/// Who connects.
pub(super) struct Greeting {
    pub(super) name: String,
    pub(super) credentials: Option<Credentials>,
}

/// What of the server's INFO matters before the first command.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    tls_required: bool,
}

/// A CONNECT's options, as the server spells them.
#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'a str,
    lang: &'static str,
    version: &'static str,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

impl Link {
    /// Connects and greets; what is returned takes subscriptions.
    pub(super) async fn open(address: &ServerAddr, greeting: &Greeting) -> Result<Self, Lost> {
        let stream = TcpStream::connect((address.host(), address.port())).await?;
        stream.set_nodelay(true)?;
        let mut link =
            Self { stream: Box::new(stream), buffer: BytesMut::with_capacity(READ_BUFFER_BYTES) };
        let info = link.info().await?;
        let tls_required = info.tls_required || address.tls_required();
        if tls_required {
            link.stream = Box::new(encrypt(link.stream, address.host()).await?);
        }
        let connect = serde_json::to_string(&greeting.connect(tls_required))
            .map_err(std::io::Error::other)?;
        link.stream.write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).await?;
        link.accepted().await?;
        Ok(link)
    }

    /// Reads more into the buffer; at least a byte.
    pub(super) async fn read(&mut self) -> std::io::Result<()> {
        self.buffer.reserve(READ_BUFFER_BYTES / 2);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn info(&mut self) -> Result<Info, Lost> {
        loop {
            if let Some((op, length)) = wire::parse(&self.buffer)? {
                let info = match op {
                    Op::Info(json) => {
                        serde_json::from_slice(json).map_err(std::io::Error::other)?
                    }
                    Op::Error(text) => return Err(Lost::Server(text.to_owned())),
                    _ => return Err(Lost::Server("no INFO".to_owned())),
                };
                self.buffer.advance(length);
                return Ok(info);
            }
            self.read().await?;
        }
    }

    /// The PONG to the first PING says that the credentials were taken.
    async fn accepted(&mut self) -> Result<(), Lost> {
        loop {
            while let Some((op, length)) = wire::parse(&self.buffer)? {
                let accepted = match op {
                    Op::Pong => true,
                    Op::Error(text) => return Err(Lost::Server(text.to_owned())),
                    _ => false,
                };
                self.buffer.advance(length);
                if accepted {
                    return Ok(());
                }
            }
            self.read().await?;
        }
    }
}

impl Greeting {
    fn connect(&self, tls_required: bool) -> Connect<'_> {
        let (user, pass, auth_token) = match &self.credentials {
            Some(Credentials::User { name, password }) => (Some(name), Some(password), None),
            Some(Credentials::Token(token)) => (None, None, Some(token)),
            None => (None, None, None),
        };
        Connect {
            verbose: false,
            pedantic: false,
            tls_required,
            name: &self.name,
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: true,
            headers: true,
            no_responders: false,
            user: user.map(String::as_str),
            pass: pass.map(String::as_str),
            auth_token: auth_token.map(String::as_str),
        }
    }
}

/// TLS with the system's root certificates, or those that `SSL_CERT_FILE` names:
/// the same that async-nats takes.
async fn encrypt(stream: Box<dyn Stream>, host: &str) -> Result<impl Stream + use<>, Lost> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = match CONFIG.get() {
        Some(config) => Arc::clone(config),
        None => {
            let config =
                tokio::task::spawn_blocking(config).await.map_err(std::io::Error::other)??;
            Arc::clone(CONFIG.get_or_init(|| Arc::new(config)))
        }
    };
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    Ok(TlsConnector::from(config).connect(name, stream).await?)
}

fn config() -> std::io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(std::io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
