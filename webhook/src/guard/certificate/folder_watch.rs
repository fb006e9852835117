//! Says when something has changed in a folder (inotify).
//!
//! Folders are watched, and not files: a mounted Secret is changed by renaming a link beside them. A folder that goes is
//! watched again once there is one of its name. Where watching is impossible, that is said once, and `changed` waits.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::time::{Instant, timeout, timeout_at};

/// A change is told once nothing more has changed for this time,
const SETTLE: Duration = Duration::from_millis(50);
/// or after this time, when changes do not end.
const LONGEST: Duration = Duration::from_secs(1);
/// How often it is tried to watch a folder that is not watched.
const AGAIN: Duration = Duration::from_secs(1);

/// Room for sixteen events with the longest names.
const BUFFER: usize = 16 * (16 + 256);

/// What may change what a file of the folder holds.
const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// After these the folder is not watched any more, or not under its name.
const GONE: EventMask = EventMask::DELETE_SELF.union(EventMask::MOVE_SELF).union(EventMask::IGNORED);

/// Some folders.
pub struct FolderWatch {
    events: Option<EventStream<Vec<u8>>>,
    /// Those that are watched have a descriptor.
    folders: BTreeMap<PathBuf, Option<WatchDescriptor>>,
    /// Why folders cannot be watched, as it was said.
    said: String,
}

impl FolderWatch {
    /// They are watched from now on. Needs the runtime.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let folders = folders.into_iter().map(|folder| (folder, None)).collect();
        let mut watch = Self { events: None, folders, said: String::new() };
        watch.watch_missing();
        watch
    }

    /// Until something has changed in a folder, or one is watched again that was not: what happened before is not known.
    /// May be dropped while it waits; a change of the last moment is not told then.
    pub async fn changed(&mut self) {
        while !self.watch_missing() {
            if self.folders.values().all(Option::is_some) {
                self.event().await;
                break;
            }
            if timeout(AGAIN, self.event()).await.is_ok() {
                break;
            }
        }
        let latest = Instant::now() + LONGEST;
        while timeout_at(latest.min(Instant::now() + SETTLE), self.event()).await.is_ok() {}
        // One that was replaced in the meantime is to be watched before it is read.
        self.watch_missing();
    }

    /// Whether a folder is watched that was not.
    fn watch_missing(&mut self) -> bool {
        if self.folders.values().all(Option::is_some) {
            return false;
        }
        let (mut added, mut problem) = (false, String::new());
        if self.events.is_none() {
            match Inotify::init().and_then(|inotify| inotify.into_event_stream(vec![0; BUFFER])) {
                Ok(events) => self.events = Some(events),
                Err(error) => problem = error.to_string(),
            }
        }
        if let Some(events) = &self.events {
            for (folder, watched) in self.folders.iter_mut().filter(|(_, watched)| watched.is_none()) {
                match events.watches().add(folder, CHANGES) {
                    Ok(descriptor) => (*watched, added) = (Some(descriptor), true),
                    // Whoever reads the files says that they are not there.
                    Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {}
                    Err(error) => problem = error.to_string(),
                }
            }
        }
        if !problem.is_empty() && self.said != problem {
            tracing::warn!(
                error = problem,
                "the folders of the serving certificate cannot be watched; its files are read every --reload-interval. If \
                 a limit is reached, raise fs.inotify.max_user_instances or fs.inotify.max_user_watches on the node"
            );
        }
        self.said = problem;
        added
    }

    /// Until there was an event, or several.
    async fn event(&mut self) {
        let Some(events) = &mut self.events else { return std::future::pending().await };
        let mut next = events.next().await;
        while let Some(Ok(event)) = next {
            self.note(&event);
            let Some(events) = &mut self.events else { return };
            match events.next().now_or_never() {
                Some(more) => next = more,
                None => return,
            }
        }
        // It cannot be read any more: begin anew.
        (self.events, self.said) = (None, String::new());
        self.folders.values_mut().for_each(|watched| *watched = None);
    }

    fn note(&mut self, event: &EventOwned) {
        if !event.mask.intersects(GONE) {
            return;
        }
        for watched in self.folders.values_mut().filter(|watched| watched.as_ref() == Some(&event.wd)) {
            *watched = None;
        }
        if let Some(events) = &self.events {
            // It goes by itself, except where the folder goes on under another name.
            _ = events.watches().remove(event.wd.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    struct WatchedFolder {
        watch: FolderWatch,
        parent: tempfile::TempDir,
    }

    impl WatchedFolder {
        async fn new() -> Self {
            let parent = tempfile::tempdir().unwrap();
            fs::create_dir(parent.path().join("tls")).unwrap();
            let watch = FolderWatch::new([parent.path().join("tls")]);
            Self { watch, parent }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.parent.path().join(path)
        }

        async fn told(&mut self, what: &str) {
            assert!(timeout(PATIENCE, self.watch.changed()).await.is_ok(), "not told: {what}");
        }

        async fn quiet(&mut self) {
            assert!(timeout(SETTLE * 4, self.watch.changed()).await.is_err(), "told of nothing");
        }
    }

    #[tokio::test]
    async fn a_burst_of_changes_is_told_once() {
        let mut watched = WatchedFolder::new().await;
        watched.quiet().await;
        for number in 0..100 {
            fs::write(watched.path(&format!("tls/{number}")), "text").unwrap();
        }
        fs::create_dir(watched.path("tls/..1")).unwrap();
        symlink("..1", watched.path("tls/..data_tmp")).unwrap();
        fs::rename(watched.path("tls/..data_tmp"), watched.path("tls/..data")).unwrap();
        watched.told("a burst").await;
        watched.quiet().await;
        fs::read(watched.path("tls/1")).unwrap();
        watched.quiet().await;
    }

    #[tokio::test]
    async fn changes_without_end_are_told_again_and_again() {
        let mut watched = WatchedFolder::new().await;
        let file = watched.path("tls/busy");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writing = tokio::task::spawn_blocking(move || {
            while !stopped.load(Ordering::Relaxed) {
                fs::write(&file, "text").unwrap();
                std::thread::sleep(SETTLE / 10);
            }
        });
        watched.told("the first").await;
        watched.told("the second").await;
        stop.store(true, Ordering::Relaxed);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_goes_is_watched_again_once_it_is_back() {
        let mut watched = WatchedFolder::new().await;
        for removed in [true, false] {
            match removed {
                true => fs::remove_dir(watched.path("tls")).unwrap(),
                false => fs::rename(watched.path("tls"), watched.path("elsewhere")).unwrap(),
            }
            watched.told("that it is gone").await;
            watched.quiet().await;
            fs::create_dir(watched.path("tls")).unwrap();
            watched.told("that it is back").await;
            fs::write(watched.path("tls/file"), "text").unwrap();
            watched.told("a change in it").await;
            fs::remove_file(watched.path("tls/file")).unwrap();
            watched.told("another").await;
        }
        // The one that was moved away is none of it any more.
        fs::write(watched.path("elsewhere/file"), "text").unwrap();
        watched.quiet().await;
    }
}
