//! The steps of the protocol that go over the wire, each reduced to what was seen.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use crate::authorship::{self, Author, Lost};
use crate::cache::Version;
use crate::compose::Batch;
use crate::drive::{Base, Driver, Fatal, Write};
use crate::error::{RetryReason, WriteError};
use crate::object::StatusResource;
use crate::protocol::Event;
use crate::wire::{First, Get, Put};

impl<K: StatusResource> Driver<K> {
    pub(crate) async fn put(&mut self, write: &mut Write, doubt: bool) -> Event {
        let Some(batch) = &write.batch else { return Event::Fault };
        for request in self.queue.iter_mut().take(batch.results.len()) {
            request.tries += 1;
        }
        self.out.clone_from(&batch.results);
        let sent = Instant::now();
        match self.wire.put(batch.body.clone()).await {
            Put::Written(object) => {
                if let Some(base) = &self.base {
                    self.learn(base, batch, &object);
                    // Nothing was stored, so the base is still current, and an earlier PUT may land on it.
                    if doubt && object["metadata"]["resourceVersion"] == base.version.as_str() {
                        self.mark_unresolved();
                    }
                }
                write.landed = Some(object);
                write.live = Some(sent);
                Event::Written
            }
            Put::Conflict => {
                self.last = Some(RetryReason::Conflict);
                Event::Conflict
            }
            Put::Refused(failure) => {
                self.shared.endpoint.metrics.refusal();
                write.refusal = Some(failure);
                Event::Refused
            }
            Put::Missing => Event::Missing,
            Put::NotApplied(reason, wait) => {
                self.last = Some(reason);
                write.backoff.asked(wait);
                Event::NotApplied
            }
            Put::Unknown(reason, wait) => {
                tracing::debug!(%reason, "the answer to a status write was lost");
                self.last = Some(reason);
                write.backoff.asked(wait);
                if !doubt {
                    write.doubt = Some(sent + self.shared.budget);
                }
                Event::Unknown
            }
            Put::Fatal(reason, error) => {
                self.last = Some(reason);
                let carried = may_be_due_to_one(&error).then_some(batch.results.len());
                write.fatal = Some(Fatal { error, carried });
                Event::Fatal
            }
        }
    }

    pub(crate) async fn read(&mut self, write: &mut Write) -> Event {
        let sent = Instant::now();
        match self.wire.get().await {
            Get::Found(raw) => match self.see(raw, sent) {
                Ok(event) => event,
                Err(failure) => {
                    self.fail(&failure);
                    Event::Fault
                }
            },
            Get::Missing => Event::Missing,
            Get::Fault(reason, wait) => {
                self.last = Some(reason);
                write.backoff.asked(wait);
                Event::Fault
            }
            Get::Fatal(error) => {
                write.fatal = Some(Fatal { error, carried: None });
                Event::Fatal
            }
        }
    }

    /// Makes a version read live the base.
    fn see(&mut self, raw: Value, sent: Instant) -> Result<Event, WriteError> {
        let version = Version::<K>::read(raw)
            .map_err(|source| WriteError::Unreadable { committed: false, source: Arc::new(source) })?;
        if version.uid != self.lease.id.uid {
            return Ok(Event::OtherUid);
        }
        let same = self.base.as_ref().is_some_and(|base| base.version == version.version);
        self.base = Some(Base { version: version.version.clone(), raw: version.raw.clone(), live: Some(sent) });
        self.stale = false;
        self.shared.cache.put(self.lease.id.key.clone(), version);
        Ok(if same { Event::Same } else { Event::Moved })
    }

    pub(crate) async fn trace(&mut self, write: &mut Write) -> Event {
        let (Some(batch), Some(base)) = (&write.batch, &self.base) else { return Event::HistoryGone };
        match self.wire.first_after(&base.version).await {
            First::Version(object) if object["metadata"]["uid"] != self.lease.id.uid.as_str() => Event::Unclear,
            First::Version(object) => match authorship::of_next(&self.lost(base, batch), &object) {
                Author::Ours => {
                    self.learn(base, batch, &object);
                    write.landed = Some(object);
                    Event::NextIsOurs
                }
                Author::Other => Event::NextIsOther,
                Author::Unclear => Event::Unclear,
            },
            First::Deletion => Event::NextIsDeletion,
            First::HistoryGone => Event::HistoryGone,
            First::Fault(reason) => {
                self.last = Some(reason);
                Event::Fault
            }
        }
    }

    pub(crate) async fn inspect(&mut self, write: &mut Write) -> Event {
        let (Some(batch), Some(base)) = (&write.batch, &self.base) else { return Event::Unclear };
        let sent = Instant::now();
        let object = match self.wire.get().await {
            Get::Found(object) => object,
            Get::Missing => return Event::Missing,
            Get::Fault(reason, wait) => {
                self.last = Some(reason);
                write.backoff.asked(wait);
                return Event::Fault;
            }
            Get::Fatal(_) => return Event::Unclear,
        };
        if object["metadata"]["uid"] != self.lease.id.uid.as_str() {
            return Event::OtherUid;
        }
        if object["metadata"]["resourceVersion"] == base.version.as_str() {
            return Event::Same;
        }
        match authorship::of_later(&self.lost(base, batch), &object) {
            Author::Ours => {
                write.landed = Some(object);
                Event::Landed
            }
            Author::Other => match self.see(object, sent) {
                Ok(_) => Event::Lost,
                Err(failure) => {
                    self.fail(&failure);
                    Event::Lost
                }
            },
            Author::Unclear => Event::Unclear,
        }
    }

    /// Learns from the version that a batch has made on its base.
    fn learn(&self, base: &Base, batch: &Batch, version: &Value) {
        self.shared.append_only.iter().for_each(|list| list.learn(&base.raw, &batch.status, version));
    }

    fn lost<'a>(&'a self, base: &'a Base, batch: &'a Batch) -> Lost<'a> {
        Lost {
            base: &base.raw,
            sent: &batch.status,
            manager: &self.shared.endpoint.manager,
            append_only: &self.shared.append_only,
            unresolved: self.shared.cache.is_unresolved(&self.lease.id, &base.version),
        }
    }
}

/// Whether one of several updates may have caused this answer: too large, malformed, forbidden by a plugin. What the
/// authorizer forbids, it forbids to all.
fn may_be_due_to_one(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    match status.code {
        400 | 413 => true,
        403 => !status.message.contains("cannot update resource"),
        _ => false,
    }
}
