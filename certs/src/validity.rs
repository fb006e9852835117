//! Times of certificates.

use rcgen::CertificateParams;
use rustls::pki_types::CertificateDer;
use statusguard_rotation::{UnixTime, Validity};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::error::CertificateError;

/// A time as people and programs read it (RFC 3339); empty for years beyond 9999.
#[must_use]
pub fn rfc3339(time: UnixTime) -> String {
    let time = k8s_openapi::jiff::Timestamp::from_second(time.seconds());
    time.map_or_else(|_| String::new(), |time| time.to_string())
}

/// A time from its text (RFC 3339).
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<UnixTime> {
    let time: k8s_openapi::jiff::Timestamp = text.parse().ok()?;
    Some(UnixTime::from_seconds(time.as_second()))
}

/// From when until when a certificate in DER holds.
///
/// # Errors
/// When it cannot be read.
pub fn certificate_validity(certificate: &CertificateDer<'_>) -> Result<Validity, CertificateError> {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map(|(_, parsed)| validity(&parsed)).map_err(|error| CertificateError::Malformed(error.to_string()))
}

/// From when until when a certificate holds (RFC 5280, 4.1.2.5).
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let validity = certificate.validity();
    let [not_before, not_after] =
        [validity.not_before, validity.not_after].map(|time| UnixTime::from_seconds(time.timestamp()));
    Validity { not_before, not_after }
}

/// Writes it into a certificate that is to be made.
pub(crate) fn set_validity(params: &mut CertificateParams, validity: Validity) -> Result<(), CertificateError> {
    let time = |time: UnixTime| {
        OffsetDateTime::from_unix_timestamp(time.seconds()).map_err(|_| CertificateError::Time(time.seconds()))
    };
    (params.not_before, params.not_after) = (time(validity.not_before)?, time(validity.not_after)?);
    Ok(())
}
