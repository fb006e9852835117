//! The body of `/metrics`: OpenMetrics for who asks for it, as Prometheus does, and for others the older text format,
//! which more collectors, and `promtool check metrics`, can read.

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The media type of OpenMetrics, without its parameters.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// All metrics in the format that a request accepts.
pub(crate) fn reply(registry: &Registry, headers: &HeaderMap) -> Response {
    let mut text = String::new();
    if let Err(error) = encode(&mut text, registry) {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("encoding metrics: {error}")).into_response();
    }
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.any(|value| value.contains(OPEN_METRICS)) {
        let media_type = format!("{OPEN_METRICS}; version=1.0.0; charset=utf-8");
        return ([(CONTENT_TYPE, media_type)], text).into_response();
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], plain_text(&text)).into_response()
}

/// The text format 0.0.4 of what is OpenMetrics. The formats differ in what describes a family: in OpenMetrics the
/// names of counters and infos stand there without the suffix that their samples have, and infos are gauges elsewhere.
fn plain_text(open_metrics: &str) -> String {
    let mut plain = String::with_capacity(open_metrics.len());
    // The type follows the help.
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|text| text.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            plain.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_described_by_the_names_of_their_samples() {
        let open_metrics = "# HELP a_calls Calls made.\n# TYPE a_calls counter\na_calls_total{by=\"x\"} 1\n\
            # HELP a_build The program.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
            # HELP a_seconds Time.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 0.5\n\
            a_seconds_count 1\na_seconds_bucket{le=\"+Inf\"} 1\n# HELP a_now Now.\n# TYPE a_now gauge\na_now 2\n# EOF\n";
        assert_eq!(
            plain_text(open_metrics),
            "# HELP a_calls_total Calls made.\n# TYPE a_calls_total counter\na_calls_total{by=\"x\"} 1\n\
             # HELP a_build_info The program.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
             # HELP a_seconds Time.\n# TYPE a_seconds histogram\na_seconds_sum 0.5\n\
             a_seconds_count 1\na_seconds_bucket{le=\"+Inf\"} 1\n# HELP a_now Now.\n# TYPE a_now gauge\na_now 2\n"
        );
    }
}
