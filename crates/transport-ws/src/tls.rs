//! TLS around the WebSocket: what a listener proves, and whom a dialling side believes.
//!
//! TLS is a carrier here and nothing more: the link inside proves who is who by itself. It exists because browsers
//! give pages their best cryptography only over `https`, and because much of the net carries nothing else.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ServerConfig, ServerSessionMemoryCache};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// The first byte of TLS: a record of the handshake. No HTTP request begins with it.
pub(crate) const FIRST_BYTE: u8 = 0x16;
/// The protocol inside, as browsers ask for it; there is no HTTP/2, so that one upgrade is one connection.
const HTTP: &[u8] = b"http/1.1";
/// Sessions that a listener remembers for callers who come again; one takes about 200 bytes.
const SESSIONS_MAX: usize = 256;
/// Certificates that are read from one text: a chain has three or four, a list of authorities some hundred.
const CERTIFICATES_MAX: usize = 1024;

/// Why texts of certificates and keys were not taken. Nothing was changed; correct the file that the text came from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no certificate in the text, or one that is not well formed.
    #[error("no certificates in PEM form")]
    NoCertificate,
    /// There is no private key in the text, or one of an unknown kind, such as one with a passphrase.
    #[error("no private key in PEM form without a passphrase")]
    NoKey,
    /// Key and certificate are each well formed and do not belong together, or are of a kind that TLS does not use.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(String),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// What a listener shows to prove its host name. Clones are handles of the same one, so that it can be
/// [replaced](Self::replace) while the listener runs.
#[derive(Clone)]
pub struct Certificate {
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Certificate {
    /// A chain of certificates, the listener's own first, and its private key, both as PEM text.
    ///
    /// # Errors
    /// [`TlsError`]: a text has not what it should, or the two do not fit together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self { config: Arc::new(RwLock::new(serving(chain, key)?)) })
    }

    /// Shows another certificate to whoever comes from now on. Links that are up stay.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem); the former certificate is then shown as before.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let config = serving(chain, key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<server::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

fn serving(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates(chain)?, key)?;
    config.alpn_protocols = vec![HTTP.to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// Whom a dialling side believes. Unless said, those whom this machine's operating system trusts.
#[derive(Debug, Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Only these certificates, as PEM text: authorities, or the very certificates of servers.
    ///
    /// A server whose own certificate is among them is believed under every name, because somebody chose that very
    /// key. A server with a certificate of one of the authorities must have the name that was dialled, and be in time.
    ///
    /// # Errors
    /// [`TlsError::NoCertificate`].
    pub fn only(certificates_pem: &[u8]) -> Result<Self, TlsError> {
        let chosen = certificates(certificates_pem)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(chosen.iter().cloned());
        let authorities = if roots.is_empty() {
            None
        } else {
            let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            Some(built.map_err(|error| TlsError::Unusable(error.to_string()))?)
        };
        let verifier = Arc::new(Chosen { chosen, authorities, provider: provider() });
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self { config: dialling(config) })
    }

    /// What the operating system trusts.
    fn of_platform() -> io::Result<Self> {
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            let why = loaded.errors.first().map(ToString::to_string).unwrap_or_default();
            let text = format!("this system has no certificates of authorities that it trusts: {why}");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: dialling(config) })
    }

    async fn connect<S>(&self, stream: S, host: &str) -> io::Result<client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

fn dialling(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![HTTP.to_vec()];
    Arc::new(config)
}

/// What was chosen, or what the operating system trusts, which is asked when it is first needed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Believed {
    chosen: Option<Trust>,
    platform: Arc<OnceLock<Trust>>,
}

impl From<Trust> for Believed {
    fn from(trust: Trust) -> Self {
        Self { chosen: Some(trust), platform: Arc::default() }
    }
}

impl Believed {
    pub(crate) async fn connect<S>(&self, stream: S, host: &str) -> io::Result<client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let trust = match (&self.chosen, self.platform.get()) {
            (Some(trust), _) | (None, Some(trust)) => trust,
            (None, None) => {
                // Some hundred files.
                let trust =
                    tokio::task::spawn_blocking(Trust::of_platform).await.map_err(io::Error::other)??;
                self.platform.get_or_init(|| trust)
            }
        };
        trust.connect(stream, host).await
    }
}

/// Believes servers that show a chosen certificate, or one of a chosen authority.
#[derive(Debug)]
struct Chosen {
    chosen: Vec<CertificateDer<'static>>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Chosen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // That it has the key to the certificate, its signature of the handshake shows.
        if self.chosen.iter().any(|chosen| chosen == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authorities {
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::NoCertificate),
    }
}

/// The one set of algorithms, named here so that no global choice of the process matters.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_or_key_is_told_apart() {
        let none = Certificate::from_pem(b"", b"");
        assert!(matches!(none, Err(TlsError::NoKey)));
        assert!(matches!(Trust::only(b"no pem at all"), Err(TlsError::NoCertificate)));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(Certificate::from_pem(b"", key), Err(TlsError::NoCertificate)));
        assert!(matches!(Certificate::from_pem(broken, key), Err(TlsError::Unusable(_))));
    }
}
