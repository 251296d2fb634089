//! Many entries at once: written without waiting for one answer before the next request.

use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use testbed::PATIENCE;
use xenstore::{Address, Connection, Incoming, Reply, Request, RequestId, TxId};

use super::Log;

/// Entries of one transaction; stores refuse transactions that are too large.
const BATCH: usize = 100;

/// A connection on which requests are not waited for.
pub struct Crowd {
    connection: Connection,
}

impl Crowd {
    pub fn new(address: &Address) -> Crowd {
        Crowd { connection: Connection::open(address).unwrap() }
    }

    /// Writes the nodes of all these logs, and makes no FIFO.
    pub fn write(&mut self, logs: &[Log]) {
        for batch in logs.chunks(BATCH) {
            let tx = match &self.ask(TxId::NONE, [Request::TransactionStart])[0] {
                Reply::Transaction(tx) => *tx,
                other => panic!("{other:?}"),
            };
            let nodes = batch.iter().flat_map(|log| log.nodes.iter().map(|(node, value)| (log.at(node), value)));
            let nodes: Vec<_> = nodes.collect();
            self.ask(tx, nodes.iter().map(|(path, value)| Request::Write { path, value }));
            self.ask(tx, [Request::TransactionEnd { commit: true }]);
        }
    }

    /// Writes something to each of these nodes, whatever is there.
    pub fn change(&mut self, paths: &[String]) {
        self.ask(TxId::NONE, paths.iter().map(|path| Request::Write { path, value: b"4" }));
    }

    /// Reads a node of each, `None` where there is none.
    pub fn read(&mut self, logs: &[Log], node: &str) -> Vec<Option<Vec<u8>>> {
        let paths: Vec<String> = logs.iter().map(|log| log.at(node)).collect();
        let replies = self.try_ask(TxId::NONE, paths.iter().map(|path| Request::Read { path }));
        let value = |reply: Result<Reply, xenstore::Error>| match reply {
            Ok(Reply::Value(value)) => Some(value),
            Err(why) if why.is_absent() => None,
            other => panic!("{other:?}"),
        };
        replies.into_iter().map(value).collect()
    }

    fn ask<'a>(&mut self, tx: TxId, requests: impl IntoIterator<Item = Request<'a>>) -> Vec<Reply> {
        self.try_ask(tx, requests).into_iter().map(Result::unwrap).collect()
    }

    /// Sends all, then waits for all answers, in order.
    fn try_ask<'a>(
        &mut self,
        tx: TxId,
        requests: impl IntoIterator<Item = Request<'a>>,
    ) -> Vec<Result<Reply, xenstore::Error>> {
        let ids: Vec<RequestId> =
            requests.into_iter().map(|request| self.connection.submit(tx, request).unwrap()).collect();
        let (mut replies, start) = (Vec::new(), Instant::now());
        while replies.len() < ids.len() {
            assert!(start.elapsed() < PATIENCE, "the store does not answer");
            self.connection.process().unwrap();
            while let Some(incoming) = self.connection.next() {
                if let Incoming::Reply { id, result } = incoming {
                    assert_eq!(id, ids[replies.len()], "answers come in order");
                    replies.push(result);
                }
            }
            if replies.len() < ids.len() {
                let wanted = if self.connection.wants_write() { PollFlags::OUT | PollFlags::IN } else { PollFlags::IN };
                let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
                // What came of it shows above.
                let _ = poll(&mut [PollFd::new(&self.connection, wanted)], Some(&second));
            }
        }
        replies
    }
}
