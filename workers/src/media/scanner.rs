//! A virus scanner that every upload has to pass.

mod clamd;

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// How long the scanner may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to take a piece of a file, or to say what it found
/// when it has all of it.
const SILENCE: Duration = Duration::from_secs(120);
/// The port of clamd where none is said.
const CLAMD_PORT: u16 = 3310;

/// Where the scanner is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScannerPlace {
    /// clamd, at this `host:port`.
    Clamd(String),
    /// clamd, at this socket of the machine.
    ClamdSocket(PathBuf),
}

/// It names no scanner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("clamd://host:port, or clamd:/path/of/its/socket")]
pub struct ParseScannerError;

/// What the scanner says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    Clean,
    /// With what the scanner calls it.
    Found(String),
}

/// Why nobody knows what the scanner would say. The file waits then, but for
/// [`TooLarge`](ScanError::TooLarge).
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error("no connection to the virus scanner at {0}")]
    Connect(ScannerPlace, #[source] io::Error),
    #[error("the virus scanner did not answer for {SILENCE:?}")]
    Silent,
    #[error("the connection to the virus scanner is lost")]
    Lost(#[source] io::Error),
    /// The file's fault, as far as that scanner goes.
    #[error("the file is larger than the virus scanner takes")]
    TooLarge,
    #[error("the virus scanner cannot tell: {0}")]
    Refused(String),
    #[error("the file could not be read")]
    File(#[source] io::Error),
}

/// Asks the scanner.
#[derive(Debug)]
pub(super) struct Scanner {
    place: ScannerPlace,
}

impl Scanner {
    pub(super) fn new(place: ScannerPlace) -> Self {
        Self { place }
    }

    /// Whether the scanner is there and would answer.
    ///
    /// # Errors
    /// [`ScanError`], where it would not.
    pub(super) async fn ping(&self) -> Result<(), ScanError> {
        match &self.place {
            ScannerPlace::Clamd(address) => {
                clamd::ping(self.connected(TcpStream::connect(address)).await?).await
            }
            ScannerPlace::ClamdSocket(path) => {
                clamd::ping(self.connected(UnixStream::connect(path)).await?).await
            }
        }
    }

    /// What the scanner says of a file of that size, piece by piece.
    ///
    /// # Errors
    /// [`ScanError`], whenever it does not say clearly that the file is clean
    /// or is not.
    pub(super) async fn scan(
        &self,
        file: &mut (impl AsyncRead + Unpin),
        size: u64,
    ) -> Result<Finding, ScanError> {
        match &self.place {
            ScannerPlace::Clamd(address) => {
                let connection = self.connected(TcpStream::connect(address)).await?;
                clamd::scan(connection, file, size).await
            }
            ScannerPlace::ClamdSocket(path) => {
                let connection = self.connected(UnixStream::connect(path)).await?;
                clamd::scan(connection, file, size).await
            }
        }
    }

    async fn connected<C: AsyncRead + AsyncWrite>(
        &self,
        connecting: impl Future<Output = io::Result<C>>,
    ) -> Result<C, ScanError> {
        let connected = timeout(CONNECT, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected.map_err(|error| ScanError::Connect(self.place.clone(), error))
    }
}

/// What the future gives, unless the scanner is silent for too long.
async fn heard<T>(future: impl Future<Output = io::Result<T>>) -> Result<T, ScanError> {
    let heard = timeout(SILENCE, future).await.map_err(|_| ScanError::Silent)?;
    heard.map_err(ScanError::Lost)
}

impl FromStr for ScannerPlace {
    type Err = ParseScannerError;

    fn from_str(text: &str) -> Result<Self, ParseScannerError> {
        let place = text.strip_prefix("clamd:").ok_or(ParseScannerError)?;
        let Some(address) = place.strip_prefix("//") else {
            let is_path = place.starts_with('/') && place.len() > 1;
            return is_path.then(|| Self::ClamdSocket(place.into())).ok_or(ParseScannerError);
        };
        let address = address.trim_end_matches('/');
        if address.is_empty() || address.contains(['/', '@', ' ']) {
            return Err(ParseScannerError);
        }
        // An address of IPv6 without a port ends with a bracket.
        match address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            None => Ok(Self::Clamd(format!("{address}:{CLAMD_PORT}"))),
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Clamd(address.to_owned()))
            }
            Some(_) => Err(ParseScannerError),
        }
    }
}

impl fmt::Display for ScannerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clamd(address) => write!(f, "clamd://{address}"),
            Self::ClamdSocket(path) => write!(f, "clamd:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
