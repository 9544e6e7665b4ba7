//! The certificate authority of one sandbox, and the certificate its servers show.
//!
//! On RDS a server's certificate is for the name of its endpoint. Here an endpoint is a loopback address, and a rename
//! moves a server to another one without a restart. So all servers show one certificate, which is for every address of
//! the blocks that this sandbox claimed. It is issued again when a further block is claimed; who was started before that
//! reads it again when its endpoint moves there.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, RsaKeySize, SanType, date_time_ymd,
};

use super::EngineError;
use super::fleet::private_folder;

/// The folder in a sandbox's work folder.
pub(super) const FOLDER: &str = "tls";

/// Issues the servers' certificate.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// All servers have the same key: what differs between them is nothing a client looks at.
    key: KeyPair,
    /// How many blocks of addresses the certificate on disk is for.
    blocks: Mutex<usize>,
}

impl Authority {
    /// A new authority, whose files are in `work_dir`. No server certificate is issued yet.
    pub(super) async fn create(work_dir: &Path) -> Result<Self, EngineError> {
        let folder = work_dir.join(FOLDER);
        private_folder(&folder)?;
        // RSA, as RDS has it by default (`rds-ca-rsa2048-g1`), and what the oldest servers and clients understand.
        let keys = || -> Result<_, rcgen::Error> { Ok((rsa_key()?, rsa_key()?)) };
        let (authority_key, key) = tokio::task::spawn_blocking(keys)
            .await
            .map_err(|error| failed(&folder, std::io::Error::other(error)))?
            .map_err(|error| failed(&folder, std::io::Error::other(error)))?;
        let issuer = CertifiedIssuer::self_signed(authority_params(), authority_key)
            .map_err(|error| failed(&folder, std::io::Error::other(error)))?;
        let authority = Self {
            folder,
            issuer,
            key,
            blocks: Mutex::default(),
        };
        write(&authority.ca_file(), &authority.issuer.pem(), 0o644)?;
        let file = authority.key_file();
        let key = rsa_pem(authority.key.serialized_der())
            .ok_or_else(|| failed(&file, std::io::Error::other("not an RSA key in PKCS #8")))?;
        write(&file, &key, 0o600)?;
        Ok(authority)
    }

    /// What clients have to trust.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn certificate_file(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("server-key.pem")
    }

    /// How many blocks the certificate is for: what a server that reads it now has.
    pub(super) fn blocks(&self) -> usize {
        *self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Issues the certificate for all addresses of these blocks (`127.A.B.0/24` as `(A, B)`), unless it already is.
    pub(super) fn cover(&self, blocks: &[(u8, u8)]) -> Result<(), EngineError> {
        let mut covered = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if *covered >= blocks.len() {
            return Ok(());
        }
        let file = self.certificate_file();
        let certificate = server_params(blocks)
            .signed_by(&self.key, &self.issuer)
            .map_err(|error| failed(&file, std::io::Error::other(error)))?;
        write(&file, &certificate.pem(), 0o644)?;
        *covered = blocks.len();
        Ok(())
    }

    /// What a server is started with.
    pub(super) fn options(&self) -> Vec<std::ffi::OsString> {
        [
            ("ssl-ca", self.ca_file()),
            ("ssl-cert", self.certificate_file()),
            ("ssl-key", self.key_file()),
        ]
        .map(|(name, path)| {
            let mut text = std::ffi::OsString::from(format!("--{name}="));
            text.push(path);
            text
        })
        .to_vec()
    }
}

fn failed(path: &Path, source: std::io::Error) -> EngineError {
    EngineError::io(format!("making {}", path.display()), source)
}

fn rsa_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)
}

/// The key in the older of two forms, PKCS #1: MySQL 5.6, which has yaSSL, reads no other.
fn rsa_pem(pkcs8: &[u8]) -> Option<String> {
    use base64::Engine as _;

    // A sequence of version 0, the algorithm rsaEncryption, and an octet string, which is the key as PKCS #1 has it.
    let [
        0x30,
        0x82,
        _,
        _,
        0x02,
        0x01,
        0x00,
        0x30,
        0x0d,
        0x06,
        0x09,
        0x2a,
        0x86,
        0x48,
        0x86,
        0xf7,
        0x0d,
        0x01,
        0x01,
        0x01,
        0x05,
        0x00,
        0x04,
        0x82,
        _,
        _,
        key @ ..,
    ] = pkcs8
    else {
        return None;
    };
    let text = base64::engine::general_purpose::STANDARD.encode(key);
    let mut pem = String::from("-----BEGIN RSA PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END RSA PRIVATE KEY-----\n");
    Some(pem)
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "atrest sandbox");
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // Years up to 2049 are written in the form that every library reads.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}

fn authority_params() -> CertificateParams {
    // A name of its own: the authority of another sandbox is then told as unknown, and not as one that signs badly.
    let id = uuid::Uuid::new_v4().simple().to_string();
    let mut params = params(&format!("atrest sandbox root CA {}", id.split_at(8).0));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(blocks: &[(u8, u8)]) -> CertificateParams {
    let mut params = params("atrest sandbox server");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = blocks
        .iter()
        .flat_map(|&(first, second)| {
            (1..=254).map(move |host| Ipv4Addr::new(127, first, second, host))
        })
        .map(|address| SanType::IpAddress(IpAddr::V4(address)))
        .collect();
    params
}

/// Writes a file anew in one step: a server may be reading it.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), EngineError> {
    let new = file.with_extension("new");
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&new)
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&new, file));
    written.map_err(|source| failed(file, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_certificate_is_issued_once_per_block() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path()).await.unwrap();
        let mode = |file: PathBuf| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::metadata(file).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode(authority.key_file()), 0o600);
        assert_eq!(mode(authority.folder.clone()), 0o700);
        assert_eq!(authority.blocks(), 0);
        let key = std::fs::read_to_string(authority.key_file()).unwrap();
        assert!(KeyPair::from_pem(&key).is_ok(), "it can be read again");
        let read = || std::fs::read(authority.certificate_file()).unwrap();
        authority.cover(&[(7, 8)]).unwrap();
        let first = read();
        authority.cover(&[(7, 8)]).unwrap();
        assert_eq!(first, read());
        authority.cover(&[(7, 8), (9, 200)]).unwrap();
        assert!(read().len() > first.len());
        assert_eq!(authority.blocks(), 2);
    }
}
