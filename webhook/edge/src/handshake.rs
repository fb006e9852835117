//! Why TLS handshakes fail, in causes that an operator can act on.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use rustls::{AlertDescription, CertificateError, Error};

use crate::log_limit::LogLimit;

/// What rustls says when the resolver has no certificate to serve; it has no variant for it.
const NOTHING_TO_SERVE: &str = "no server certificate chain resolved";

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeCause {
    /// What came is not TLS.
    NotTls,
    /// The two have no version, cipher or application protocol in common.
    Protocol,
    /// There is no certificate to serve.
    NoCertificate,
    /// The peer refused the served certificate.
    Untrusted,
    /// The peer presented no certificate, and one is asked for.
    ClientCertificateMissing,
    /// The peer's certificate was refused.
    ClientCertificateRefused,
    /// The peer left before the handshake was complete.
    Disconnected,
    /// Anything else: the peer does not keep to the protocol.
    Other,
}

/// A handshake that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandshakeFailure {
    pub(crate) cause: HandshakeCause,
    error: String,
    peer: SocketAddr,
}

impl HandshakeCause {
    pub(crate) const ALL: [Self; 8] = [
        Self::NotTls,
        Self::Protocol,
        Self::NoCertificate,
        Self::Untrusted,
        Self::ClientCertificateMissing,
        Self::ClientCertificateRefused,
        Self::Disconnected,
        Self::Other,
    ];

    /// For metrics and the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Protocol => "protocol",
            Self::NoCertificate => "no_certificate",
            Self::Untrusted => "untrusted",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateRefused => "client_certificate_refused",
            Self::Disconnected => "disconnected",
            Self::Other => "other",
        }
    }

    /// Of an error of a TLS server's connection before its first request.
    pub(crate) fn of(error: &io::Error) -> Self {
        let Some(error) = of_tls(error) else { return Self::Disconnected };
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Protocol,
            Error::General(text) if text == NOTHING_TO_SERVE => Self::NoCertificate,
            Error::NoCertificatesPresented => Self::ClientCertificateMissing,
            Error::InvalidCertificate(_) => Self::ClientCertificateRefused,
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            _ => Self::Other,
        }
    }

    /// Of a fatal alert of the peer (RFC 8446, 6.2, and RFC 5246, 7.2.2).
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            // A signature is wrong, as by another key of an authority of the same name.
            | AlertDescription::DecryptError => Self::Untrusted,
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::NoApplicationProtocol => Self::Protocol,
            _ => Self::Other,
        }
    }

    /// What to say and to do where calls of the API server fail like this.
    fn remedy(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Untrusted => Some((
                "a peer refused the serving certificate",
                "if it is the API server, its calls fail: the caBundle of each entry of the webhook configuration has to \
                 hold the authority of that certificate, and the certificate has to name the Service; `statusguard certs \
                 status` compares them",
            )),
            Self::ClientCertificateMissing => Some((
                "a peer presented no client certificate",
                "if it is the API server, its calls fail: name a certificate and a key for this webhook in its \
                 --admission-control-config-file, or omit --client-ca",
            )),
            Self::ClientCertificateRefused => Some((
                "the client certificate of a peer was refused",
                "if it is the API server, its calls fail: --client-ca has to hold the authority of its certificate, and \
                 --client-name, if given, one of its names",
            )),
            _ => None,
        }
    }
}

impl HandshakeFailure {
    pub(crate) fn new(error: &io::Error, peer: SocketAddr) -> Self {
        let text = match of_tls(error) {
            // By itself rustls shows this one as the value it is.
            Some(Error::InvalidCertificate(CertificateError::Other(other))) => other.to_string(),
            _ => error.to_string(),
        };
        Self { cause: HandshakeCause::of(error), error: text, peer }
    }

    /// Each at level DEBUG; those that may be the API server's as a warning, too, as far as the limit admits it.
    pub(crate) fn log(&self, limit: &LogLimit) {
        let Self { cause, error, peer } = self;
        tracing::debug!(cause = cause.name(), %peer, error, "TLS handshake failed");
        if let Some((what, cure)) = cause.remedy()
            && let Some(left_out) = limit.admit(cause.name(), Instant::now())
        {
            tracing::warn!(cause = cause.name(), %peer, error, cure, left_out, "{what}");
        }
    }
}

/// The error of rustls in one of its connection.
fn of_tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cause_has_a_name_of_its_own() {
        let names: BTreeSet<_> = HandshakeCause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(names.len(), HandshakeCause::ALL.len());
    }

    #[test]
    fn alerts_about_the_certificate_are_told_from_others() {
        let cause = |alert| HandshakeCause::of(&io::Error::other(Error::AlertReceived(alert)));
        // What Go, OpenSSL and rustls send for an authority that they do not know, in this order.
        for alert in
            [AlertDescription::BadCertificate, AlertDescription::UnknownCA, AlertDescription::CertificateUnknown]
        {
            assert_eq!(cause(alert), HandshakeCause::Untrusted);
        }
        assert_eq!(cause(AlertDescription::CertificateExpired), HandshakeCause::Untrusted);
        assert_eq!(cause(AlertDescription::ProtocolVersion), HandshakeCause::Protocol);
        assert_eq!(cause(AlertDescription::InternalError), HandshakeCause::Other);
    }

    #[test]
    fn only_errors_of_tls_are_the_protocols() {
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut] {
            assert_eq!(HandshakeCause::of(&kind.into()), HandshakeCause::Disconnected);
        }
        let general = |text: &str| HandshakeCause::of(&io::Error::other(Error::General(text.to_owned())));
        assert_eq!(general(NOTHING_TO_SERVE), HandshakeCause::NoCertificate);
        assert_eq!(general("unreachable state"), HandshakeCause::Other);
    }
}
