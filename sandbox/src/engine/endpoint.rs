//! Endpoints: a listener on a loopback address of its own that forwards to a server.
//!
//! RDS gives every DB instance a host name. Here a name has an address of a `127.A.B.0/24` block that this
//! sandbox claimed, so the usual port can be used by every DB instance at once. Clients reach a server
//! only through its endpoint; replication between servers goes from one internal address to another and does
//! not notice when endpoints move.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::EngineError;
use super::lost::LostAnswers;

/// Held on the last address of a block for as long as the sandbox lives: who cannot bind it looks for
/// another block.
const CLAIM_PORT: u16 = 47_306;
/// Names per block: `.1` to `.254`.
const HOSTS_PER_BLOCK: usize = 254;

/// The addresses of one sandbox.
#[derive(Debug)]
pub(super) struct Addresses {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    blocks: Vec<Block>,
    by_name: BTreeMap<String, IpAddr>,
}

#[derive(Debug)]
struct Block {
    first: u8,
    second: u8,
    /// Keeps the block ours.
    _claim: StdListener,
}

impl Addresses {
    /// Claims a first block.
    pub(super) fn claim() -> Result<Self, EngineError> {
        Ok(Self {
            state: Mutex::new(State {
                blocks: vec![Block::claim()?],
                by_name: BTreeMap::new(),
            }),
        })
    }

    /// The address of `name`: a new one at the first call, the same one ever after.
    pub(super) fn of(&self, name: &str) -> Result<IpAddr, EngineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&address) = state.by_name.get(name) {
            return Ok(address);
        }
        let taken = state.by_name.len();
        if taken >= state.blocks.len() * HOSTS_PER_BLOCK {
            state.blocks.push(Block::claim()?);
        }
        let host = u8::try_from(taken % HOSTS_PER_BLOCK + 1).unwrap_or(1);
        let address = match state.blocks.last() {
            Some(block) => IpAddr::V4(Ipv4Addr::new(127, block.first, block.second, host)),
            None => {
                return Err(EngineError::io(
                    "finding a loopback address".to_owned(),
                    io::ErrorKind::AddrNotAvailable.into(),
                ));
            }
        };
        state.by_name.insert(name.to_owned(), address);
        Ok(address)
    }
}

impl Addresses {
    /// The blocks claimed so far, `127.A.B.0/24` as `(A, B)`, in the order of their claim.
    pub(super) fn blocks(&self) -> Vec<(u8, u8)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .blocks
            .iter()
            .map(|block| (block.first, block.second))
            .collect()
    }
}

impl Block {
    fn claim() -> Result<Self, EngineError> {
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..64 {
            let random = uuid::Uuid::new_v4().as_u128().to_be_bytes();
            // 127.0 is everybody's, and 127.255.255.255 is a broadcast address.
            let (first, second) = (random[0] % 254 + 1, random[1]);
            match StdListener::bind((Ipv4Addr::new(127, first, second, 255), CLAIM_PORT)) {
                Ok(claim) => {
                    return Ok(Self {
                        first,
                        second,
                        _claim: claim,
                    });
                }
                Err(error) => refused = error,
            }
        }
        Err(EngineError::io(
            "claiming a block of loopback addresses".to_owned(),
            refused,
        ))
    }
}

/// An open endpoint; dropped, it listens no more and its connections are cut.
#[derive(Debug)]
pub(super) struct Endpoint {
    accepting: JoinHandle<()>,
}

impl Endpoint {
    /// Listens on `address` and forwards each connection to 127.0.0.1 at whatever `port` says then.
    pub(super) async fn open(
        address: SocketAddr,
        port: Arc<AtomicU16>,
        lost: Arc<LostAnswers>,
    ) -> Result<Self, EngineError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| EngineError::io(format!("listening on {address}"), source))?;
        Ok(Self {
            accepting: tokio::spawn(accept(listener, port, lost)),
        })
    }

    /// Closes the listener and cuts the connections; both are done when this returns.
    pub(super) async fn close(mut self) {
        self.accepting.abort();
        let _cancelled = (&mut self.accepting).await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns listener and connections, so that ending this task ends them.
async fn accept(listener: TcpListener, port: Arc<AtomicU16>, lost: Arc<LostAnswers>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _peer)) => {
                    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port.load(Ordering::Acquire)));
                    connections.spawn(forward(client, server, Arc::clone(&lost)));
                }
                // Out of file descriptors, or the client went before it was accepted: neither ends the endpoint.
                Err(error) => {
                    tracing::warn!(%error, "an endpoint could not accept a connection");
                    tokio::task::yield_now().await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// A server that does not run refuses; its client then sees its connection closed.
async fn forward(mut client: TcpStream, server: SocketAddr, lost: Arc<LostAnswers>) {
    let Ok(mut upstream) = TcpStream::connect(server).await else {
        return;
    };
    // MySQL's protocol is small packets to and fro.
    let _delay = (client.set_nodelay(true), upstream.set_nodelay(true));
    let Ok(Some(unanswered)) = exchange(&mut client, &mut upstream, &lost).await else {
        return;
    };
    // The server has carried it out when it begins to answer.
    if upstream.write_all(&unanswered).await.is_ok() {
        let _first = upstream.read_u8().await;
    }
}

/// Forwards both ways until one side has ended, or the answer to what is given back is to be lost: that was not sent yet.
async fn exchange(
    client: &mut TcpStream,
    upstream: &mut TcpStream,
    lost: &LostAnswers,
) -> io::Result<Option<Vec<u8>>> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = upstream.split();
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_client.read(&mut buffer).await?;
            let sent = buffer.get(..length).unwrap_or_default();
            if sent.is_empty() {
                to_server.shutdown().await?;
                return Ok::<_, io::Error>(None);
            }
            if lost.takes(sent) {
                return Ok(Some(sent.to_vec()));
            }
            to_server.write_all(sent).await?;
        }
    };
    let mut down = std::pin::pin!(async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    });
    tokio::select! {
        ended = up => match ended? {
            Some(unanswered) => Ok(Some(unanswered)),
            // What the server has to say to the end.
            None => down.await.map(|()| None),
        },
        ended = &mut down => ended.map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_address_and_shares_it_with_nobody() {
        let addresses = Addresses::claim().unwrap();
        let names = (0..600)
            .map(|n| format!("111122223333/eu-central-1/db-{n}"))
            .collect::<Vec<_>>();
        let first = names
            .iter()
            .map(|name| addresses.of(name).unwrap())
            .collect::<Vec<_>>();
        let again = names
            .iter()
            .map(|name| addresses.of(name).unwrap())
            .collect::<Vec<_>>();
        assert_eq!(first, again);
        let unique = first.iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn two_sandboxes_have_different_blocks() {
        let (one, other) = (Addresses::claim().unwrap(), Addresses::claim().unwrap());
        assert_ne!(one.of("a").unwrap(), other.of("a").unwrap());
    }
}
