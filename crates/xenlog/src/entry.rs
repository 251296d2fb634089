//! The entry of a log in the store: what is written into it, and how it goes.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use logproto::EntryKey;
use xenstore::{Connection, Errno, Error, Incoming, Reply, Request, TxId};

use crate::OpenOptions;
use crate::wait::wait;

/// The nodes of a request and their values.
pub(crate) fn nodes(options: &OpenOptions, pipe: &Path) -> Vec<(&'static str, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    let file = options.places.log_file(&options.file);
    let text = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let mut nodes = vec![("pipe", text(pipe)), ("file", text(&file))];
    let mut add = |node, value: Option<String>| nodes.extend(value.map(|value| (node, value.into_bytes())));
    add("limit", options.limit.map(|limit| limit.to_string()));
    add("copies", options.copies.map(|copies| copies.to_string()));
    add("policy", options.policy.map(|policy| policy.to_string()));
    add("timestamp", options.stamp.map(|stamp| stamp.to_string()));
    nodes
}

/// Removes an entry, if it is still the one with this FIFO: its id may be somebody else's by now. Ends by `deadline`.
pub(crate) fn remove(connection: &mut Connection, key: &EntryKey, pipe: &Path, deadline: Instant) -> Result<(), Error> {
    loop {
        let mut call = |tx, request: Request<'_>| call(connection, tx, request, deadline);
        let Reply::Transaction(tx) = call(TxId::NONE, Request::TransactionStart)? else {
            return Err(Error::Protocol("no transaction was started".into()));
        };
        let ours = match call(tx, Request::Read { path: &key.node("pipe") }) {
            Ok(Reply::Value(value)) => value == pipe.as_os_str().as_encoded_bytes(),
            Err(error) if !error.is_absent() => return Err(error),
            _ => false,
        };
        if !ours {
            return call(tx, Request::TransactionEnd { commit: false }).map(drop);
        }
        call(tx, Request::Rm { path: &key.path() })?;
        match call(tx, Request::TransactionEnd { commit: true }) {
            Err(error) if error.errno() == Some(Errno::Eagain) => {}
            ended => return ended.map(drop),
        }
    }
}

/// One request and its answer, bounded. Everything else that comes in is thrown away.
fn call(connection: &mut Connection, tx: TxId, request: Request<'_>, deadline: Instant) -> Result<Reply, Error> {
    let began = Instant::now();
    let asked = connection.submit(tx, request)?;
    loop {
        let processed = connection.process();
        while let Some(incoming) = connection.next() {
            match incoming {
                Incoming::Reply { id, result } if id == asked => return result,
                _ => {}
            }
        }
        processed?;
        if Instant::now() >= deadline {
            let (request, path) = (request.name(), request.subject());
            return Err(Error::Timeout { request, path, waited: began.elapsed() });
        }
        wait(Some((connection.as_fd(), connection.wants_write())), None, deadline);
    }
}
