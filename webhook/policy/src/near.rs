//! What a misspelt name was probably meant to be.

/// Longer names are not compared.
const MAX_LENGTH: usize = 64;

/// The name that is nearest to a misspelt one: another case, or up to a third of the letters typed wrong, left out, added
/// or swapped with a neighbour. Of equally near names the first.
#[must_use]
pub fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let distance = |other: &str| match other.to_lowercase() {
        other if other == lower => 0,
        other => strsim::osa_distance(&lower, &other).max(1),
    };
    let long = |name: &str| name.is_empty() || name.chars().count() > MAX_LENGTH;
    if long(name) {
        return None;
    }
    let others = names.into_iter().filter(|other| *other != name && !long(other));
    let rated = others.map(|other| (distance(other), other));
    let (distance, found) = rated.min_by_key(|(distance, _)| *distance)?;
    let allowed = match lower.chars().count() {
        length @ ..3 => length / 2,
        length => length / 3,
    };
    (distance <= allowed).then_some(found)
}

/// A hint that names the nearest one, or else says something of all.
pub(crate) fn meant<'n>(
    name: &str,
    names: impl IntoIterator<Item = &'n str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    nearest(name, names).map_or_else(otherwise, |near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant() {
        let names = ["attempts", "phase", "startTime", "to", "Done"];
        for (name, meant) in [
            ("atempts", Some("attempts")),
            ("phsae", Some("phase")),
            ("starttime", Some("startTime")),
            ("startTimes", Some("startTime")),
            ("Dnoe", Some("Done")),
            ("too", Some("to")),
            ("phase", None),
            ("frames", None),
            ("ot", Some("to")),
            ("xy", None),
            ("t", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, names), meant, "{name}");
        }
        let long = "a".repeat(MAX_LENGTH);
        assert_eq!(nearest(&long, [&*format!("b{}", &long[1..])]), Some(&*format!("b{}", &long[1..])));
        assert_eq!(nearest(&format!("{long}a"), [&*long]), None);
    }
}
