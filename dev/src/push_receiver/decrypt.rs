//! What a browser does with a Web Push message (RFC 8291, RFC 8188), made of other
//! parts than the sender is.

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};

/// Before the key: a salt, the length of a record, the length of the key.
const HEADER: usize = 16 + 4 + 1;
/// An uncompressed point of P-256.
const POINT: usize = 65;

/// Decrypts a message to the owner of this key and secret; none where it is not one.
pub(super) fn decrypt(message: &[u8], key: &PrivateKey, auth: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = message.split_at_checked(HEADER)?;
    let (salt, lengths) = header.split_at(16);
    let record = u32::from_be_bytes(lengths[..4].try_into().ok()?);
    if usize::from(lengths[4]) != POINT {
        return None;
    }
    let (sender, ciphertext) = rest.split_at_checked(POINT)?;
    // A push message is one record.
    if ciphertext.len() > usize::try_from(record).ok()? {
        return None;
    }
    let own = key.compute_public_key().ok()?;
    let shared = agree(key, UnparsedPublicKey::new(&ECDH_P256, sender), (), |secret| {
        Ok(Salt::new(HKDF_SHA256, auth).extract(secret))
    });
    let mut secret = [0; 32];
    expand(&shared.ok()?, &[b"WebPush: info\0", own.as_ref(), sender], &mut secret)?;
    let keys = Salt::new(HKDF_SHA256, salt).extract(&secret);
    let (mut content, mut nonce) = ([0; 16], [0; 12]);
    expand(&keys, &[b"Content-Encoding: aes128gcm\0"], &mut content)?;
    expand(&keys, &[b"Content-Encoding: nonce\0"], &mut nonce)?;
    let opening = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content).ok()?);
    let mut text = ciphertext.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let text = opening.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
    // The last record ends with a 2, and then padding.
    let end = text.iter().rposition(|byte| *byte != 0)?;
    (text[end] == 2).then(|| text[..end].to_vec())
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(from: &Prk, info: &[&[u8]], into: &mut [u8]) -> Option<()> {
    from.expand(info, Length(into.len())).and_then(|okm| okm.fill(into)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    /// The example of RFC 8291, section 5.
    const MESSAGE: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
    const KEY: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn the_example_of_the_standard() {
        let [message, key, auth] =
            [MESSAGE, KEY, AUTH].map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        let key = PrivateKey::from_private_key(&ECDH_P256, &key).unwrap();
        let text = decrypt(&message, &key, &auth).unwrap();
        assert_eq!(text, b"When I grow up, I want to be a watermelon");

        for spoiled in [0, 20, 21, 90, message.len() - 1] {
            let mut message = message.clone();
            message[spoiled] ^= 1;
            assert_eq!(decrypt(&message, &key, &auth), None, "byte {spoiled}");
        }
        assert_eq!(decrypt(&message[..HEADER], &key, &auth), None);
        assert_eq!(decrypt(&message, &key, &auth[1..]), None);
    }
}
