//! The log: lines wait in a bounded queue, and a thread of its own writes them to standard error.
//!
//! Nothing else writes to standard error while the guard serves, so that a pipe that nobody reads, a full disk or a
//! closed descriptor never holds up a call, a probe or a signal. What finds the queue full is dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines in the queue.
const QUEUED: usize = 1 << 20;

/// The queue. Clones are the same.
#[derive(Clone)]
pub struct LogQueue {
    entries: Sender<LogMessage>,
    queued: Arc<AtomicUsize>,
    dropped: Counter,
}

enum LogMessage {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    Flush(SyncSender<()>),
}

impl LogQueue {
    /// Starts the thread that writes to `sink`; `dropped` counts lines that are not written.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(sink: impl Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        let (entries, receiver) = mpsc::channel();
        let queue = Self { entries, queued: Arc::default(), dropped };
        let (queued, dropped) = (Arc::clone(&queue.queued), queue.dropped.clone());
        std::thread::Builder::new().name("log".into()).spawn(move || write(&receiver, sink, &queued, &dropped))?;
        Ok(queue)
    }

    /// Counts the lines that were not written.
    pub fn dropped(&self) -> Counter {
        self.dropped.clone()
    }

    /// Waits until what is in the queue is written, but not longer than `at_most`.
    pub fn flush(&self, at_most: Duration) {
        let (done, written) = mpsc::sync_channel(1);
        if self.entries.send(LogMessage::Flush(done)).is_ok() {
            // Past the time the rest is given up.
            let _ = written.recv_timeout(at_most);
        }
    }
}

/// A line is written in one piece.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.queued.fetch_add(line.len(), Ordering::Relaxed);
        if before + line.len() > QUEUED || self.entries.send(LogMessage::Line(line.to_vec())).is_err() {
            self.queued.fetch_sub(line.len(), Ordering::Relaxed);
            self.dropped.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'q> MakeWriter<'q> for LogQueue {
    type Writer = &'q LogQueue;

    fn make_writer(&'q self) -> Self::Writer {
        self
    }
}

fn write(entries: &Receiver<LogMessage>, mut sink: impl Write, queued: &AtomicUsize, dropped: &Counter) {
    let mut told = 0;
    for entry in entries {
        match entry {
            LogMessage::Line(line) => {
                let written = sink.write_all(&line).and_then(|()| sink.flush());
                queued.fetch_sub(line.len(), Ordering::Relaxed);
                if written.is_err() {
                    dropped.inc();
                    continue;
                }
                let all = dropped.get();
                if all > told {
                    tracing::warn!(lines = all - told, "log lines were dropped");
                    told = all;
                }
            }
            // Who asked may have given up.
            LogMessage::Flush(done) => drop(done.send(())),
        }
    }
}

#[cfg(test)]
pub use tests::capture;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes each line only once it is told to.
    struct Gated(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged for people while something is done.
    pub fn capture(work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, work);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_full_queue_drops_lines_and_counts_them() {
        let (open, gate) = mpsc::channel();
        let written = Arc::default();
        let queue = LogQueue::start(Gated(gate, Arc::clone(&written)), Counter::default()).unwrap();
        let line = [b'x'; 1 << 10];
        // More than fits, to a sink that takes nothing.
        for _ in 0..2000 {
            assert_eq!((&queue).write(&line).unwrap(), line.len());
        }
        assert_eq!(queue.dropped.get(), 2000 - 1024);
        queue.flush(Duration::from_millis(10));
        for _ in 0..1024 {
            open.send(()).unwrap();
        }
        queue.flush(Duration::from_secs(60));
        assert_eq!(written.lock().unwrap().len(), 1024 * line.len());
        // There is room again.
        open.send(()).unwrap();
        (&queue).write_all(b"next").unwrap();
        queue.flush(Duration::from_secs(60));
        assert!(written.lock().unwrap().ends_with(b"next"));
        // A sink that fails loses lines, not the thread.
        drop(open);
        (&queue).write_all(b"lost").unwrap();
        queue.flush(Duration::from_secs(60));
        assert_eq!(queue.dropped.get(), 2000 - 1024 + 1);
    }
}
