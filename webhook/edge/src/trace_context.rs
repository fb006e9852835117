//! The id of the API server's trace, from the `traceparent` header (W3C Trace Context).
//!
//! The guard makes no spans of its own. The id stands in its log lines and records, so that an operator finds them
//! from the API server's trace.

use axum::http::HeaderMap;

/// The trace id, 32 hexadecimal digits; `None` without a header, or with one that the standard says to ignore.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let mut parts = value.to_str().ok()?.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let not_zero = |part: &str| part.bytes().any(|byte| byte != b'0');
    // Later versions may append parts.
    let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let valid = known && hex(trace, 32) && not_zero(trace) && hex(parent, 16) && not_zero(parent) && hex(flags, 2);
    valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_accepts() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (value, expected) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), Some(TRACE)),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), Some(TRACE)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-later"), Some(TRACE)),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-later"), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7"), None),
            (format!("00-{TRACE}0-00f067aa0ba902b7-01"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7-1"), None),
            (String::new(), None),
        ] {
            let mut headers = HeaderMap::new();
            assert_eq!(trace_id(&headers), None);
            headers.insert("traceparent", value.parse().unwrap());
            assert_eq!(trace_id(&headers), expected, "{value}");
            headers.append("traceparent", value.parse().unwrap());
            assert_eq!(trace_id(&headers), None, "twice: {value}");
        }
    }
}
