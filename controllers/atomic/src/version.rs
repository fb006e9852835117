//! Comparing resource versions.
//!
//! Since Kubernetes 1.35 (KEP-5504) resource versions of one resource are comparable as decimal
//! integers of any length; before that they were etcd revisions, which compare the same way.

use std::cmp::Ordering;

/// Orders two resource versions of one resource, `None` when they are not decimal integers.
///
/// ```
/// use std::cmp::Ordering;
/// assert_eq!(atomic_status::compare_versions("99", "100"), Some(Ordering::Less));
/// assert_eq!(atomic_status::compare_versions("100", "opaque"), None);
/// ```
#[must_use]
pub fn compare_versions(left: &str, right: &str) -> Option<Ordering> {
    let decimal = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
    };
    if !(decimal(left) && decimal(right)) {
        return None;
    }
    Some(left.len().cmp(&right.len()).then_with(|| left.cmp(right)))
}

pub(crate) fn is_newer(candidate: &str, than: &str) -> bool {
    compare_versions(candidate, than) == Some(Ordering::Greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_integers_of_any_length() {
        let long = "184467440737095516160";
        assert_eq!(compare_versions("18446744073709551615", long), Some(Ordering::Less));
        assert_eq!(compare_versions("7", "7"), Some(Ordering::Equal));
        assert_eq!(compare_versions("0", "1"), Some(Ordering::Less));
        for odd in ["", "01", "-1", "1.0", "abc", " 1"] {
            assert_eq!(compare_versions(odd, "1"), None, "{odd:?}");
        }
    }
}
