//! The plain port on a thread and a runtime of its own: probes are answered whatever the admission port does.

use std::io;
use std::thread;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::drain::Shutdown;
use crate::listen::Port;

/// The running port. Dropped, it ends by itself.
pub(crate) struct PlainPort {
    shutdown: Shutdown,
    ended: oneshot::Receiver<()>,
}

impl PlainPort {
    /// Serves on `listener` what `port` makes of it.
    pub(crate) async fn start(
        listener: TcpListener,
        port: impl FnOnce(TcpListener) -> Port + Send + 'static,
    ) -> io::Result<Self> {
        let listener = listener.into_std()?;
        let shutdown = Shutdown::new();
        let asked = shutdown.clone();
        let (started, running) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        thread::Builder::new().name("plain-port".into()).spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let bound = runtime.and_then(|runtime| {
                let entered = runtime.enter();
                let port = port(TcpListener::from_std(listener)?);
                drop(entered);
                Ok((runtime, port))
            });
            // The receivers are gone when the server was given up meanwhile.
            match bound {
                Ok((runtime, port)) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(port.run(&asked));
                    let _ = done.send(());
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        running.await.unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))?;
        Ok(Self { shutdown, ended })
    }

    /// Ends it at once and waits until it has ended.
    pub(crate) async fn end(mut self) {
        self.request_end();
        // An error: it has ended by a panic.
        let _ = (&mut self.ended).await;
    }

    fn request_end(&self) {
        self.shutdown.request();
        self.shutdown.request();
    }
}

impl Drop for PlainPort {
    fn drop(&mut self) {
        self.request_end();
    }
}
