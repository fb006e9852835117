//! What a Service is to the API server: one port, and behind it the replicas that are ready, in turn.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Forwards each connection to a replica that is ready; one that refuses is skipped. It ends with this value.
pub struct Balancer {
    address: SocketAddr,
    backends: Backends,
    task: JoinHandle<()>,
}

/// Who is behind the port, by replica.
#[derive(Clone)]
pub struct Backends(Arc<Mutex<Turns>>);

struct Turns {
    ready: Vec<Option<SocketAddr>>,
    next: usize,
}

impl Balancer {
    /// Listens on a free port of `address`, with room for so many replicas.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(address: IpAddr, replicas: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await.context("listening for the API server")?;
        let address = listener.local_addr().context("the balancer's address")?;
        let backends = Backends(Arc::new(Mutex::new(Turns { ready: vec![None; replicas], next: 0 })));
        let task = tokio::spawn(accept(listener, backends.clone()));
        Ok(Self { address, backends, task })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn backends(&self) -> Backends {
        self.backends.clone()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backends {
    /// New connections come to this replica from now on, or do not any more.
    pub fn set(&self, replica: usize, address: Option<SocketAddr>) {
        if let Some(place) = self.turns().ready.get_mut(replica) {
            *place = address;
        }
    }

    /// Whether new connections come to this replica.
    pub fn has(&self, replica: usize) -> bool {
        self.turns().ready.get(replica).is_some_and(Option::is_some)
    }

    /// All that are ready, beginning with the one whose turn it is.
    fn in_turn(&self) -> Vec<SocketAddr> {
        let mut turns = self.turns();
        turns.next = turns.next.wrapping_add(1);
        let mut ready: Vec<SocketAddr> = turns.ready.iter().flatten().copied().collect();
        if !ready.is_empty() {
            let first = turns.next % ready.len();
            ready.rotate_left(first);
        }
        ready
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, backends: Backends) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(forward(client, backends.in_turn()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Until either side is done; without a replica the connection is closed.
async fn forward(mut client: TcpStream, replicas: Vec<SocketAddr>) {
    for replica in replicas {
        if let Ok(mut server) = TcpStream::connect(replica).await {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            // A reset ends both.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_that_are_ready_have_their_turn() {
        let backends = Backends(Arc::new(Mutex::new(Turns { ready: vec![None; 3], next: 0 })));
        assert_eq!(backends.in_turn(), []);
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        (0..3).for_each(|replica| backends.set(usize::from(replica), Some(address(replica + 1))));
        backends.set(1, None);
        assert!(backends.has(0) && !backends.has(1));
        let firsts: BTreeSet<_> = (0..2).filter_map(|_| backends.in_turn().first().copied()).collect();
        assert_eq!(firsts, BTreeSet::from([address(1), address(3)]));
        assert_eq!(backends.in_turn().len(), 2);
    }
}
