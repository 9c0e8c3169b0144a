#![allow(clippy::unwrap_used, reason = "tests")]

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};

use super::*;

const EICAR: &[u8] = br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

/// Takes one connection, hears what clamd would hear, and answers.
async fn hear(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let mut command = [0; 10];
    connection.read_exact(&mut command).await.unwrap();
    assert_eq!(&command, b"zINSTREAM\0");
    let mut file = Vec::new();
    loop {
        let length = connection.read_u32().await.unwrap() as usize;
        if length == 0 {
            break;
        }
        let begin = file.len();
        file.resize(begin + length, 0);
        connection.read_exact(&mut file[begin..]).await.unwrap();
    }
    connection.write_all(&answer(&file)).await.unwrap();
    file
}

fn judge(file: &[u8]) -> Vec<u8> {
    match memchr::memmem::find(file, EICAR) {
        Some(_) => b"stream: Eicar-Signature FOUND\0".to_vec(),
        None => b"stream: OK\0".to_vec(),
    }
}

async fn clamd(
    answer: impl FnOnce(&[u8]) -> Vec<u8> + Send + 'static,
) -> (Scanner, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let place = format!("clamd://{}", listener.local_addr().unwrap()).parse().unwrap();
    let heard = tokio::spawn(async move { hear(listener.accept().await.unwrap().0, answer).await });
    (Scanner::new(place), heard)
}

async fn scan(scanner: &Scanner, file: &[u8]) -> Result<Finding, ScanError> {
    scanner.scan(&mut &*file, file.len() as u64).await
}

#[tokio::test]
async fn a_clean_file_is_heard_as_it_is() {
    for size in [0, 1, 65_536, 200_000] {
        let file: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
        let (scanner, heard) = clamd(judge).await;
        assert_eq!(scan(&scanner, &file).await.unwrap(), Finding::Clean);
        assert!(heard.await.unwrap() == file, "{size} bytes");
    }
}

#[tokio::test]
async fn what_is_found_has_a_name() {
    let (scanner, _heard) = clamd(judge).await;
    let file = [&[0; 100_000], EICAR].concat();
    let found = scan(&scanner, &file).await.unwrap();
    assert_eq!(found, Finding::Found("Eicar-Signature".into()));
}

#[tokio::test]
async fn clamd_is_reached_at_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clamd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let heard = tokio::spawn(async move { hear(listener.accept().await.unwrap().0, judge).await });
    let scanner = Scanner::new(format!("clamd:{}", path.display()).parse().unwrap());
    assert_eq!(scan(&scanner, b"moin").await.unwrap(), Finding::Clean);
    assert_eq!(heard.await.unwrap(), b"moin");
}

#[tokio::test]
async fn only_a_clear_word_counts() {
    for answer in
        [&b"stream: Can't allocate memory ERROR\0"[..], b"stream: OK, or so", b"", b"OK\0"]
    {
        let (scanner, _heard) = clamd(|_| answer.to_vec()).await;
        let error = scan(&scanner, b"moin").await.unwrap_err();
        assert!(matches!(error, ScanError::Refused(_)), "{error}");
    }
}

/// clamd does so when a file is larger than it is set to take.
#[tokio::test]
async fn an_answer_before_the_end_is_heard() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let place = format!("clamd://{}", listener.local_addr().unwrap()).parse().unwrap();
    let served = tokio::spawn(async move {
        let mut connection = listener.accept().await.unwrap().0;
        connection.read_exact(&mut [0; 1_000]).await.unwrap();
        connection.write_all(b"INSTREAM size limit exceeded. ERROR\0").await.unwrap();
        connection.shutdown().await.unwrap();
        // As a server does that lets the rest run dry.
        tokio::io::copy(&mut connection, &mut tokio::io::sink()).await.unwrap();
    });
    let file = vec![7; 1 << 20];
    let error = scan(&Scanner::new(place), &file).await.unwrap_err();
    assert!(matches!(error, ScanError::TooLarge), "{error}");
    served.await.unwrap();
}

#[tokio::test]
async fn a_scanner_that_is_there_answers() {
    for (answer, is_there) in [(&b"PONG\0"[..], true), (b"UNKNOWN COMMAND\0", false), (b"", false)]
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let place = format!("clamd://{}", listener.local_addr().unwrap()).parse().unwrap();
        let served = tokio::spawn(async move {
            let mut connection = listener.accept().await.unwrap().0;
            let mut command = [0; 6];
            connection.read_exact(&mut command).await.unwrap();
            connection.write_all(answer).await.unwrap();
            command
        });
        assert_eq!(Scanner::new(place).ping().await.is_ok(), is_there);
        assert_eq!(&served.await.unwrap(), b"zPING\0");
    }
}

#[tokio::test]
async fn a_scanner_that_is_away_says_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let place: ScannerPlace =
        format!("clamd://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = scan(&Scanner::new(place.clone()), b"moin").await.unwrap_err();
    assert!(matches!(error, ScanError::Connect(at, _) if at == place));
}

#[tokio::test]
async fn a_scanner_that_hangs_up_says_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let place = format!("clamd://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    assert!(scan(&Scanner::new(place), &vec![7; 1 << 20]).await.is_err());
}

/// The time is the test's own: nobody waits for it.
#[tokio::test(start_paused = true)]
async fn a_scanner_that_is_silent_says_nothing() {
    let (mine, _theirs) = tokio::io::duplex(1 << 20);
    let error = clamd::scan(mine, &mut &b"moin"[..], 4).await.unwrap_err();
    assert!(matches!(error, ScanError::Silent), "{error}");
}

#[test]
fn a_place_is_an_address_or_a_path() {
    let clamd = |address: &str| Ok(ScannerPlace::Clamd(address.into()));
    for (text, place) in [
        ("clamd://scanner:3310", clamd("scanner:3310")),
        ("clamd://scanner", clamd("scanner:3310")),
        ("clamd://10.0.0.7:99/", clamd("10.0.0.7:99")),
        ("clamd://[::1]:99", clamd("[::1]:99")),
        ("clamd://[::1]", clamd("[::1]:3310")),
        ("clamd:/run/clamd.sock", Ok(ScannerPlace::ClamdSocket("/run/clamd.sock".into()))),
        ("clamd:", Err(ParseScannerError)),
        ("clamd:/", Err(ParseScannerError)),
        ("clamd://", Err(ParseScannerError)),
        ("clamd://:3310", Err(ParseScannerError)),
        ("clamd://a:b", Err(ParseScannerError)),
        ("clamd://a/b", Err(ParseScannerError)),
        ("icap://a:1344", Err(ParseScannerError)),
        ("scanner:3310", Err(ParseScannerError)),
    ] {
        assert_eq!(text.parse(), place, "{text}");
    }
}
