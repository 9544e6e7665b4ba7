//! Signatures of Standard Webhooks 1.0 (<https://www.standardwebhooks.com>): HMAC-SHA256 of `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

/// Before a key that is written in Base64.
const PREFIX: &str = "whsec_";
/// Shortest key, in bytes.
const LEAST: usize = 24;

/// What events are signed with.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// `whsec_` and Base64, or the text itself. The error says what is wrong, and nothing of the key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix(PREFIX) {
            None => text.as_bytes().to_vec(),
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_position| format!("is not Base64 after {PREFIX}"))?,
        };
        let bytes = SecretSlice::from(bytes);
        let bytes = bytes.expose_secret();
        if bytes.len() < LEAST {
            return Err(format!("has {} bytes, and {LEAST} are needed", bytes.len()));
        }
        Hmac::new_from_slice(bytes)
            .map(Self)
            .map_err(|_length| "has a length that HMAC does not take".to_owned())
    }

    /// Value of the header `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        // From the tests of the reference libraries.
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            key.sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                "{\"test\": 2432232314}"
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_bad_key_is_refused_and_not_shown() {
        for bad in ["", "short", "whsec_!!!!", "whsec_c2hvcnQ="] {
            let why = Key::parse(bad).unwrap_err();
            assert!(!why.contains("short") && !why.contains("!!!!"), "{why}");
        }
        let key = Key::parse("correct-horse-battery-staple").unwrap();
        assert!(!format!("{key:?}").contains("horse"));
    }
}
