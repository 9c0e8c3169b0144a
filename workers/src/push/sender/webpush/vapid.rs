//! Who sends, for a push service (RFC 8292).

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use moka::sync::Cache;
use p256::{
    FieldBytes, SecretKey,
    elliptic_curve::sec1::ToEncodedPoint as _,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _},
};
use serde::Serialize;

use super::KEY;
use crate::push::sender::failure::{Failure, SetupError};

/// How long a signature is good for; 24 h is the most that there may be.
const VALID: Duration = Duration::from_secs(12 * 60 * 60);
/// How long it is used.
const USED: Duration = Duration::from_secs(11 * 60 * 60);
/// Push services for which one is kept.
const SERVICES: u64 = 4_096;

/// The private key that push services know a server by. Never printed.
#[derive(Clone)]
pub struct VapidKey(SecretKey);

impl VapidKey {
    /// What browsers subscribe with: the public key as an uncompressed point, in
    /// base64url.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key().to_encoded_point(false))
    }

    pub(super) fn scalar(&self) -> FieldBytes {
        self.0.to_bytes()
    }
}

/// From a PEM, or from base64 of either alphabet: of the key in DER (PKCS#8 or
/// SEC1), or of its 32 bytes.
impl FromStr for VapidKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NOT_ONE: &str = "not a private key of the curve P-256";
        let text = text.trim();
        if text.starts_with("-----BEGIN") {
            let key = SecretKey::from_pkcs8_pem(text).ok();
            let key = key.or_else(|| SecretKey::from_sec1_pem(text).ok());
            return key.map(Self).ok_or(NOT_ONE);
        }
        let plain = text.trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(plain).ok().or_else(|| STANDARD.decode(text).ok());
        let bytes = bytes.ok_or("neither base64 nor a PEM")?;
        let key = SecretKey::from_pkcs8_der(&bytes).ok();
        let key = key.or_else(|| SecretKey::from_sec1_der(&bytes).ok());
        let key = key.or_else(|| SecretKey::from_slice(&bytes).ok());
        key.map(Self).ok_or(NOT_ONE)
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VapidKey({})", self.public_key())
    }
}

/// Signs, once for each push service and half a day.
pub(super) struct Vapid {
    signing: EncodingKey,
    public: String,
    subject: String,
    headers: Cache<String, String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl Vapid {
    pub(super) fn new(key: &VapidKey, subject: &str) -> Result<Self, SetupError> {
        let der = key.0.to_pkcs8_der().map_err(|error| SetupError::bad(KEY, error.to_string()))?;
        let vapid = Self {
            signing: EncodingKey::from_ec_der(der.as_bytes()),
            public: key.public_key(),
            subject: subject.into(),
            headers: Cache::builder().max_capacity(SERVICES).time_to_live(USED).build(),
        };
        vapid.sign("https://push.example.org").map_err(|error| SetupError::bad(KEY, error))?;
        Ok(vapid)
    }

    pub(super) fn public_key(&self) -> &str {
        &self.public
    }

    /// The header for a push service.
    pub(super) fn authorization(&self, origin: &str) -> Result<String, Failure> {
        if let Some(header) = self.headers.get(origin) {
            return Ok(header);
        }
        let header = self.sign(origin).map_err(|error| Failure::Credentials(error.into()))?;
        self.headers.insert(origin.into(), header.clone());
        Ok(header)
    }

    fn sign(&self, origin: &str) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims { aud: origin, exp: (now + VALID).as_secs(), sub: &self.subject };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.signing)
            .map_err(|error| error.to_string())?;
        Ok(format!("vapid t={token}, k={}", self.public))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// One key in all its forms, made with openssl for this test.
    const FORMS: [&str; 6] = [
        "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgG4KhdT827h2f+sgJ
pnPmeD+0U0lKpEq9DvDF8kqDpFahRANCAAQFNQ9WF49Za3MGKKgNcKYNCuXMGK9D
rzSAWC3tYvyrvpH6LNWO8FeM660ZLl/WQQAksZkIbgOVAQc7zIsFP5XW
-----END PRIVATE KEY-----
",
        "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIBuCoXU/Nu4dn/rICaZz5ng/tFNJSqRKvQ7wxfJKg6RWoAoGCCqGSM49
AwEHoUQDQgAEBTUPVhePWWtzBiioDXCmDQrlzBivQ680gFgt7WL8q76R+izVjvBX
jOutGS5f1kEAJLGZCG4DlQEHO8yLBT+V1g==
-----END EC PRIVATE KEY-----
",
        "MHcCAQEEIBuCoXU/Nu4dn/rICaZz5ng/tFNJSqRKvQ7wxfJKg6RWoAoGCCqGSM49AwEHoUQDQgAEBTUPVhePWWtzBiioDXCmDQrlzBivQ680gFgt7WL8q76R+izVjvBXjOutGS5f1kEAJLGZCG4DlQEHO8yLBT+V1g==",
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgG4KhdT827h2f+sgJpnPmeD+0U0lKpEq9DvDF8kqDpFahRANCAAQFNQ9WF49Za3MGKKgNcKYNCuXMGK9DrzSAWC3tYvyrvpH6LNWO8FeM660ZLl/WQQAksZkIbgOVAQc7zIsFP5XW",
        "G4KhdT827h2f-sgJpnPmeD-0U0lKpEq9DvDF8kqDpFY",
        " G4KhdT827h2f+sgJpnPmeD+0U0lKpEq9DvDF8kqDpFY=\n",
    ];
    const PUBLIC: &str =
        "BAU1D1YXj1lrcwYoqA1wpg0K5cwYr0OvNIBYLe1i_Ku-kfos1Y7wV4zrrRkuX9ZBACSxmQhuA5UBBzvMiwU_ldY";
    /// One of the curve P-384.
    const OTHER_CURVE: &str = "MIGkAgEBBDBbNwwE1iwAReohOUqArMrFfAQJ9S5VQ2xtnV0+XrkBQbdPqEiHs3BCqOdFQEFFnFSgBwYFK4EEACKhZANiAARBRBqGnOgVdp0Zqq3XTR6/4fppGER1p0bIVMlzkRuHAYz8CiYgTcKe7xeHH/uGohMNjMLUeM//DBz7eYWLR1kQkg4DQtW6ZBXLXfp6ibM50RmBzSDweBwNTkIr6owYb8c=";

    #[test]
    fn a_key_is_taken_in_every_form_that_tools_make() {
        for form in FORMS {
            let key: VapidKey = form.parse().unwrap();
            assert_eq!(key.public_key(), PUBLIC, "{form}");
        }
    }

    #[test]
    fn other_keys_are_refused() {
        let zero = "A".repeat(43);
        for wrong in ["", "key", "!", "G4KhdT827h2f", OTHER_CURVE, &zero, "-----BEGIN PRIVATE KEY"]
        {
            assert!(wrong.parse::<VapidKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_signature_serves_a_push_service_for_hours() {
        let vapid = Vapid::new(&FORMS[0].parse().unwrap(), "mailto:ops@example.org").unwrap();
        let first = vapid.authorization("https://push.example.org").unwrap();
        assert_eq!(vapid.authorization("https://push.example.org").unwrap(), first);
        assert_ne!(vapid.authorization("https://push.example.com").unwrap(), first);
    }

    #[test]
    fn no_debug_output_shows_the_key() {
        let shown = format!("{:?}", FORMS[0].parse::<VapidKey>().unwrap());
        assert!(!shown.contains(FORMS[4]) && shown.contains(PUBLIC), "{shown}");
    }
}
