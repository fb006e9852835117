//! From JSON to the typed spec. serde stops at the first value that it cannot read; here that value is
//! reported, replaced in a copy, and the copy is read again, until everything wrong is named.

use std::fmt;

use serde_json::Value as Json;
use serde_path_to_error::Segment;

use super::compiler::Compiler;
use super::keys::SpecKeys;
use crate::near::nearest;
use crate::spec::StatusPolicySpec;

/// Values that cannot be read and are named in one go; each costs one more reading.
const MAX_UNREAD: usize = 64;

const HINT: &str = "the reference of the language has the type of each key";

impl Compiler<'_> {
    /// The typed spec, with unknown keys and everything of a wrong type reported.
    pub(super) fn spec(&mut self, document: &Json) -> Option<StatusPolicySpec> {
        let Some(json @ Json::Object(_)) = document.get("spec") else {
            self.error("spec", "missing, or not an object", "say at least `target`");
            return None;
        };
        let mut json = json.clone();
        self.objects("spec", "spec", &mut json);
        for _ in 0..=MAX_UNREAD {
            let mut unknown = Vec::new();
            let mut track = serde_path_to_error::Track::new();
            let reader = serde_path_to_error::Deserializer::new(&json, &mut track);
            let mut note = |path: serde_ignored::Path<'_>| unknown.push(format!("spec{}", Ignored(&path)));
            let read: Result<StatusPolicySpec, _> = serde_ignored::deserialize(reader, &mut note);
            match read {
                Ok(spec) => {
                    self.unknown_keys(unknown);
                    return Some(spec);
                }
                Err(error) => {
                    let segments: Vec<Segment> = track.path().iter().cloned().collect();
                    if !self.mend(&mut json, &segments, &error.to_string()) {
                        return None;
                    }
                }
            }
        }
        self.error("spec", "more values cannot be read", "correct the values that are listed first");
        None
    }

    fn unknown_keys(&mut self, paths: Vec<String>) {
        let keys = if paths.is_empty() { None } else { Some(SpecKeys::new()) };
        for path in paths {
            let machine = path == "spec.phase" || path.ends_with(".each.phase");
            let hint = match machine {
                true => "write `phases`, a list with one machine each".into(),
                false => keys.as_ref().map(|keys| keys.hint(&path)).unwrap_or_default(),
            };
            self.key_error(path, "unknown key", hint);
        }
    }

    /// Reports every value that is to be an object and is none. serde would take a list for an object,
    /// its items for the members in order.
    fn objects(&mut self, key: &str, at: &str, json: &mut Json) {
        let (objects, lists) = members(key);
        if lists.contains(&"phases") && json.get("phase").is_some() && json.get("phases").is_none() {
            // What rules say of its phases is not their mistake.
            self.unread.insert(format!("{at}.phases"));
        }
        for name in objects {
            let path = format!("{at}.{name}");
            match json.get_mut(*name) {
                Some(Json::Null) if *name == "each" => self.warning(
                    path,
                    "`each` has no value, which is as if it were not there: entries do not change",
                    "write `each: {}` if their content is not to be guarded, or remove the key",
                ),
                None | Some(Json::Null) => {}
                Some(value @ Json::Object(_)) => self.objects(name, &path, value),
                Some(value) => {
                    *value = self.no_object(name, path);
                    // Rules below are optional, but a target is not.
                    if *name != "target" && *name != "states" {
                        *value = Json::Null;
                    }
                }
            }
        }
        for name in lists {
            for (index, item) in json.get_mut(*name).and_then(Json::as_array_mut).into_iter().flatten().enumerate() {
                let path = format!("{at}.{name}[{index}]");
                if item.is_object() {
                    self.objects(name, &path, item);
                } else {
                    *item = self.no_object(name, path);
                }
            }
        }
    }

    /// Reports a value that is to be an object, and gives one that can be read.
    fn no_object(&mut self, name: &str, path: String) -> Json {
        self.error(path.clone(), "expected an object", "write `name: value` members, not a list or a plain value");
        self.unread.insert(path);
        let required: &[&str] = match name {
            "transitions" => &["from", "to"],
            "equal" => &["left", "right"],
            "phases" | "monotone" | "setOnce" | "collections" => &["path"],
            "target" => &["group", "version", "resource"],
            _ => &[],
        };
        Json::Object(required.iter().map(|name| ((*name).into(), stub(name))).collect())
    }

    /// Reports what serde says of a place, and makes the place readable. Items of lists stay, so that the
    /// places of the others do not move. False if that cannot be done.
    fn mend(&mut self, json: &mut Json, segments: &[Segment], message: &str) -> bool {
        // serde names the object that lacks the member.
        if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            let (at, member) = (shown(segments), format!("{}.{name}", shown(segments)));
            if !self.unread(&member) {
                self.error(at, message, HINT);
                self.unread.insert(member);
            }
            let Some(Json::Object(members)) = find(json, segments) else { return false };
            members.insert(name.into(), stub(name));
            return true;
        }
        if matches!(segments.last(), Some(Segment::Map { key }) if key == "phases") {
            self.error(shown(segments), "expected a list", "write one machine each, as the items of a list");
        } else {
            self.error(shown(segments), message, variant(message).unwrap_or_else(|| HINT.into()));
        }
        // Lists of anything but text are dealt with by `objects`.
        if let (Some(Segment::Seq { .. }), Some(item)) = (segments.last(), find(json, segments)) {
            *item = Json::String(String::new());
            self.unread.insert(shown(segments));
            return true;
        }
        // The member goes; if it has to be there, it is missing next and is not reported again.
        let Some(last) = segments.iter().rposition(|segment| matches!(segment, Segment::Map { .. })) else {
            return false;
        };
        let (Some(Json::Object(members)), Segment::Map { key }) = (find(json, &segments[..last]), &segments[last])
        else {
            return false;
        };
        members.remove(key);
        self.unread.insert(shown(&segments[..=last]));
        true
    }
}

/// A hint for a value that is none of those which serde lists.
fn variant(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown variant ")?.split('`').skip(1).step_by(2);
    let near = nearest(quoted.next()?, quoted)?;
    Some(format!("did you mean `{near}`?"))
}

/// Members of an object whose values are objects, and those whose values are lists of objects.
fn members(key: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match key {
        "spec" => (&["target", "exempt", "modeIn"], &["phases", "monotone", "setOnce", "collections", "equal"]),
        "each" => (&[], &["phases", "monotone", "setOnce", "collections", "equal"]),
        "target" => (&["namespaceSelector", "objectSelector"], &[]),
        "phases" => (&["states", "resets"], &["transitions"]),
        "monotone" | "setOnce" => (&["resets"], &[]),
        "collections" => (&["each", "resets"], &[]),
        _ => (&[], &[]),
    }
}

/// What stands in place of a member that has to be there.
fn stub(name: &str) -> Json {
    match name {
        "target" => Json::Object(serde_json::Map::new()),
        "from" | "to" | "left" | "right" => Json::Array(Vec::new()),
        _ => Json::String(String::new()),
    }
}

fn find<'j>(json: &'j mut Json, segments: &[Segment]) -> Option<&'j mut Json> {
    segments.iter().try_fold(json, |json, segment| match segment {
        Segment::Map { key } => json.get_mut(key),
        Segment::Seq { index } => json.get_mut(*index),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// A path below `spec` as the other paths are printed.
fn shown(segments: &[Segment]) -> String {
    let mut path = String::from("spec");
    for segment in segments {
        match segment {
            Segment::Seq { index } => path.push_str(&format!("[{index}]")),
            Segment::Map { key } => path.push_str(&format!(".{key}")),
            // Variants are values of this language, not places in it.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    path
}

/// Prints a path of `serde_ignored` the way the other paths are printed.
struct Ignored<'p, 'd>(&'p serde_ignored::Path<'d>);

impl fmt::Display for Ignored<'_, '_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use serde_ignored::Path as P;
        match self.0 {
            P::Root => Ok(()),
            P::Seq { parent, index } => write!(out, "{}[{index}]", Ignored(parent)),
            P::Map { parent, key } => write!(out, "{}.{key}", Ignored(parent)),
            P::Some { parent } | P::NewtypeStruct { parent } | P::NewtypeVariant { parent } => {
                write!(out, "{}", Ignored(parent))
            }
        }
    }
}
