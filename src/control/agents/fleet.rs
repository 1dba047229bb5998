//! What agents ask for all the time, in memory: their keys, and what each node should be.
//!
//! Ten thousand agents wait at once, and a write must wake only those it is about. So there is one listener for all of them;
//! whoever waits, waits for its own node. The invariant: nothing is answered from memory that a commit of this process has
//! overtaken, because what was heard is always looked at first.

use super::super::{ControlError, Result};
use crate::model::configuration::blobs;
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::signature::{PublicKey, SigningKey, document};
use crate::store::{Change, Store};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::sync::{Notify, OnceCell, Semaphore, SemaphorePermit};

// What is in memory is read again after this time, should a wake-up of another replica have been lost.
const FRESH: Duration = Duration::from_secs(60);
// A signature is used for so long; an agent takes no document that is much older than its last one.
const SIGNED_FOR: Duration = Duration::from_secs(60);
// How many bodies are kept for those who ask for the same ones.
const BODIES: usize = 512;
// How many may read the database at once, and how long the others wait for their turn.
const READERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);
// How many bodies may be in memory at once.
const WRITERS: usize = 16;

/// A node as its agent's questions need it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its agent's key.
    pub key: PublicKey,
    /// Whose it is.
    pub owner: Owner,
    /// The hash of the configuration it should have.
    pub desired: Option<String>,
}

/// Whose node it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A stack's.
    Stack(StackId),
    /// The inventory's, by its name.
    Inventory(String),
}

/// A configuration, signed for one node.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its hash.
    pub hash: String,
    /// Its JSON, with hashes in place of long contents.
    pub body: Arc<str>,
    /// When it was signed, in milliseconds since the Unix epoch.
    pub issued_ms: i64,
    /// The server's signature.
    pub signature: String,
}

/// See the module.
#[derive(Debug)]
pub struct Fleet {
    store: Store,
    heard: Mutex<broadcast::Receiver<Change>>,
    memory: Mutex<Memory>,
    key: OnceCell<SigningKey>,
    readers: Semaphore,
    writers: Semaphore,
    listens: AtomicBool,
}

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<NodeId, (Instant, Option<Arc<Known>>)>,
    waiting: HashMap<NodeId, Arc<Notify>>,
    bodies: HashMap<String, Arc<str>>,
    signed: HashMap<NodeId, (Instant, Wish)>,
    // Raised by whatever makes something here untrue, so that a read that began before is not kept.
    generation: u64,
}

/// Someone who waits for a node; keeps its bell hung for as long as it lives.
#[derive(Debug)]
pub struct Bell {
    fleet: Arc<Fleet>,
    node: NodeId,
    notify: Arc<Notify>,
}

impl Bell {
    /// Rings when something about the node may have changed since the future was first polled or enabled.
    pub fn rung(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let mut memory = self.fleet.memory();
        // The map's and ours: nobody else waits.
        if Arc::strong_count(&self.notify) <= 2 {
            memory.waiting.remove(&self.node);
        }
    }
}

impl Fleet {
    /// Over this database.
    pub fn new(store: Store) -> Self {
        Self {
            heard: Mutex::new(store.changes()),
            store,
            memory: Mutex::default(),
            key: OnceCell::new(),
            readers: Semaphore::new(READERS),
            writers: Semaphore::new(WRITERS),
            listens: AtomicBool::new(false),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hangs a bell for a node.
    pub fn bell(self: &Arc<Self>, node: &NodeId) -> Bell {
        self.listen();
        let notify = Arc::clone(self.memory().waiting.entry(node.clone()).or_default());
        Bell {
            fleet: Arc::clone(self),
            node: node.clone(),
            notify,
        }
    }

    // Starts the one listener.
    fn listen(self: &Arc<Self>) {
        if self.listens.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut changes = self.store.changes();
        let fleet = Arc::downgrade(self);
        tokio::spawn(async move {
            while !matches!(changes.recv().await, Err(broadcast::error::RecvError::Closed)) {
                let Some(fleet) = fleet.upgrade() else { return };
                fleet.catch_up();
            }
        });
    }

    // Looks at what was heard since the last time.
    fn catch_up(&self) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match heard.try_recv() {
                Ok(change) => {
                    for topic in &change.topics {
                        self.overtake(topic);
                    }
                }
                Err(TryRecvError::Lagged(_)) => self.overtake("*"),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn overtake(&self, topic: &str) {
        if topic == "*" {
            let mut memory = self.memory();
            memory.generation += 1;
            memory.known.clear();
            for bell in memory.waiting.values() {
                bell.notify_waiters();
            }
        } else if let Some(node) = topic.strip_prefix("node:").and_then(|id| id.parse::<NodeId>().ok()) {
            let mut memory = self.memory();
            memory.generation += 1;
            memory.known.remove(&node);
            if let Some(bell) = memory.waiting.get(&node) {
                bell.notify_waiters();
            }
        }
    }

    /// A node that has an agent and is not gone.
    ///
    /// # Errors
    /// `too-busy` where too many ask at once for what is not in memory.
    pub async fn known(&self, node: &NodeId) -> Result<Option<Arc<Known>>> {
        self.catch_up();
        let generation = {
            let memory = self.memory();
            if let Some((read, known)) = memory.known.get(node)
                && read.elapsed() < FRESH
            {
                return Ok(known.clone());
            }
            memory.generation
        };
        let _turn = self.turn().await?;
        let known = self.read(node).await?.map(Arc::new);
        self.catch_up();
        let mut memory = self.memory();
        // Whoever guesses ids must not fill the memory.
        if memory.generation == generation && known.is_some() {
            memory.known.insert(node.clone(), (Instant::now(), known.clone()));
        }
        Ok(known)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        turn(&self.readers).await
    }

    /// Room for what an agent says; agents that are told to come back keep what they have.
    ///
    /// # Errors
    /// `too-busy`.
    pub async fn room(&self) -> Result<SemaphorePermit<'_>> {
        turn(&self.writers).await
    }

    async fn read(&self, node: &NodeId) -> Result<Option<Known>> {
        let Some(row) = self.store.node(node).await?.filter(|row| row.state != "gone") else {
            let agent = self.store.agent(node).await?;
            return Ok(agent.and_then(|agent| {
                Some(Known {
                    key: agent.public_key.parse().ok()?,
                    owner: Owner::Inventory(agent.name),
                    desired: agent.desired,
                })
            }));
        };
        let key = row.public_key.and_then(|key| key.parse().ok());
        Ok(key.map(|key| Known {
            key,
            owner: Owner::Stack(row.stack),
            desired: row.desired,
        }))
    }

    /// The configuration that a node should have, signed; none before the first.
    ///
    /// # Errors
    /// As [`Self::known`], and where the store fails.
    pub async fn wish(&self, node: &NodeId, hash: &str) -> Result<Wish> {
        {
            let memory = self.memory();
            if let Some((made, wish)) = memory.signed.get(node)
                && wish.hash == hash
                && made.elapsed() < SIGNED_FOR
            {
                return Ok(wish.clone());
            }
        }
        let body = self.body(hash).await?;
        let issued_ms = self.store.now().0;
        let signature = self
            .key()
            .await?
            .sign(&document(node.as_str(), hash, issued_ms, body.as_bytes()));
        let wish = Wish {
            hash: hash.to_owned(),
            body,
            issued_ms,
            signature,
        };
        let mut memory = self.memory();
        if memory.signed.len() >= BODIES {
            memory.signed.clear();
        }
        memory.signed.insert(node.clone(), (Instant::now(), wish.clone()));
        Ok(wish)
    }

    /// A long content of a configuration; nothing where it has none of this hash.
    ///
    /// # Errors
    /// As [`Self::known`], and where the store fails.
    pub async fn blob(&self, configuration: &str, hash: &str) -> Result<Option<String>> {
        let _turn = self.turn().await?;
        let whole = self.store.configuration(configuration).await?;
        Ok(whole.and_then(|whole| blobs::find(&whole, hash)))
    }

    async fn body(&self, hash: &str) -> Result<Arc<str>> {
        if let Some(found) = self.memory().bodies.get(hash) {
            return Ok(Arc::clone(found));
        }
        let _turn = self.turn().await?;
        let body = self.store.configuration(hash).await?;
        let body = body.ok_or_else(|| Fault::new("internal", format!("The configuration {hash} is not stored")))?;
        let body: Arc<str> = blobs::detach(&body).unwrap_or(body).into();
        let mut memory = self.memory();
        if memory.bodies.len() >= BODIES {
            memory.bodies.clear();
        }
        memory.bodies.insert(hash.to_owned(), Arc::clone(&body));
        Ok(body)
    }

    /// What the server signs with.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn key(&self) -> Result<&SigningKey> {
        let made = self.key.get_or_try_init(|| async {
            let seed = self.store.signing_seed().await?;
            let key = SigningKey::from_seed(&seed);
            key.ok_or_else(|| ControlError::from(Fault::new("internal", "The server's signing key cannot be read")))
        });
        made.await
    }
}

async fn turn(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>> {
    let busy = || ControlError::new("too-busy", "Too many agents ask at once");
    let turn = tokio::time::timeout(PATIENCE, semaphore.acquire()).await;
    turn.map_err(|_| busy())?.map_err(|_| busy())
}
