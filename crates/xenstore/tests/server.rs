//! The embedded store's limits, and how it stands what no client of this crate sends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use testbed::{PATIENCE, until};
use xenstore::server::{Limits, Server};
use xenstore::wire::{self, Kind, PAYLOAD_MAX};
use xenstore::{Client, Connection, Errno, Error, Incoming, Reply, Request, Session, SessionEvent, TxId};

fn start(limits: Limits) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    (Server::start(dir.path().join("socket"), limits).unwrap(), dir)
}

fn connect(server: &Server) -> Client {
    Client::connect(&[server.address()], PATIENCE).unwrap()
}

fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    result.unwrap_err().errno().unwrap()
}

#[test]
fn nodes_are_limited() {
    // "/", "/tool" and "/tool/xenstored" are there.
    let (server, _dir) = start(Limits { nodes: 5, ..Limits::default() });
    let mut client = connect(&server);
    assert_eq!(errno(client.write("/a/b/c", b"1")), Errno::Enospc);
    assert!(client.read("/a").unwrap_err().is_absent(), "not half of it");
    client.write("/a/b", b"1").unwrap();
    assert_eq!(errno(client.mkdir("/a/c")), Errno::Enospc);
    client.write("/a/b", b"2").unwrap();
    client.rm("/a/b").unwrap();
    client.mkdir("/a/c").unwrap();
}

#[test]
fn nodes_are_limited_in_transactions_too() {
    let (server, _dir) = start(Limits { nodes: 5, ..Limits::default() });
    let mut client = connect(&server);
    let result = client.transaction(|transaction| {
        for number in 0..10 {
            transaction.write(&format!("/{number}"), b"")?;
        }
        Ok(())
    });
    assert_eq!(errno(result), Errno::Enospc);
}

#[test]
fn values_and_paths_are_limited() {
    let (server, _dir) = start(Limits { value: 3, path: 6, ..Limits::default() });
    let mut client = connect(&server);
    client.write("/a", b"123").unwrap();
    assert_eq!(errno(client.write("/a", b"1234")), Errno::Enospc);
    client.mkdir("/12345").unwrap();
    assert_eq!(errno(client.mkdir("/123456")), Errno::Einval);
}

#[test]
fn watches_are_limited_for_each_connection() {
    let (server, _dir) = start(Limits { watches: 2, ..Limits::default() });
    let mut client = connect(&server);
    client.watch("/a", "t").unwrap();
    client.watch("/b", "t").unwrap();
    assert_eq!(errno(client.watch("/c", "t")), Errno::E2big);
    client.unwatch("/a", "t").unwrap();
    client.watch("/c", "t").unwrap();
    connect(&server).watch("/c", "t").unwrap();
}

/// The answer to TRANSACTION_START came after its call had given up: nobody knew of the transaction, and the store
/// kept it open until the connection ended.
#[test]
fn a_transaction_whose_start_timed_out_is_ended() {
    let (server, _dir) = start(Limits { transactions: 1, ..Limits::default() });
    let mut client = connect(&server);
    server.pause();
    client.set_timeout(Duration::from_millis(20));
    let result = client.transaction(|transaction| transaction.write("/a", b"1"));
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    server.resume();
    client.set_timeout(PATIENCE);
    client.directory("/").unwrap();
    client.transaction(|transaction| transaction.write("/a", b"1")).unwrap();
}

/// What is not committed is ended, not left to the end of the connection.
#[test]
fn a_transaction_that_failed_or_panicked_is_ended() {
    let (server, _dir) = start(Limits { transactions: 1, ..Limits::default() });
    let mut client = connect(&server);
    assert_eq!(errno(client.transaction(|transaction| transaction.read("/absent"))), Errno::Enoent);
    client.transaction(|transaction| transaction.write("/a", b"1")).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        client.transaction(|_| -> Result<(), Error> { panic!("in the middle of a transaction") })
    }));
    assert!(result.is_err());
    client.transaction(|transaction| transaction.write("/a", b"2")).unwrap();
}

#[test]
fn transactions_are_limited_for_each_connection() {
    let (server, _dir) = start(Limits { transactions: 1, ..Limits::default() });
    let address = [server.address()];
    let mut client = connect(&server);
    client
        .transaction(|_| {
            let mut other = Client::connect(&address, PATIENCE)?;
            other.transaction(|transaction| transaction.write("/a", b"1"))
        })
        .unwrap();
    let mut connection = Connection::open(&address[0]).unwrap();
    connection.submit(TxId::NONE, Request::TransactionStart).unwrap();
    connection.submit(TxId::NONE, Request::TransactionStart).unwrap();
    let mut reply = || {
        until("a reply", || {
            connection.process().unwrap();
            match connection.next() {
                Some(Incoming::Reply { result, .. }) => Some(result),
                _ => None,
            }
        })
    };
    assert!(matches!(reply(), Ok(Reply::Transaction(_))));
    assert_eq!(errno(reply()), Errno::Enospc);
}

/// Changes would go unseen: a session with a watch that is refused is none.
#[test]
fn a_session_whose_watch_is_refused_is_lost() {
    let (server, _dir) = start(Limits { watches: 1, ..Limits::default() });
    let mut session = Session::new(vec![server.address()]);
    session.watch("/a", "t").unwrap();
    session.watch("/b", "t").unwrap();
    let event = until("the loss", || {
        session.process(Instant::now());
        session.next()
    });
    match event {
        SessionEvent::Lost(error) => assert_eq!(error.errno(), Some(Errno::E2big)),
        other => panic!("{other:?}"),
    }
    session.unwatch("/b", "t");
    let event = until("the scan", || {
        session.process(Instant::now());
        session.next()
    });
    assert_eq!(event, SessionEvent::Rescan);
}

/// A store that accepts connections and drops them at once is not asked a hundred times a second; one that was there
/// for a while is looked for at once.
#[test]
fn pauses_begin_anew_only_after_a_connection_that_lasted() {
    let (server, _dir) = start(Limits::default());
    let mut session = Session::new(vec![server.address()]);
    let mut pause_after = |lasted: Duration| {
        let mut now = session.deadline().unwrap();
        until("the scan", || {
            session.process(now);
            session.next().filter(|event| *event == SessionEvent::Rescan)
        });
        server.drop_connections();
        now += lasted;
        until("the loss", || {
            session.process(now);
            session.next()
        });
        session.deadline().unwrap() - now
    };
    assert_eq!(pause_after(Duration::ZERO), Session::RETRY_MIN);
    assert_eq!(pause_after(Duration::ZERO), 2 * Session::RETRY_MIN);
    assert_eq!(pause_after(Duration::ZERO), 4 * Session::RETRY_MIN);
    assert_eq!(pause_after(Session::RETRY_MAX), Session::RETRY_MIN);
}

#[test]
fn dropped_connections_leave_the_nodes() {
    let (server, _dir) = start(Limits::default());
    let mut client = connect(&server);
    client.write("/a", b"1").unwrap();
    server.drop_connections();
    assert!(matches!(client.read("/a"), Err(Error::Disconnected(_))));
    assert_eq!(connect(&server).read("/a").unwrap(), b"1");
}

#[test]
fn what_is_no_message_ends_that_connection_alone() {
    let (server, _dir) = start(Limits::default());
    let mut client = connect(&server);
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let header = [Kind::WRITE.0, 1, 0, PAYLOAD_MAX as u32 + 1].map(u32::to_ne_bytes).concat();
    stream.write_all(&header).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "the connection is closed");
    client.write("/a", b"1").unwrap();
}

#[test]
fn what_is_not_known_is_told() {
    let (server, _dir) = start(Limits::default());
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    wire::encode(Kind(4711), 7, 0, &[b"?"], &mut bytes).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut reply = [0; 16 + 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply[16..], b"ENOSYS\0");
    assert_eq!(reply[..4], Kind::ERROR.0.to_ne_bytes());
    assert_eq!(reply[4..8], 7u32.to_ne_bytes());
}

/// A client that asks and never reads costs itself alone.
#[test]
fn who_does_not_read_holds_nobody_up() {
    let (server, _dir) = start(Limits::default());
    let mut client = connect(&server);
    client.write("/a", &[b'x'; 4000]).unwrap();
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        wire::encode(Kind::READ, 1, 0, &[b"/a\0"], &mut bytes).unwrap();
    }
    stream.write_all(&bytes).unwrap();
    for _ in 0..100 {
        assert_eq!(client.read("/a").unwrap().len(), 4000);
    }
}

#[test]
fn the_socket_is_its_owners_and_goes_with_the_server() {
    use std::os::unix::fs::PermissionsExt;
    let (server, dir) = start(Limits::default());
    let socket = server.socket().to_owned();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    drop(server);
    assert!(!socket.exists());
    std::fs::write(dir.path().join("socket"), b"left behind").unwrap();
    let server = Server::start(&socket, Limits::default()).unwrap();
    connect(&server).write("/a", b"1").unwrap();
}

#[test]
fn where_nobody_can_listen_is_told() {
    let error = Server::start("/nonexistent/socket", Limits::default()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/socket"), "{error}");
}
