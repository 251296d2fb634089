//! Entries of many logs, written as fast as a store takes them.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testbed::{PATIENCE, Store};
use xenstore::{Connection, Error, Incoming, Reply, Request, RequestId, TxId};

use crate::clock::now;
use crate::scene::Scene;
use crate::works::Failure;

/// Entries of one transaction.
const BATCH: usize = 50;

/// Asks for all logs of a scene: one each of so many domains.
pub fn ask(store: &Store, scene: &Scene) -> Result<(), Failure> {
    let mut nodes = Vec::new();
    for log in 0..scene.order.logs {
        let mut node = |node: &str, value: String| nodes.push((format!("{}/{node}", entry(log)), value.into_bytes()));
        node("pipe", scene.pipe(log).display().to_string());
        node("file", scene.file(log).display().to_string());
        node("limit", scene.order.limit.to_string());
        node("copies", scene.order.copies.to_string());
    }
    let mut store = Pipelined(Connection::open(&store.address())?);
    for batch in nodes.chunks(BATCH * 4) {
        let started = store.ask(TxId::NONE, [Request::TransactionStart])?;
        let Some(Ok(Reply::Transaction(tx))) = started.into_iter().next() else { return Err("no transaction".into()) };
        let writes = batch.iter().map(|(path, value)| Request::Write { path, value });
        for reply in store.ask(tx, writes.chain([Request::TransactionEnd { commit: true }]))? {
            reply?;
        }
    }
    Ok(())
}

/// States that are asked for at once.
const STATES: usize = 100;

/// Waits until so many logs are served. It asks for one until that one is, and then for many: a store that is asked for all of them
/// again and again has no time for the daemon.
pub fn wait_until_ready(store: &Store, logs: usize) -> Result<(), Failure> {
    let mut store = Pipelined(Connection::open(&store.address())?);
    let (mut ready, mut most, mut progress) = (0, 1, now());
    while ready < logs {
        let states: Vec<String> = (ready..logs).take(most).map(|log| format!("{}/state", entry(log))).collect();
        let before = ready;
        for reply in store.ask(TxId::NONE, states.iter().map(|path| Request::Read { path }))? {
            match reply {
                Ok(Reply::Value(state)) if state == b"ready" => ready += 1,
                Err(why) if why.is_absent() => break,
                other => return Err(format!("log {ready}: {other:?}").into()),
            }
        }
        if ready > before {
            (most, progress) = (STATES, now());
        } else if now() - progress > PATIENCE {
            return Err(format!("{ready} logs of {logs} are ready, and no more come").into());
        } else {
            most = 1;
            std::thread::sleep(Duration::from_micros(500));
        }
    }
    Ok(())
}

fn entry(log: usize) -> String {
    format!("/libxl/{log}/logging/qemu")
}

/// A connection on which requests do not wait for each other.
struct Pipelined(Connection);

impl Pipelined {
    /// Sends all, then waits for the answers.
    fn ask<'a>(
        &mut self,
        tx: TxId,
        requests: impl IntoIterator<Item = Request<'a>>,
    ) -> Result<Vec<Result<Reply, Error>>, Error> {
        let submitted: Result<Vec<RequestId>, Error> =
            requests.into_iter().map(|request| self.0.submit(tx, request)).collect();
        let count = submitted?.len();
        let mut replies = Vec::with_capacity(count);
        loop {
            self.0.process()?;
            while let Some(incoming) = self.0.next() {
                if let Incoming::Reply { result, .. } = incoming {
                    replies.push(result);
                }
            }
            if replies.len() == count {
                return Ok(replies);
            }
            let wanted = if self.0.wants_write() { PollFlags::OUT | PollFlags::IN } else { PollFlags::IN };
            // What came of it shows above.
            let _ = poll(&mut [PollFd::new(&self.0, wanted)], Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
        }
    }
}
