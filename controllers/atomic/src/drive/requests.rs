//! The steps that go over the wire, each reduced to what was seen.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Driver;
use crate::authorship::{self, Author, Lost};
use crate::cache::{Version, text};
use crate::compose::{Base, Batch, Event};
use crate::error::{Error, RetryReason};
use crate::object::StatusResource;
use crate::protocol::State;
use crate::wire::{First, Get, Put};

impl<K: StatusResource> Driver<K> {
    pub(super) async fn put(&mut self) -> Event<K> {
        let State::Put { batch, .. } = &mut self.protocol.state else { return Event::Fault };
        batch.updates.iter_mut().for_each(|update| update.tries += 1);
        let (body, sent) = (batch.body.clone(), Instant::now());
        let answer = self.wire.put(body).await;
        self.backoff.took(sent.elapsed());
        match answer {
            Put::Written(raw) => {
                if let State::Put { batch, doubt } = &self.protocol.state {
                    self.learn(batch, &raw);
                    // Nothing was stored, so the base is still current, and an earlier PUT may land on it.
                    if doubt.is_some() && text(&raw, "resourceVersion") == batch.base.version {
                        self.mark_unresolved();
                    }
                }
                self.landed(raw, Some(sent))
            }
            Put::Conflict => {
                self.note(RetryReason::Conflict, None);
                Event::Conflict
            }
            Put::Refused(failure) => {
                self.shared.endpoint.metrics.refusal();
                if let Error::Refused { code, reason, message, causes } = failure.clone() {
                    self.last = Some(RetryReason::Refused { code, reason, message, causes });
                }
                Event::Refused(failure)
            }
            Put::Missing => Event::Missing,
            Put::NotApplied(reason, wait) => {
                self.note(reason, wait);
                Event::NotApplied
            }
            Put::Unknown(reason, wait) => {
                tracing::debug!(%reason, "the answer to a status write was lost");
                self.note(reason, wait);
                Event::AnswerLost(sent + self.shared.budget)
            }
            Put::Fatal(reason, error) => {
                self.last = Some(reason);
                let event = if may_be_due_to_one(&error) { Event::Rejected } else { Event::Fatal };
                event(Error::Api(error))
            }
        }
    }

    pub(super) async fn read(&mut self) -> Event<K> {
        let sent = Instant::now();
        let raw = match self.wire.get().await {
            Get::Found(raw) => raw,
            Get::Missing => return Event::Missing,
            Get::Fault(reason, wait) => {
                self.note(reason, wait);
                return Event::Fault;
            }
            Get::Fatal(error) => return Event::Fatal(Error::Api(error)),
        };
        if text(&raw, "uid") != self.lease.id.uid {
            return Event::OtherUid;
        }
        let is_base = self.base.as_ref().is_some_and(|base| base.version == text(&raw, "resourceVersion"));
        let batch = self.protocol.state.batch().filter(|_| !is_base);
        let event = match batch.map(|batch| authorship::of_later(&self.lost(batch), &raw)) {
            _ if is_base => Event::Same,
            Some(Author::Ours) => return self.landed(raw, Some(sent)),
            Some(Author::Other) => Event::NotLanded,
            Some(Author::Unclear) | None => Event::Unclear,
        };
        // In doubt the batch keeps its base.
        if self.protocol.state.doubt().is_none() || matches!(event, Event::NotLanded) {
            match Version::of(Arc::new(raw)) {
                Ok(version) => self.rebase(version, Some(sent)),
                Err(source) => {
                    return Event::Unreadable(Error::Unreadable { committed: false, source: Arc::new(source) });
                }
            }
        }
        event
    }

    pub(super) async fn watch_next(&mut self) -> Event<K> {
        let Some(base) = &self.base else { return Event::HistoryGone };
        let first = self.wire.first_after(&base.version).await;
        let Some(batch) = self.protocol.state.batch() else { return Event::HistoryGone };
        match first {
            First::Version(object) if text(&object, "uid") != self.lease.id.uid => Event::Unclear,
            First::Version(object) => match authorship::of_next(&self.lost(batch), &object) {
                Author::Ours => {
                    self.learn(batch, &object);
                    self.landed(object, None)
                }
                Author::Other => Event::NextIsOther,
                Author::Unclear => Event::Unclear,
            },
            First::Deletion => Event::NextIsDeletion,
            First::HistoryGone => Event::HistoryGone,
            First::Fault(reason) => {
                self.note(reason, None);
                Event::Fault
            }
        }
    }

    /// Learns from the version that a batch has made on its base.
    fn learn(&self, batch: &Batch<K>, version: &Value) {
        self.shared.append_only.iter().for_each(|list| list.learn(&batch.base.raw, &batch.status, version));
    }

    fn lost<'a>(&'a self, batch: &'a Batch<K>) -> Lost<'a> {
        Lost {
            base: &batch.base.raw,
            sent: &batch.status,
            manager: &self.shared.endpoint.manager,
            append_only: &self.shared.append_only,
            unresolved: self.shared.cache.is_unresolved(&self.lease.id, &batch.base.version),
        }
    }

    fn landed(&self, raw: Value, live: Option<Instant>) -> Event<K> {
        let number = text(&raw, "resourceVersion");
        match Version::of(Arc::new(raw)) {
            Ok(version) => Event::Landed(Ok((version, live))),
            Err(source) => {
                self.shared.cache.outdate(&self.lease.id, &number);
                Event::Landed(Err(Error::Unreadable { committed: true, source: Arc::new(source) }))
            }
        }
    }

    /// Notes what stands in the way, and the rest that the API server asks for.
    fn note(&mut self, reason: RetryReason, wait: Option<Duration>) {
        // That another writer was faster says less than that the status was refused on what it wrote before.
        if !matches!((&reason, &self.last), (RetryReason::Conflict, Some(RetryReason::Refused { .. }))) {
            self.last = Some(reason);
        }
        self.backoff.asked(wait);
    }

    pub(super) fn rebase(&mut self, version: Version<K>, live: Option<Instant>) {
        self.base = Some(Base { version: version.version.clone(), raw: version.raw.clone(), live });
        self.shared.cache.put(self.lease.id.key.clone(), version);
    }

    /// Notes that a PUT may still land on the base.
    pub(super) fn mark_unresolved(&self) {
        if let Some(base) = &self.base {
            self.shared.cache.mark_unresolved(&self.lease.id, &base.version);
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
