//! Walks a request body and fills in a [`Review`], field by field.

use std::borrow::Cow;

use crate::cursor::{Cursor, Hints, plain_key, text};
use crate::malformed::{Malformed, Problem};
use crate::review::{Metadata, Names, Object, Operation, Review};

/// Names, uids and users, in bytes: they are copied into replies, records and log lines. Names of objects have 253
/// at most, uids 36.
const LONGEST_TEXT: usize = 4096;

/// What has been read so far, so that a problem further on can still name the uid.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    api_version: Option<Cow<'a, str>>,
    kind_of_body: Option<Cow<'a, str>>,
    request: bool,
    uid: Option<Cow<'a, str>>,
    operation: Option<Operation>,
    kind: Option<Names<'a>>,
    resource: Option<Names<'a>>,
    sub_resource: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    namespace: Option<Cow<'a, str>>,
    dry_run: Option<bool>,
    user_info: bool,
    user: Option<Cow<'a, str>>,
    groups: Option<&'a [u8]>,
    options: bool,
    field_manager: Option<Cow<'a, str>>,
    object: Option<Object<'a>>,
    old_object: Option<Object<'a>>,
}

/// The hints that the object read first leaves for the other.
struct Twin<'a> {
    members: Hints<'a>,
    metadata: Hints<'a>,
    first: Option<(&'a [u8], Metadata<'a>)>,
}

impl Problem {
    fn after(self, uid: Option<Cow<'_, str>>) -> Malformed {
        Malformed { uid: uid.map(Cow::into_owned), problem: self }
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Review<'a>, Malformed> {
        let mut draft = Self::default();
        match draft.body(body) {
            Ok(()) => draft.finish(),
            Err(problem) => Err(problem.after(draft.uid)),
        }
    }

    fn finish(self) -> Result<Review<'a>, Malformed> {
        let missing = |field| Problem::Missing(field).after(self.uid.clone());
        if self.kind_of_body.as_deref() != Some("AdmissionReview")
            || self.api_version.as_deref() != Some("admission.k8s.io/v1")
        {
            return Err(Problem::Version.after(self.uid));
        }
        if !self.request {
            return Err(missing("request"));
        }
        let uid = match &self.uid {
            Some(uid) if !uid.is_empty() => uid.clone(),
            _ => return Err(Problem::Missing("request.uid").after(None)),
        };
        Ok(Review {
            operation: self.operation.ok_or_else(|| missing("request.operation"))?,
            kind: self.kind.ok_or_else(|| Problem::Missing("request.kind").after(Some(uid.clone())))?,
            resource: self.resource.ok_or_else(|| Problem::Missing("request.resource").after(Some(uid.clone())))?,
            sub_resource: self.sub_resource.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            namespace: self.namespace.unwrap_or_default(),
            dry_run: self.dry_run.unwrap_or_default(),
            user: self.user.unwrap_or_default(),
            field_manager: self.field_manager,
            object: self.object,
            old_object: self.old_object,
            groups: self.groups.unwrap_or(b"[]"),
            uid,
        })
    }

    fn body(&mut self, body: &'a [u8]) -> Result<(), Problem> {
        let mut cursor = Cursor::new(body);
        members(&mut cursor, "the body", |cursor, key, _| {
            match key {
                b"apiVersion" => string(cursor, "apiVersion", &mut self.api_version)?,
                b"kind" => string(cursor, "kind", &mut self.kind_of_body)?,
                b"request" => {
                    once(&mut self.request, "request")?;
                    self.request(cursor)?;
                }
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })?;
        cursor.finish()
    }

    fn request(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Problem> {
        let mut twin = Twin { members: Hints::new(), metadata: Hints::new(), first: None };
        members(cursor, "request", |cursor, key, _| {
            match key {
                b"uid" => string(cursor, "request.uid", &mut self.uid)?,
                b"operation" => self.operation(cursor)?,
                b"kind" => names(cursor, "request.kind", b"kind", &mut self.kind)?,
                b"resource" => {
                    names(cursor, "request.resource", b"resource", &mut self.resource)?;
                }
                b"subResource" => {
                    string(cursor, "request.subResource", &mut self.sub_resource)?;
                }
                b"name" => string(cursor, "request.name", &mut self.name)?,
                b"namespace" => string(cursor, "request.namespace", &mut self.namespace)?,
                b"dryRun" => self.dry_run(cursor)?,
                b"userInfo" => {
                    once(&mut self.user_info, "request.userInfo")?;
                    self.user_info(cursor)?;
                }
                b"options" => {
                    once(&mut self.options, "request.options")?;
                    self.options(cursor)?;
                }
                b"object" => twin.object(cursor, "request.object", &mut self.object)?,
                b"oldObject" => {
                    twin.object(cursor, "request.oldObject", &mut self.old_object)?;
                }
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })
    }

    fn operation(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Problem> {
        let mut word = None;
        string(cursor, "request.operation", &mut word)?;
        let operation = match word.as_deref() {
            Some("CREATE") => Operation::Create,
            Some("UPDATE") => Operation::Update,
            Some("DELETE") => Operation::Delete,
            Some("CONNECT") => Operation::Connect,
            _ => return Err(Problem::Operation),
        };
        put(&mut self.operation, "request.operation", operation)
    }

    fn dry_run(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Problem> {
        let field = "request.dryRun";
        match cursor.value()? {
            b"true" => put(&mut self.dry_run, field, true),
            b"false" => put(&mut self.dry_run, field, false),
            b"null" => Ok(()),
            _ => Err(Problem::WrongType { field, expected: "true or false" }),
        }
    }

    fn user_info(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Problem> {
        optional_members(cursor, "request.userInfo", |cursor, key, _| {
            match key {
                b"username" => string(cursor, "request.userInfo.username", &mut self.user)?,
                b"groups" => {
                    let groups = cursor.value()?;
                    put(&mut self.groups, "request.userInfo.groups", groups)?;
                }
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })
        .map(|_| ())
    }

    fn options(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Problem> {
        optional_members(cursor, "request.options", |cursor, key, _| {
            match key {
                b"fieldManager" => {
                    string(cursor, "request.options.fieldManager", &mut self.field_manager)?;
                }
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })
        .map(|_| ())
    }
}

impl<'a> Twin<'a> {
    fn object(
        &mut self,
        cursor: &mut Cursor<'a>,
        field: &'static str,
        slot: &mut Option<Object<'a>>,
    ) -> Result<(), Problem> {
        let mut object = Object::default();
        let mut has_metadata = false;
        let second = self.first.is_some();
        let mut metadata_bytes: &[u8] = &[];
        let found = optional_members(cursor, field, |cursor, key, raw_key| {
            let hint = if second { self.members.get(raw_key) } else { None };
            let start = cursor.at();
            match key {
                b"metadata" => {
                    once(&mut has_metadata, "metadata of an object")?;
                    object.metadata = self.metadata(cursor)?;
                    metadata_bytes = cursor.since(start);
                }
                b"status" => {
                    let status = cursor.value_like(hint)?;
                    put(&mut object.status, "status of an object", status)?;
                }
                _ => {
                    cursor.value_like(hint)?;
                }
            }
            if !second {
                self.members.keep(raw_key, cursor.since(start));
            }
            Ok(())
        })?;
        if !found {
            return Ok(());
        }
        if !second {
            self.first = Some((metadata_bytes, object.metadata.clone()));
        }
        put(slot, field, object)
    }

    fn metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<Metadata<'a>, Problem> {
        if let Some((bytes, known)) = &self.first
            && cursor.skip_if(bytes)
        {
            return Ok(known.clone());
        }
        let second = self.first.is_some();
        let mut metadata = Metadata::default();
        optional_members(cursor, "metadata of an object", |cursor, key, raw_key| {
            let hint = if second { self.metadata.get(raw_key) } else { None };
            let start = cursor.at();
            let value = cursor.value_like(hint)?;
            match key {
                b"generation" => put(&mut metadata.generation, "generation", value)?,
                b"deletionTimestamp" if value != b"null" => {
                    put(&mut metadata.deletion_timestamp, "deletionTimestamp", value)?;
                }
                b"managedFields" => put(&mut metadata.managed_fields, "managedFields", value)?,
                b"name" => put_text(&mut metadata.name, "metadata.name", value)?,
                b"namespace" => put_text(&mut metadata.namespace, "metadata.namespace", value)?,
                b"uid" => put_text(&mut metadata.uid, "metadata.uid", value)?,
                b"resourceVersion" => {
                    let field = "metadata.resourceVersion";
                    put_text(&mut metadata.resource_version, field, value)?;
                }
                _ => {}
            }
            if !second {
                self.metadata.keep(raw_key, cursor.since(start));
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

/// Calls `each` with the cursor at each value of the object here, its key and the key as it stands.
fn members<'a>(
    cursor: &mut Cursor<'a>,
    field: &'static str,
    each: impl FnMut(&mut Cursor<'a>, &[u8], &'a [u8]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    if optional_members(cursor, field, each)? { Ok(()) } else { Err(Problem::Missing(field)) }
}

/// As [`members`], but `null` is allowed and `false`.
fn optional_members<'a>(
    cursor: &mut Cursor<'a>,
    field: &'static str,
    mut each: impl FnMut(&mut Cursor<'a>, &[u8], &'a [u8]) -> Result<(), Problem>,
) -> Result<bool, Problem> {
    if !cursor.enter_object()? {
        return match cursor.value()? {
            b"null" => Ok(false),
            _ => Err(Problem::WrongType { field, expected: "an object" }),
        };
    }
    let mut first = true;
    while let Some(raw) = cursor.key(&mut first)? {
        each(cursor, &plain_key(raw)?, raw)?;
    }
    Ok(true)
}

fn names<'a>(
    cursor: &mut Cursor<'a>,
    field: &'static str,
    name_key: &'static [u8],
    slot: &mut Option<Names<'a>>,
) -> Result<(), Problem> {
    let (mut group, mut version, mut name) = (None, None, None);
    let found = optional_members(cursor, field, |cursor, key, _| {
        match key {
            b"group" => string(cursor, field, &mut group)?,
            b"version" => string(cursor, field, &mut version)?,
            key if key == name_key => string(cursor, field, &mut name)?,
            _ => {
                cursor.value()?;
            }
        }
        Ok(())
    })?;
    if !found {
        return Ok(());
    }
    let names = Names {
        group: group.unwrap_or_default(),
        version: version.unwrap_or_default(),
        name: name.ok_or(Problem::Missing(field))?,
    };
    put(slot, field, names)
}

fn string<'a>(cursor: &mut Cursor<'a>, field: &'static str, slot: &mut Option<Cow<'a, str>>) -> Result<(), Problem> {
    let raw = cursor.value()?;
    put_text(slot, field, raw)
}

fn put_text<'a>(slot: &mut Option<Cow<'a, str>>, field: &'static str, raw: &'a [u8]) -> Result<(), Problem> {
    match text(field, raw)? {
        Some(text) if text.len() > LONGEST_TEXT => Err(Problem::TooLong { field, limit: LONGEST_TEXT }),
        Some(text) => put(slot, field, text),
        None => Ok(()),
    }
}

fn put<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), Problem> {
    if slot.is_some() {
        return Err(Problem::Duplicate(field));
    }
    *slot = Some(value);
    Ok(())
}

fn once(seen: &mut bool, field: &'static str) -> Result<(), Problem> {
    if std::mem::replace(seen, true) {
        return Err(Problem::Duplicate(field));
    }
    Ok(())
}
