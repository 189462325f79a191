//! Encrypted connections: whom the sink trusts, and as whom it comes.

use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
pub(super) use scylla::client::session::OpenSsl010Config as Tls;

use crate::pipeline::remote::CassandraTls;
use crate::pipeline::resolve;

/// A file that is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("{path:?} can not be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path:?} is no PEM file with {what}")]
    Pem {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: ErrorStack,
    },
    #[error("no TLS")]
    Library(#[from] ErrorStack),
}

/// What a sink with these settings trusts: who has signed is named, and nobody else is. The driver checks that a
/// certificate names the address of its server.
pub(super) fn of(spec: &CassandraTls, base: &Path) -> Result<Tls, TlsError> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    let path = resolve(base, &spec.ca);
    let pem = std::fs::read(&path).map_err(|source| TlsError::Read { path: path.clone(), source })?;
    let what = "certificates";
    let certificates =
        X509::stack_from_pem(&pem).map_err(|source| TlsError::Pem { path: path.clone(), what, source })?;
    if certificates.is_empty() {
        return Err(TlsError::Pem { path, what, source: ErrorStack::get() });
    }
    let mut store = X509StoreBuilder::new()?;
    certificates.into_iter().try_for_each(|certificate| store.add_cert(certificate))?;
    builder.set_cert_store(store.build());
    if let Some((certificate, key)) = spec.certificate.as_ref().zip(spec.key.as_ref()) {
        let path = resolve(base, certificate);
        let failed = |what| move |(path, source)| TlsError::Pem { path, what, source };
        builder.set_certificate_chain_file(&path).map_err(|source| (path, source)).map_err(failed("a certificate"))?;
        let path = resolve(base, key);
        builder
            .set_private_key_file(&path, SslFiletype::PEM)
            .and_then(|()| builder.check_private_key())
            .map_err(|source| (path, source))
            .map_err(failed("the key of the certificate"))?;
    }
    Ok(Tls::new(builder))
}

/// Who must act, if that is why there is no connection.
pub(super) fn advice(said: &str, is_encrypted: bool) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match is_encrypted {
        true if says(&["certificate verify failed", "certificate has expired", "IP address mismatch"]) => {
            Some("a server's certificate is not trusted, not valid, or of another address; check `tls.ca`, or renew it")
        }
        true if says(&["certificate required", "bad certificate", "handshake failure"]) => {
            Some("its servers want another certificate, or any; check `tls.certificate` and `tls.key`")
        }
        true if says(&["wrong version number", "packet length too long"]) => {
            Some("its servers do not encrypt connections; take `tls` out, or turn it on there")
        }
        _ => None,
    }
}
