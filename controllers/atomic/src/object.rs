//! What can be written: typed objects, and typed objects that kept their raw status.

use std::marker::PhantomData;
use std::ops::Deref;

use kube::Resource;
use kube::core::DynamicObject;
use kube::core::object::HasStatus;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A kind of object with a status of a type.
///
/// Implemented for every kind with a typed status ([`HasStatus`], which `#[derive(CustomResource)]`
/// provides) and for [`WithRawStatus`].
pub trait StatusResource: Resource + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The type of the status that closures see. Its [`Default`] stands for a status that is absent.
    type Status: Serialize + DeserializeOwned + Default + Clone + PartialEq + Send + 'static;

    /// What is known of the raw status.
    fn raw_status(&self) -> RawStatus<'_>;
}

/// What an object knows of its status as the API server sent it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RawStatus<'a> {
    /// There is no status.
    Absent,
    /// Exactly this was sent.
    Exact(&'a Value),
    /// What is left is what the type understood and the cache kept: it must be read before a first write.
    Typed,
}

impl<K> StatusResource for K
where
    K: Resource + HasStatus + Serialize + DeserializeOwned + Send + Sync + 'static,
    K::Status: Serialize + DeserializeOwned + Default + Clone + PartialEq + Send + 'static,
{
    type Status = K::Status;

    /// Never absent: a cache may have dropped a status to save memory.
    fn raw_status(&self) -> RawStatus<'_> {
        RawStatus::Typed
    }
}

/// An object together with its raw status.
///
/// A typed object forgets what its type does not know. To write without a read and lose nothing, the
/// writer needs the status as it was sent; a cache of `WithRawStatus<Delivery, DeliveryStatus>` keeps it, at
/// the cost of a second copy of the status in memory. It derefs to the object, and `Api`, watchers
/// and `Controller` take it wherever they take the object itself.
///
/// It is also the way to write kinds without [`HasStatus`]: `WithRawStatus<PendingUpdate, JobStatus>`, and objects
/// whose type is not known at all: [`Dynamic`].
#[derive(Debug, Clone, PartialEq)]
pub struct WithRawStatus<K, S> {
    object: K,
    status: Option<Value>,
    view: PhantomData<fn() -> S>,
}

/// An object of any kind; its status is JSON.
pub type Dynamic = WithRawStatus<DynamicObject, Value>;

impl<K, S> WithRawStatus<K, S> {
    /// The object as its type sees it.
    #[must_use]
    pub fn into_inner(self) -> K {
        self.object
    }

    /// The status as the API server sent it.
    #[must_use]
    pub fn status_as_sent(&self) -> Option<&Value> {
        self.status.as_ref()
    }
}

impl From<DynamicObject> for Dynamic {
    fn from(object: DynamicObject) -> Self {
        let status = object.data.get("status").filter(|status| !status.is_null()).cloned();
        Self { object, status, view: PhantomData }
    }
}

impl<K, S> Deref for WithRawStatus<K, S> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.object
    }
}

impl<K, S> StatusResource for WithRawStatus<K, S>
where
    K: Resource + Serialize + DeserializeOwned + Send + Sync + 'static,
    S: Serialize + DeserializeOwned + Default + Clone + PartialEq + Send + 'static,
{
    type Status = S;

    fn raw_status(&self) -> RawStatus<'_> {
        self.status.as_ref().map_or(RawStatus::Absent, RawStatus::Exact)
    }
}

impl<'de, K: DeserializeOwned, S> Deserialize<'de> for WithRawStatus<K, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut whole = Value::deserialize(deserializer)?;
        let object = K::deserialize(&whole).map_err(D::Error::custom)?;
        let status = whole.get_mut("status").map(Value::take).filter(|status| !status.is_null());
        Ok(Self { object, status, view: PhantomData })
    }
}

impl<K: Serialize, S> Serialize for WithRawStatus<K, S> {
    fn serialize<Out: Serializer>(&self, serializer: Out) -> Result<Out::Ok, Out::Error> {
        use serde::ser::Error as _;
        let mut whole = serde_json::to_value(&self.object).map_err(Out::Error::custom)?;
        if let (Value::Object(members), Some(status)) = (&mut whole, &self.status) {
            members.insert("status".to_owned(), status.clone());
        }
        whole.serialize(serializer)
    }
}

impl<K: Resource, S> Resource for WithRawStatus<K, S> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::kind(dt)
    }
    fn group(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::group(dt)
    }
    fn version(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::version(dt)
    }
    fn plural(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::plural(dt)
    }
    fn meta(&self) -> &kube::core::ObjectMeta {
        self.object.meta()
    }
    fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
        self.object.meta_mut()
    }
}
