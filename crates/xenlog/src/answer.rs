//! The daemon's answer, as it is read from the store.

use logproto::{EntryKey, State};
use xenstore::{Connection, Error as StoreError, Incoming, Reply, Request, RequestId, TxId};

use crate::Error;

/// The nodes that tell, in the order in which they are read: `error` is written with `state` or before it, so it is
/// there when `state` says so.
const NODES: [&str; 3] = ["state", "error", "pipe"];

/// Waits for an answer: at each event of the watch on the entry the nodes are read again.
#[derive(Debug)]
pub(crate) struct Answer {
    asked: [RequestId; NODES.len()],
    /// The outer `None`: not read yet. The inner: not there.
    values: [Option<Option<Vec<u8>>>; NODES.len()],
    /// Something changed since they were asked for.
    is_old: bool,
}

impl Answer {
    /// Asks for the nodes of an entry.
    pub(crate) fn ask(connection: &mut Connection, key: &EntryKey) -> Result<Answer, Error> {
        let mut ask = |node| connection.submit(TxId::NONE, Request::Read { path: &key.node(node) });
        let [state, error, pipe] = NODES;
        Ok(Answer { asked: [ask(state)?, ask(error)?, ask(pipe)?], values: [None, None, None], is_old: false })
    }

    /// Takes what came from the store; the answer, if there is one now.
    pub(crate) fn take(
        &mut self,
        incoming: Incoming,
        connection: &mut Connection,
        key: &EntryKey,
    ) -> Result<Option<State>, Error> {
        match incoming {
            Incoming::Event(_) => self.is_old = true,
            Incoming::Reply { id, result } => {
                if let Some(at) = self.asked.iter().position(|asked| *asked == id) {
                    self.values[at] = Some(value(result)?);
                }
            }
        }
        let [Some(state), Some(error), Some(pipe)] = &self.values else {
            return Ok(None);
        };
        let answer = State::read(state.as_deref(), error.as_deref());
        match (answer, pipe) {
            (answer @ Some(State::Error(_)), _) => Ok(answer),
            (_, None) => Err(Error::Removed(key.path())),
            (answer, Some(_)) if self.is_old => {
                *self = Answer::ask(connection, key)?;
                Ok(answer)
            }
            (answer, Some(_)) => Ok(answer),
        }
    }
}

fn value(result: Result<Reply, StoreError>) -> Result<Option<Vec<u8>>, Error> {
    match result {
        Ok(Reply::Value(value)) => Ok(Some(value)),
        Ok(_) => Err(StoreError::Protocol("a node has no value".into()).into()),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
