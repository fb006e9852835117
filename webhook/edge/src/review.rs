//! An AdmissionReview read lazily: a few fields and the raw bytes of `.status`, all else unread.
//!
//! What is not read is stepped over by balance alone ([`crate::block`]). That is safe: the bytes
//! that decide (`.status` of both objects) are parsed in full by the judge unless they are equal,
//! the fields that identify object and writer are checked here, and a part that nobody reads
//! cannot change a verdict. A body that is cut off or unbalanced is refused, and so is one that
//! gives a field twice which is read here: readers of JSON do not agree on which of the two counts.

use std::borrow::Cow;

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewOperation {
    /// `CREATE`
    Create,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
}

impl ReviewOperation {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Group, version and name of a kind or a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiType<'a> {
    /// API group, `""` for core.
    pub group: Cow<'a, str>,
    /// API version.
    pub version: Cow<'a, str>,
    /// The kind (`Delivery`) or the resource (`deliveries`).
    pub name: Cow<'a, str>,
}

/// The request of an AdmissionReview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review<'a> {
    /// The review's own uid, another one for each call.
    pub uid: Cow<'a, str>,
    /// What is done.
    pub operation: ReviewOperation,
    /// The kind as the webhook's rule names it.
    pub kind: ApiType<'a>,
    /// The resource as the webhook's rule names it.
    pub resource: ApiType<'a>,
    /// `status`, or empty for the main resource.
    pub sub_resource: Cow<'a, str>,
    /// The object's name; empty when the server is to make one.
    pub name: Cow<'a, str>,
    /// The object's namespace, empty for cluster-scoped ones.
    pub namespace: Cow<'a, str>,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// Who writes.
    pub user: Cow<'a, str>,
    /// `options.fieldManager`: there for an apply, else only if the client sent it.
    pub field_manager: Option<Cow<'a, str>>,
    /// The object as it would be stored; absent for DELETE.
    pub object: Option<ReviewObject<'a>>,
    /// The object as it is stored; absent for CREATE.
    pub old_object: Option<ReviewObject<'a>>,
    /// `userInfo.groups`, raw JSON.
    pub(crate) groups: &'a [u8],
}

/// What is read of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReviewObject<'a> {
    /// The JSON of `.status` as it stands in the body, `null` included; `None` when absent.
    pub status: Option<&'a [u8]>,
    /// `.metadata`
    pub metadata: Metadata<'a>,
}

/// What is read of `.metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// `generation`, raw JSON.
    pub generation: Option<&'a [u8]>,
    /// `deletionTimestamp`, raw JSON; `null` counts as absent.
    pub deletion_timestamp: Option<&'a [u8]>,
    /// `managedFields`, raw JSON.
    pub managed_fields: Option<&'a [u8]>,
    /// `name`
    pub name: Option<Cow<'a, str>>,
    /// `namespace`
    pub namespace: Option<Cow<'a, str>>,
    /// `uid`: tells an object from a later one of the same name.
    pub uid: Option<Cow<'a, str>>,
    /// `resourceVersion`: in an UPDATE that of the version being replaced, in both objects.
    pub resource_version: Option<Cow<'a, str>>,
}

impl<'a> Review<'a> {
    /// Both objects have the same status, byte for byte (or none): nothing to judge. `false` says
    /// nothing; equal values may be written differently.
    #[must_use]
    pub fn status_unchanged(&self) -> bool {
        let status = |object: &Option<ReviewObject<'a>>| object.as_ref().and_then(|object| object.status);
        status(&self.object) == status(&self.old_object)
    }

    /// Whether a judge has more than so many bytes to parse: those of both statuses, unless they are the same.
    pub(crate) fn has_more_to_judge_than(&self, limit: usize) -> bool {
        let objects = [&self.object, &self.old_object];
        let statuses = objects.into_iter().flatten().filter_map(|object| object.status);
        statuses.map(<[u8]>::len).sum::<usize>() > limit && !self.status_unchanged()
    }

    /// The writer's groups, parsed at each call. Empty when they are not a list of strings:
    /// what cannot be read exempts nobody.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        serde_json::from_slice(self.groups).unwrap_or_default()
    }

    /// The stored object if there is one, else the new one: whose names and uid to speak of.
    #[must_use]
    pub fn subject(&self) -> Option<&ReviewObject<'a>> {
        self.old_object.as_ref().or(self.object.as_ref())
    }
}
