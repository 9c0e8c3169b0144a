//! Access and refresh tokens: JWTs (RFC 7519) under one key, HS256.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use schemas::{
    DeviceId, MediaId, Micros, Millis, UserId,
    limits::{ACCESS_TOKEN, REFRESH_TOKEN},
};
use serde::{Deserialize, Serialize};
use store::{Family, RefreshClaim};

use crate::{config::SigningKey, session::Identity};

/// Makes and checks tokens.
pub(crate) struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

/// What a valid access token says. Whether its family is still good is the
/// directory's to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Who, on which device.
    pub identity: Identity,
    /// The device's token family at the time.
    pub family: Family,
    /// When it ends.
    pub expires: Micros,
}

/// What a valid refresh token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// Who, on which device.
    pub identity: Identity,
    /// Its family and number.
    pub claim: RefreshClaim,
}

/// Forged, expired, or for another use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid, or not any more")]
pub(crate) struct TokenError;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    dev: DeviceId,
    fam: Family,
    #[serde(rename = "use")]
    purpose: Purpose,
    /// The number of a refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num: Option<u64>,
    /// Seconds since 1970.
    exp: i64,
}

/// What the address of an upload says.
#[derive(Debug, Serialize, Deserialize)]
struct UploadClaims {
    sub: MediaId,
    own: UserId,
    #[serde(rename = "use")]
    purpose: Purpose,
    /// Seconds since 1970.
    exp: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Purpose {
    Access,
    Refresh,
    Upload,
}

impl Tokens {
    /// Tokens under this key.
    pub(crate) fn new(key: &SigningKey) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        Self {
            signing: EncodingKey::from_secret(key.as_bytes()),
            checking: DecodingKey::from_secret(key.as_bytes()),
            validation,
        }
    }

    /// An access token, good for 15 minutes from `now`.
    ///
    /// # Errors
    /// Never with a key of this type; signing is fallible by its library.
    pub(crate) fn access(
        &self,
        me: Identity,
        family: Family,
        now: Micros,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(&Claims {
            sub: me.user,
            dev: me.device,
            fam: family,
            purpose: Purpose::Access,
            num: None,
            exp: seconds(now.plus(ACCESS_TOKEN)),
        })
    }

    /// A refresh token, good for 90 days from `now` while the directory says so.
    ///
    /// # Errors
    /// As [`access`](Self::access).
    pub(crate) fn refresh(
        &self,
        me: Identity,
        claim: RefreshClaim,
        now: Micros,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(&Claims {
            sub: me.user,
            dev: me.device,
            fam: claim.family,
            purpose: Purpose::Refresh,
            num: Some(claim.number),
            exp: seconds(now.plus(REFRESH_TOKEN)),
        })
    }

    /// A secret for the address of an upload, good until it ends.
    ///
    /// # Errors
    /// As [`access`](Self::access).
    pub(crate) fn upload(
        &self,
        media: MediaId,
        owner: UserId,
        expires: Millis,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let exp = expires.0.div_euclid(1_000);
        self.sign(&UploadClaims { sub: media, own: owner, purpose: Purpose::Upload, exp })
    }

    /// Checks the secret in the address of an upload; whose it is.
    ///
    /// # Errors
    /// [`TokenError`], which does not say why.
    pub(crate) fn check_upload(&self, token: &str, media: MediaId) -> Result<UserId, TokenError> {
        let decoded = jsonwebtoken::decode(token, &self.checking, &self.validation);
        let claims: UploadClaims = decoded.map_err(|_| TokenError)?.claims;
        let is_its = claims.purpose == Purpose::Upload && claims.sub == media;
        if is_its { Ok(claims.own) } else { Err(TokenError) }
    }

    /// Checks an access token's signature, use and time.
    ///
    /// # Errors
    /// [`TokenError`], which does not say why.
    pub(crate) fn check_access(&self, token: &str) -> Result<Access, TokenError> {
        let claims = self.check(token, &Purpose::Access)?;
        Ok(Access {
            identity: Identity { user: claims.sub, device: claims.dev },
            family: claims.fam,
            expires: Micros(claims.exp.saturating_mul(1_000_000)),
        })
    }

    /// Checks a refresh token's signature, use and time.
    ///
    /// # Errors
    /// [`TokenError`], which does not say why.
    pub(crate) fn check_refresh(&self, token: &str) -> Result<Refresh, TokenError> {
        let claims = self.check(token, &Purpose::Refresh)?;
        let number = claims.num.ok_or(TokenError)?;
        Ok(Refresh {
            identity: Identity { user: claims.sub, device: claims.dev },
            claim: RefreshClaim { family: claims.fam, number },
        })
    }

    fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing)
    }

    fn check(&self, token: &str, purpose: &Purpose) -> Result<Claims, TokenError> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation);
        let claims = decoded.map_err(|_| TokenError)?.claims;
        if claims.purpose == *purpose { Ok(claims) } else { Err(TokenError) }
    }
}

fn seconds(moment: Micros) -> i64 {
    moment.0.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::Engine as _;

    use super::*;

    fn tokens(secret: u8) -> Tokens {
        let key = base64::engine::general_purpose::STANDARD.encode([secret; 32]);
        Tokens::new(&key.parse().unwrap())
    }

    fn me() -> Identity {
        Identity { user: UserId::mint(), device: DeviceId::mint() }
    }

    #[test]
    fn an_access_token_names_user_and_device_until_it_expires() {
        let (tokens, me, family, now) = (tokens(1), me(), Family::mint(), Micros::now());
        let access = tokens.check_access(&tokens.access(me, family, now).unwrap()).unwrap();
        assert_eq!((access.identity, access.family), (me, family));
        let old = now.minus(ACCESS_TOKEN).minus(std::time::Duration::from_secs(1));
        assert_eq!(tokens.check_access(&tokens.access(me, family, old).unwrap()), Err(TokenError));
    }

    #[test]
    fn one_kind_is_not_taken_for_the_other() {
        let (tokens, me, now) = (tokens(1), me(), Micros::now());
        let claim = RefreshClaim { family: Family::mint(), number: 3 };
        let refresh = tokens.refresh(me, claim, now).unwrap();
        assert_eq!(tokens.check_refresh(&refresh).unwrap(), Refresh { identity: me, claim });
        assert_eq!(tokens.check_access(&refresh), Err(TokenError));
        let access = tokens.access(me, claim.family, now).unwrap();
        assert_eq!(tokens.check_refresh(&access), Err(TokenError));
    }

    #[test]
    fn an_upload_has_a_secret_of_its_own_until_it_ends() {
        let (tokens, media, owner) = (tokens(1), MediaId::mint(), UserId::mint());
        let good = |expires| tokens.upload(media, owner, Millis(expires)).unwrap();
        let (now, minute) = (Millis::now().0, 60_000);
        let secret = good(now + minute);
        assert_eq!(tokens.check_upload(&secret, media), Ok(owner));
        assert_eq!(tokens.check_upload(&secret, MediaId::mint()), Err(TokenError));
        assert_eq!(tokens.check_upload(&good(now - minute), media), Err(TokenError));
        assert_eq!(tokens.check_access(&secret), Err(TokenError));
        let access = tokens.access(me(), Family::mint(), Micros::now()).unwrap();
        assert_eq!(tokens.check_upload(&access, media), Err(TokenError));
    }

    #[test]
    fn forged_tokens_are_refused() {
        let (me, now) = (me(), Micros::now());
        let forged = tokens(2).access(me, Family::mint(), now).unwrap();
        assert_eq!(tokens(1).check_access(&forged), Err(TokenError));
        let good = tokens(1).access(me, Family::mint(), now).unwrap();
        let payload = good.split('.').nth(1).unwrap();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        for bad in [none.as_str(), "", ".", "..", "a.b.c", &good[..good.len() - 2]] {
            assert_eq!(tokens(1).check_access(bad), Err(TokenError), "{bad}");
        }
    }
}
