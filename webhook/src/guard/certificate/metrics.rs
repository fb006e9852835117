//! Metrics of the files of a certificate.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is measured of the files. Clones are the same.
#[derive(Clone, Debug)]
pub struct FileMetrics {
    /// Whether the files could be used at the last reading; 1 without files.
    pub usable: Gauge,
    /// Readings that found another certificate or authority.
    pub reloads: Counter,
}

impl Default for FileMetrics {
    fn default() -> Self {
        let metrics = Self { usable: Gauge::default(), reloads: Counter::default() };
        metrics.usable.set(1);
        metrics
    }
}

impl FileMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "statusguard_certificate_files_last_read_successful",
            "Whether the files of the certificate could be used at the last reading; 1 without such files",
            self.usable.clone(),
        );
        registry.register(
            "statusguard_certificate_reloads",
            "Times the files of the certificate were read because they changed",
            self.reloads.clone(),
        );
    }
}
