//! What the schema of a CRD says of a value, as far as rules need it.
//!
//! Such schemas are structural: every value has one type, and the API server removes members that the schema does not
//! name, unless it keeps unknown ones.

use serde_json::Value as Json;

/// The schema of one value.
#[derive(Clone, Copy)]
pub(super) enum Schema<'c> {
    /// Anything may be there: no CRD is at hand, or it keeps unknown fields.
    Open,
    /// What a CRD says.
    Of(&'c Json),
}

/// What a schema lets a value be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SchemaType {
    Any,
    Object,
    List,
    Text,
    Number,
    NumberOrText,
    Boolean,
}

impl SchemaType {
    /// As a sentence says it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Object => "an object",
            Self::List => "a list",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::NumberOrText => "a number or a string",
            Self::Boolean => "a boolean",
        }
    }
}

/// Where a path leads out of a schema.
pub(super) struct DeadEnd<'c> {
    /// How many names of the path the schema knows.
    pub(super) known: usize,
    /// What it says of the value there.
    pub(super) schema: Schema<'c>,
}

impl<'c> Schema<'c> {
    /// The value that a path leads to.
    pub(super) fn at(self, names: &[Box<str>]) -> Result<Self, DeadEnd<'c>> {
        let mut schema = self;
        for (known, name) in names.iter().enumerate() {
            schema = schema.member(name).ok_or(DeadEnd { known, schema })?;
        }
        Ok(schema)
    }

    /// The member of an object or the entry of a map.
    pub(super) fn member(self, name: &str) -> Option<Self> {
        let Self::Of(json) = self else { return Some(Self::Open) };
        if let Some(member) = json.get("properties").and_then(|members| members.get(name)) {
            return Some(Self::Of(member));
        }
        if let Some(entry) = map_entry(json) {
            return Some(entry);
        }
        let own = flag(json, "x-kubernetes-embedded-resource") && ["apiVersion", "kind", "metadata"].contains(&name);
        (own || keeps_unknown(json) || self.kind() == SchemaType::Any).then_some(Self::Open)
    }

    /// The names of the members that an object has in its schema.
    pub(super) fn members(self) -> impl Iterator<Item = &'c str> {
        let members = match self {
            Self::Open => None,
            Self::Of(json) => json.get("properties").and_then(Json::as_object),
        };
        members.into_iter().flat_map(|members| members.keys().map(String::as_str))
    }

    /// An item of a list, or the entry of a map.
    pub(super) fn entry(self) -> Self {
        let Self::Of(json) = self else { return Self::Open };
        match self.kind() {
            SchemaType::List => json.get("items").map_or(Self::Open, Self::Of),
            SchemaType::Object => map_entry(json).unwrap_or(Self::Open),
            _ => Self::Open,
        }
    }

    /// The type, also where only its parts tell it.
    pub(super) fn kind(self) -> SchemaType {
        let Self::Of(json) = self else { return SchemaType::Any };
        if flag(json, "x-kubernetes-int-or-string") {
            return SchemaType::NumberOrText;
        }
        let has = |key: &str| json.get(key).is_some();
        match json["type"].as_str() {
            Some("object") => SchemaType::Object,
            Some("array") => SchemaType::List,
            Some("string") => SchemaType::Text,
            Some("integer" | "number") => SchemaType::Number,
            Some("boolean") => SchemaType::Boolean,
            _ if keeps_unknown(json) => SchemaType::Any,
            _ if has("properties") || has("additionalProperties") => SchemaType::Object,
            _ if has("items") => SchemaType::List,
            _ => SchemaType::Any,
        }
    }

    /// Whether the value may be of one of these types.
    pub(super) fn is(self, kinds: &[SchemaType]) -> bool {
        self.kind() == SchemaType::Any || kinds.contains(&self.kind())
    }

    /// The strings that the value may be, if the schema lists them.
    pub(super) fn texts(self) -> Option<Vec<&'c str>> {
        let Self::Of(json) = self else { return None };
        Some(json.get("enum")?.as_array()?.iter().filter_map(Json::as_str).collect())
    }

    /// Whether strings are times as RFC 3339 writes them.
    pub(super) fn is_time(self) -> bool {
        matches!(self, Self::Of(json) if json["format"] == "date-time")
    }

    /// The members that identify the items of a list, if the schema names them.
    pub(super) fn list_keys(self) -> Option<Vec<&'c str>> {
        let Self::Of(json) = self else { return None };
        Some(json.get("x-kubernetes-list-map-keys")?.as_array()?.iter().filter_map(Json::as_str).collect())
    }

    /// A path as it was probably meant: each name that is not there replaced by the nearest one.
    pub(super) fn corrected(self, names: &[Box<str>]) -> Option<Vec<String>> {
        let Some((first, rest)) = names.split_first() else { return Some(Vec::new()) };
        if matches!(self, Self::Open) {
            return Some(names.iter().map(|name| name.to_string()).collect());
        }
        let meant = match self.member(first) {
            Some(_) => first,
            None => crate::near::nearest(first, self.members())?,
        };
        let mut path = self.member(meant)?.corrected(rest)?;
        path.insert(0, meant.into());
        Some(path)
    }

    /// The only path to a member of some name, through objects alone.
    pub(super) fn only_path_to(self, name: &str) -> Option<Vec<&'c str>> {
        let mut found = None;
        let mut open = vec![(self, Vec::new())];
        while let Some((schema, path)) = open.pop() {
            for member in schema.members() {
                let inner: Vec<&str> = path.iter().copied().chain([member]).collect();
                if member == name && found.replace(inner.clone()).is_some() {
                    return None;
                }
                open.extend(schema.member(member).map(|schema| (schema, inner)));
            }
        }
        found
    }
}

fn flag(json: &Json, key: &str) -> bool {
    json[key] == true
}

fn keeps_unknown(json: &Json) -> bool {
    flag(json, "x-kubernetes-preserve-unknown-fields")
}

/// The entry of a map; none of other objects.
fn map_entry(json: &Json) -> Option<Schema<'_>> {
    match json.get("additionalProperties")? {
        Json::Bool(false) => None,
        Json::Bool(true) => Some(Schema::Open),
        entry => Some(Schema::Of(entry)),
    }
}
