//! Ed25519 keys as openssl writes them: PKCS#8 PEM for the one that signs, SPKI PEM for the one that is given away.

use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// A key file that holds no key of the right kind. What is in the file is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceKeyError {
    /// Not a private key.
    #[error(
        "it holds no unencrypted Ed25519 private key in PEM form (`openssl genpkey -algorithm ed25519`)"
    )]
    NotAPrivateKey,
    /// Not a public key.
    #[error("it holds no Ed25519 public key in PEM form (`openssl pkey -pubout`)")]
    NotAPublicKey,
}

/// The key that signs packs. Its memory is wiped when it goes.
pub struct EvidenceSigningKey(SigningKey);

impl std::fmt::Debug for EvidenceSigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EvidenceSigningKey(***)")
    }
}

impl EvidenceSigningKey {
    /// Reads the PEM form.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn parse(pem: &str) -> Result<Self, EvidenceKeyError> {
        SigningKey::from_pkcs8_pem(pem.trim())
            .map(Self)
            .map_err(|_what| EvidenceKeyError::NotAPrivateKey)
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> EvidencePublicKey {
        EvidencePublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.0.sign(text).to_bytes().to_vec()
    }
}

/// The key that checks signatures of packs.
#[derive(Debug, Clone)]
pub struct EvidencePublicKey(VerifyingKey);

impl EvidencePublicKey {
    /// Reads the PEM form.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn parse(pem: &str) -> Result<Self, EvidenceKeyError> {
        VerifyingKey::from_public_key_pem(pem.trim())
            .map(Self)
            .map_err(|_what| EvidenceKeyError::NotAPublicKey)
    }

    pub(super) fn is_signature(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(text, &signature).is_ok())
    }
}
