//! [`Review::read`]: walks a request body and fills in a review, field by field.

use std::borrow::Cow;

use crate::cursor::{Cursor, KnownValues, plain_key, text};
use crate::malformed::{MalformedReason, MalformedReview};
use crate::review::{ApiType, Metadata, Review, ReviewObject, ReviewOperation};

/// Bytes of a review's own uid, which a reply has to repeat whole. Those of the API server have 36. All other texts may
/// have any length: a user's name is not the guard's to refuse.
const LONGEST_UID: usize = 4096;

/// What has been read so far, so that a problem further on can still name the uid.
#[derive(Default)]
struct ReviewParser<'a> {
    api_version: Option<Cow<'a, str>>,
    kind_of_body: Option<Cow<'a, str>>,
    request: bool,
    uid: Option<Cow<'a, str>>,
    operation: Option<ReviewOperation>,
    kind: Option<ApiType<'a>>,
    resource: Option<ApiType<'a>>,
    sub_resource: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    namespace: Option<Cow<'a, str>>,
    dry_run: Option<bool>,
    user_info: bool,
    user: Option<Cow<'a, str>>,
    groups: Option<&'a [u8]>,
    options: bool,
    field_manager: Option<Cow<'a, str>>,
    object: Option<ReviewObject<'a>>,
    old_object: Option<ReviewObject<'a>>,
}

/// The values of the object read first, to compare those of the other with.
struct ObjectPair<'a> {
    members: KnownValues<'a>,
    metadata: KnownValues<'a>,
    first: Option<(&'a [u8], Metadata<'a>)>,
}

impl MalformedReason {
    fn after(self, uid: Option<Cow<'_, str>>) -> MalformedReview {
        MalformedReview { uid: uid.map(Cow::into_owned), reason: self }
    }
}

impl<'a> Review<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`MalformedReview`] when the body is not an AdmissionReview v1 with a uid, an operation, a kind
    /// and a resource.
    pub fn read(body: &'a [u8]) -> Result<Self, MalformedReview> {
        let mut parser = ReviewParser::default();
        match parser.body(body) {
            Ok(()) => parser.finish(),
            Err(reason) => Err(reason.after(parser.uid)),
        }
    }
}

impl<'a> ReviewParser<'a> {
    fn finish(self) -> Result<Review<'a>, MalformedReview> {
        let missing = |field| MalformedReason::Missing(field).after(self.uid.clone());
        if self.kind_of_body.as_deref() != Some("AdmissionReview")
            || self.api_version.as_deref() != Some("admission.k8s.io/v1")
        {
            return Err(MalformedReason::Version.after(self.uid));
        }
        if !self.request {
            return Err(missing("request"));
        }
        let uid = match &self.uid {
            Some(uid) if !uid.is_empty() => uid.clone(),
            _ => return Err(MalformedReason::Missing("request.uid").after(None)),
        };
        Ok(Review {
            operation: self.operation.ok_or_else(|| missing("request.operation"))?,
            kind: self.kind.ok_or_else(|| MalformedReason::Missing("request.kind").after(Some(uid.clone())))?,
            resource: self
                .resource
                .ok_or_else(|| MalformedReason::Missing("request.resource").after(Some(uid.clone())))?,
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

    fn body(&mut self, body: &'a [u8]) -> Result<(), MalformedReason> {
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

    fn request(&mut self, cursor: &mut Cursor<'a>) -> Result<(), MalformedReason> {
        let mut objects = ObjectPair { members: KnownValues::new(), metadata: KnownValues::new(), first: None };
        members(cursor, "request", |cursor, key, _| {
            match key {
                b"uid" => self.uid(cursor)?,
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
                b"object" => objects.object(cursor, "request.object", &mut self.object)?,
                b"oldObject" => {
                    objects.object(cursor, "request.oldObject", &mut self.old_object)?;
                }
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })
    }

    fn uid(&mut self, cursor: &mut Cursor<'a>) -> Result<(), MalformedReason> {
        let field = "request.uid";
        match text(field, cursor.value()?)? {
            Some(uid) if uid.len() > LONGEST_UID => Err(MalformedReason::TooLong { field, limit: LONGEST_UID }),
            Some(uid) => put(&mut self.uid, field, uid),
            None => Ok(()),
        }
    }

    fn operation(&mut self, cursor: &mut Cursor<'a>) -> Result<(), MalformedReason> {
        let mut word = None;
        string(cursor, "request.operation", &mut word)?;
        let operation = match word.as_deref() {
            Some("CREATE") => ReviewOperation::Create,
            Some("UPDATE") => ReviewOperation::Update,
            Some("DELETE") => ReviewOperation::Delete,
            Some("CONNECT") => ReviewOperation::Connect,
            _ => return Err(MalformedReason::UnknownOperation),
        };
        put(&mut self.operation, "request.operation", operation)
    }

    fn dry_run(&mut self, cursor: &mut Cursor<'a>) -> Result<(), MalformedReason> {
        let field = "request.dryRun";
        match cursor.value()? {
            b"true" => put(&mut self.dry_run, field, true),
            b"false" => put(&mut self.dry_run, field, false),
            b"null" => Ok(()),
            _ => Err(MalformedReason::WrongType { field, expected: "true or false" }),
        }
    }

    fn user_info(&mut self, cursor: &mut Cursor<'a>) -> Result<(), MalformedReason> {
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

    fn options(&mut self, cursor: &mut Cursor<'a>) -> Result<(), MalformedReason> {
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

impl<'a> ObjectPair<'a> {
    fn object(
        &mut self,
        cursor: &mut Cursor<'a>,
        field: &'static str,
        slot: &mut Option<ReviewObject<'a>>,
    ) -> Result<(), MalformedReason> {
        let mut object = ReviewObject::default();
        let mut has_metadata = false;
        let second = self.first.is_some();
        let mut metadata_bytes: &[u8] = &[];
        let found = optional_members(cursor, field, |cursor, key, raw_key| {
            let known = if second { self.members.get(raw_key) } else { None };
            let start = cursor.at();
            match key {
                b"metadata" => {
                    once(&mut has_metadata, "metadata of an object")?;
                    object.metadata = self.metadata(cursor)?;
                    metadata_bytes = cursor.since(start);
                }
                b"status" => {
                    let status = cursor.value_like(known)?;
                    put(&mut object.status, "status of an object", status)?;
                }
                _ => {
                    cursor.value_like(known)?;
                }
            }
            if !second {
                self.members.insert(raw_key, cursor.since(start));
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

    fn metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<Metadata<'a>, MalformedReason> {
        if let Some((bytes, known)) = &self.first
            && cursor.skip_if(bytes)
        {
            return Ok(known.clone());
        }
        let second = self.first.is_some();
        let mut metadata = Metadata::default();
        optional_members(cursor, "metadata of an object", |cursor, key, raw_key| {
            let known = if second { self.metadata.get(raw_key) } else { None };
            let start = cursor.at();
            let value = cursor.value_like(known)?;
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
                self.metadata.insert(raw_key, cursor.since(start));
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
    each: impl FnMut(&mut Cursor<'a>, &[u8], &'a [u8]) -> Result<(), MalformedReason>,
) -> Result<(), MalformedReason> {
    if optional_members(cursor, field, each)? { Ok(()) } else { Err(MalformedReason::Missing(field)) }
}

/// As [`members`], but `null` is allowed and `false`.
fn optional_members<'a>(
    cursor: &mut Cursor<'a>,
    field: &'static str,
    mut each: impl FnMut(&mut Cursor<'a>, &[u8], &'a [u8]) -> Result<(), MalformedReason>,
) -> Result<bool, MalformedReason> {
    if !cursor.enter_object()? {
        return match cursor.value()? {
            b"null" => Ok(false),
            _ => Err(MalformedReason::WrongType { field, expected: "an object" }),
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
    slot: &mut Option<ApiType<'a>>,
) -> Result<(), MalformedReason> {
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
    let names = ApiType {
        group: group.unwrap_or_default(),
        version: version.unwrap_or_default(),
        name: name.ok_or(MalformedReason::Missing(field))?,
    };
    put(slot, field, names)
}

fn string<'a>(
    cursor: &mut Cursor<'a>,
    field: &'static str,
    slot: &mut Option<Cow<'a, str>>,
) -> Result<(), MalformedReason> {
    let raw = cursor.value()?;
    put_text(slot, field, raw)
}

fn put_text<'a>(slot: &mut Option<Cow<'a, str>>, field: &'static str, raw: &'a [u8]) -> Result<(), MalformedReason> {
    match text(field, raw)? {
        Some(text) => put(slot, field, text),
        None => Ok(()),
    }
}

fn put<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), MalformedReason> {
    if slot.is_some() {
        return Err(MalformedReason::Duplicate(field));
    }
    *slot = Some(value);
    Ok(())
}

fn once(seen: &mut bool, field: &'static str) -> Result<(), MalformedReason> {
    if std::mem::replace(seen, true) {
        return Err(MalformedReason::Duplicate(field));
    }
    Ok(())
}
