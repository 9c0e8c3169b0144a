//! The protocol of clamd: `INSTREAM`, as its manual page has it.
//!
//! A file goes as pieces, each after its length in four bytes, and ends with a
//! piece of no length. The answer is one line that ends with a zero, as the
//! command did.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Finding, ScanError, heard};

const COMMAND: &[u8] = b"zINSTREAM\0";
const PING: &[u8] = b"zPING\0";
const PONG: &str = "PONG";
/// What it says of a file that is larger than its `StreamMaxLength`.
const TOO_LARGE: &str = "INSTREAM size limit exceeded";
/// How much of a file goes at a time, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// Most bytes of an answer.
const ANSWER_BYTES: u64 = 4 * 1024;

/// See [`super::Scanner::ping`].
pub(super) async fn ping(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<(), ScanError> {
    heard(connection.write_all(PING)).await?;
    let mut answer = Vec::new();
    heard(connection.take(ANSWER_BYTES).read_to_end(&mut answer)).await?;
    let answer = line(&answer);
    if answer == PONG { Ok(()) } else { Err(ScanError::Refused(answer)) }
}

/// See [`super::Scanner::scan`].
pub(super) async fn scan(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    file: &mut (impl AsyncRead + Unpin),
    size: u64,
) -> Result<Finding, ScanError> {
    // Whoever answers before having heard all does not want to hear the rest.
    let sent = send(&mut connection, file, size).await;
    let mut answer = Vec::new();
    let heard = heard((&mut connection).take(ANSWER_BYTES).read_to_end(&mut answer)).await;
    match (answer.is_empty(), sent, heard) {
        (false, ..) => finding(&answer),
        (true, Err(error), _) | (true, Ok(()), Err(error)) => Err(error),
        (true, Ok(()), Ok(_)) => Err(ScanError::Refused("it said nothing".into())),
    }
}

async fn send(
    connection: &mut (impl AsyncWrite + Unpin),
    file: &mut (impl AsyncRead + Unpin),
    size: u64,
) -> Result<(), ScanError> {
    heard(connection.write_all(COMMAND)).await?;
    let mut file = file.take(size);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece).await.map_err(ScanError::File)?;
        let length = u32::try_from(read).unwrap_or(u32::MAX).to_be_bytes();
        heard(connection.write_all(&length)).await?;
        if read == 0 {
            return heard(connection.flush()).await;
        }
        heard(connection.write_all(&piece[..read])).await?;
    }
}

/// `stream: OK`, `stream: <signature> FOUND`, or why it cannot tell.
fn finding(answer: &[u8]) -> Result<Finding, ScanError> {
    let answer = line(answer);
    let said = answer.strip_prefix("stream: ");
    match said {
        Some("OK") => Ok(Finding::Clean),
        Some(found) if found.ends_with(" FOUND") => {
            Ok(Finding::Found(found.trim_end_matches(" FOUND").to_owned()))
        }
        None if answer.starts_with(TOO_LARGE) => Err(ScanError::TooLarge),
        _ => Err(ScanError::Refused(answer)),
    }
}

/// An answer without its end.
fn line(answer: &[u8]) -> String {
    let answer = answer.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(answer).trim().to_owned()
}
