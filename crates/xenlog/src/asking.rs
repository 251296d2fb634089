//! The client's steps of docs/protocol.md on one connection: is there a daemon, make a FIFO, write the request in one
//! transaction, wait for the answer, open the write end.

use std::collections::HashSet;
use std::mem;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use logproto::{DAEMON_NODE, EntryKey, Owner, State};
use xenstore::{Connection, Errno, Incoming, Reply, Request, RequestId, TxId};

use crate::answer::Answer;
use crate::fifo::Fifo;
use crate::held::Held;
use crate::{CLEAN_UP, Error, OpenOptions, entry};

/// How often the request is written anew when others change what it read.
const CONFLICTS: u32 = 30;
/// The pause after the first conflict, doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// What is asked for, on a connection. Dropped unfinished, it cleans up.
#[derive(Debug)]
pub(crate) struct Asking {
    connection: Connection,
    key: EntryKey,
    fifo: Option<Fifo>,
    /// The store may have the entry.
    is_written: bool,
    conflicts: u32,
    step: Step,
}

/// What is waited for.
#[derive(Debug)]
enum Step {
    /// Whether a daemon runs.
    Daemon(RequestId),
    /// A transaction.
    Transaction(RequestId),
    /// Whether the id is free.
    Entry { tx: TxId, asked: RequestId },
    /// That the nodes are written.
    Nodes { tx: TxId, left: HashSet<RequestId> },
    /// The end of the transaction.
    Commit(RequestId),
    /// The end of a pause after a conflict.
    Pause { again: Instant },
    /// The daemon's answer.
    Answer(Answer),
    /// Nothing.
    Over,
}

impl Asking {
    pub(crate) fn new(mut connection: Connection, options: &OpenOptions) -> Result<Asking, Error> {
        let step = Step::Daemon(connection.submit(TxId::NONE, Request::Read { path: DAEMON_NODE })?);
        let key = EntryKey::new(options.owner, &options.next_id());
        Ok(Asking { connection, key, fifo: None, is_written: false, conflicts: 0, step })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// When to go on, if that does not hang on the store.
    pub(crate) fn again(&self) -> Option<Instant> {
        match self.step {
            Step::Pause { again } => Some(again),
            _ => None,
        }
    }

    pub(crate) fn is_written(&self) -> bool {
        self.is_written
    }

    /// The end, well: what the log has is the caller's now.
    pub(crate) fn finish(mut self, options: &OpenOptions) -> Option<Held> {
        self.is_written = false;
        let store = options.places.store.clone();
        self.fifo.take().map(|fifo| Held::new(self.key.clone(), fifo, store))
    }

    /// Goes as far as it goes without blocking, or until `until`; the write end at the end.
    pub(crate) fn advance(&mut self, options: &OpenOptions, until: Instant) -> Result<Option<OwnedFd>, Error> {
        if matches!(self.step, Step::Pause { again } if again <= Instant::now()) {
            self.step = self.begin()?;
        }
        loop {
            let processed = self.connection.process();
            let mut is_news = false;
            while let Some(incoming) = self.connection.next() {
                is_news = true;
                let end = match self.take(incoming, options)? {
                    Some(State::Ready) => self.open(options)?,
                    Some(State::Error(refusal)) => return Err(Error::Refused(refusal)),
                    None => None,
                };
                if end.is_some() {
                    return Ok(end);
                }
            }
            processed?;
            // What the news made necessary is sent by another turn.
            if !is_news || Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// The write end; `None` if the daemon went away since it answered: the next one will answer again.
    fn open(&self, options: &OpenOptions) -> Result<Option<OwnedFd>, Error> {
        self.fifo.as_ref().map_or(Ok(None), |fifo| fifo.open(options.blocking))
    }

    /// Takes what came from the store; the daemon's answer if that was it.
    fn take(&mut self, incoming: Incoming, options: &OpenOptions) -> Result<Option<State>, Error> {
        if let Step::Answer(answer) = &mut self.step {
            return answer.take(incoming, &mut self.connection, &self.key);
        }
        if let Incoming::Reply { id, result } = incoming {
            self.step = match mem::replace(&mut self.step, Step::Over) {
                Step::Daemon(asked) if asked == id => self.daemon(result, options)?,
                Step::Transaction(asked) if asked == id => self.transaction(&result?)?,
                Step::Entry { tx, asked } if asked == id => self.entry(tx, result, options)?,
                Step::Nodes { tx, left } => self.node(tx, left, id, result)?,
                Step::Commit(asked) if asked == id => self.commit(result)?,
                // An answer that nobody waits for.
                step => step,
            };
        }
        Ok(None)
    }

    fn begin(&mut self) -> Result<Step, Error> {
        Ok(Step::Transaction(self.connection.submit(TxId::NONE, Request::TransactionStart)?))
    }

    fn daemon(&mut self, result: Result<Reply, xenstore::Error>, options: &OpenOptions) -> Result<Step, Error> {
        match result {
            Err(error) if error.is_absent() => return Err(Error::NoDaemon),
            other => other?,
        };
        let whose = match self.key.owner {
            Owner::Host => "host".to_owned(),
            Owner::Domain(domid) => domid.to_string(),
        };
        self.fifo = Some(Fifo::make(&options.places.run_dir, &format!("{whose}-{}", self.key.name))?);
        self.begin()
    }

    fn transaction(&mut self, reply: &Reply) -> Result<Step, Error> {
        let Reply::Transaction(tx) = *reply else {
            return Err(xenstore::Error::Protocol("no transaction was started".into()).into());
        };
        let asked = self.connection.submit(tx, Request::Directory { path: &self.key.path() })?;
        Ok(Step::Entry { tx, asked })
    }

    /// Writes the request, if the id is free or may be taken.
    fn entry(&mut self, tx: TxId, found: Result<Reply, xenstore::Error>, options: &OpenOptions) -> Result<Step, Error> {
        let path = self.key.path();
        let mut left = HashSet::new();
        match found {
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
            Ok(_) if options.replace => {
                left.insert(self.connection.submit(tx, Request::Rm { path: &path })?);
            }
            Ok(_) if options.id.is_some() => return Err(Error::IdTaken(path)),
            Ok(_) => {
                // Somebody made up the same id. Another one, in another transaction.
                self.key = EntryKey::new(options.owner, &options.next_id());
                self.connection.submit(TxId::NONE, Request::TransactionEnd { commit: false })?;
                return self.begin();
            }
        }
        // Set before the request can be answered, so that no answer is missed. On the entry, not on its `state`: a node
        // that was never there has no event when the whole entry is removed (xenstored's delete_node walks what is).
        let watch = Request::Watch { path: &self.key.path(), token: "entry" };
        left.insert(self.connection.submit(TxId::NONE, watch)?);
        if let Some(fifo) = &self.fifo {
            for (node, value) in entry::nodes(options, fifo.path()) {
                let request = Request::Write { path: &self.key.node(node), value: &value };
                left.insert(self.connection.submit(tx, request)?);
            }
        }
        Ok(Step::Nodes { tx, left })
    }

    fn node(
        &mut self,
        tx: TxId,
        mut left: HashSet<RequestId>,
        id: RequestId,
        result: Result<Reply, xenstore::Error>,
    ) -> Result<Step, Error> {
        left.remove(&id);
        match result {
            // The watch, after a conflict: it is there from the time before.
            Err(error) if error.errno() == Some(Errno::Eexist) => {}
            other => drop(other?),
        }
        if !left.is_empty() {
            return Ok(Step::Nodes { tx, left });
        }
        self.is_written = true;
        Ok(Step::Commit(self.connection.submit(tx, Request::TransactionEnd { commit: true })?))
    }

    fn commit(&mut self, result: Result<Reply, xenstore::Error>) -> Result<Step, Error> {
        match result {
            Err(error) if error.errno() == Some(Errno::Eagain) => {
                self.is_written = false;
                self.conflicts += 1;
                if self.conflicts > CONFLICTS {
                    return Err(Error::Conflicts(self.conflicts));
                }
                let pause = PAUSE_MAX.min(PAUSE_MIN * (1 << self.conflicts.min(6)));
                Ok(Step::Pause { again: Instant::now() + pause })
            }
            other => {
                other?;
                Ok(Step::Answer(Answer::ask(&mut self.connection, &self.key)?))
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let (true, Some(fifo)) = (self.is_written, &self.fifo) {
            // On the connection that wrote it, so that the store takes one after the other. If that fails the store is
            // gone or hangs, and there is nobody to tell.
            let deadline = Instant::now() + CLEAN_UP;
            let _ = entry::remove(&mut self.connection, &self.key, fifo.path(), deadline);
        }
        // The FIFO goes with its value.
    }
}
