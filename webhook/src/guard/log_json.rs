//! Log lines as JSON, one object each:
//! `{"timestamp": ..., "level": ..., "fields": {"message": ..., ...}, "target": ...}`.
//!
//! Of our own, because the findings of a refusal are objects, and the subscriber's JSON knows no fields but texts,
//! numbers and booleans.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::refusal_log::FINDINGS;

/// The format.
pub struct JsonLines;

#[derive(Serialize)]
struct JsonLine<'e> {
    timestamp: String,
    level: &'e str,
    fields: JsonFields,
    target: &'e str,
}

/// In the order in which the event names them.
#[derive(Default)]
struct JsonFields(Vec<(&'static str, Json)>);

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = JsonFields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = JsonLine { timestamp, level: metadata.level().as_str(), fields, target: metadata.target() };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for JsonFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl JsonFields {
    fn put(&mut self, field: &Field, value: impl Into<Json>) {
        self.0.push((field.name().trim_start_matches("r#"), value.into()));
    }
}

impl Visit for JsonFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == FINDINGS {
            // Their alternate form is JSON.
            let text = format!("{value:#?}");
            self.put(field, serde_json::from_str::<Json>(&text).unwrap_or(Json::String(text)));
        } else {
            self.put(field, format!("{value:?}"));
        }
    }
}
