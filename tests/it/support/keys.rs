//! Ed25519 keys as `openssl` writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bedrock_cost_keeper::domain::signing_key::{Ed25519PrivateKey, SigningKey};

/// A private key and its public key, as PEM.
pub(crate) struct KeyPair {
    pub(crate) private: String,
    pub(crate) public: String,
}

impl KeyPair {
    /// A pair that nobody has.
    pub(crate) fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        Self { private: pair.serialize_pem(), public: pair.public_key_pem() }
    }

    pub(crate) fn signing(&self) -> SigningKey {
        SigningKey::Ed25519(Ed25519PrivateKey::from_pem(&self.private).unwrap())
    }

    pub(crate) fn kid(&self) -> String {
        self.signing().kid()
    }

    /// The 32 bytes of the public key.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        let body: String = self.public.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(body).unwrap().split_off(12)
    }
}
