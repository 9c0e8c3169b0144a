//! What FCM and APNs hand out to whoever sends.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::DecodingKey;
use serde_json::json;

pub(super) const FCM_FILE: &str = "service-account.json";
pub(super) const APNS_FILE: &str = "AuthKey.p8";
pub(super) const APNS_KEY_ID: &str = "PETRELKEY1";
pub(super) const APNS_TEAM_ID: &str = "PETRELTEAM";
pub(super) const PROJECT: &str = "petrel";
pub(super) const EMAIL: &str = "push@petrel.iam.gserviceaccount.com";
pub(super) const FCM_KEY_ID: &str = "0123456789abcdef";

pub(super) struct Keys {
    fcm: Arc<RsaKeyPair>,
    apns: EcdsaKeyPair,
}

impl Keys {
    pub(super) fn generate() -> io::Result<Self> {
        Ok(Self {
            fcm: account_key()?,
            apns: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map_err(io::Error::other)?,
        })
    }

    /// Verifies the assertions of the service account.
    pub(super) fn fcm(&self) -> DecodingKey {
        DecodingKey::from_rsa_der(self.fcm.public_key().as_ref())
    }

    /// Verifies provider tokens.
    pub(super) fn apns(&self) -> DecodingKey {
        DecodingKey::from_ec_der(self.apns.public_key().as_ref())
    }

    /// Writes the files as the consoles of Google and Apple hand them out.
    pub(super) fn write(&self, folder: &Path, addr: SocketAddr) -> io::Result<()> {
        let fcm: Pkcs8V1Der<'_> = self.fcm.as_der().map_err(io::Error::other)?;
        let account = json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": FCM_KEY_ID,
            "private_key": pem(fcm.as_ref()),
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": token_uri(addr),
        });
        std::fs::write(folder.join(FCM_FILE), account.to_string())?;
        let apns = self.apns.to_pkcs8v1().map_err(io::Error::other)?;
        std::fs::write(folder.join(APNS_FILE), pem(apns.as_ref()))
    }
}

pub(super) fn token_uri(addr: SocketAddr) -> String {
    format!("http://{addr}/token")
}

/// All receivers of a process have one: it takes a while to find two primes.
fn account_key() -> io::Result<Arc<RsaKeyPair>> {
    static FOUND: Mutex<Option<Arc<RsaKeyPair>>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = &*found {
        return Ok(key.clone());
    }
    let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
    Ok(found.insert(Arc::new(key)).clone())
}

/// Shows nothing of them.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
