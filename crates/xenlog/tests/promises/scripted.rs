//! What the library does when others keep changing the store: told by a store that plays it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use logproto::Owner;
use xenlog::{Error, OpenOptions, Places};
use xenstore::Address;
use xenstore::wire::{Decoder, Kind, encode};

use crate::host::HOUR;

/// A store of one connection, whose transactions meet so many conflicts; then it closes. Gives how many it counted.
fn store(listener: &UnixListener, conflicts: u32) -> u32 {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut decoder, mut met) = (Decoder::new(), 0);
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return met;
        }
        let mut input = &buffer[..count];
        while let Some(message) = decoder.next(&mut input).unwrap() {
            let (kind, payload): (Kind, &[u8]) = match message.kind {
                Kind::READ => (Kind::READ, b"1"),
                Kind::TRANSACTION_START => (Kind::TRANSACTION_START, b"1\0"),
                Kind::DIRECTORY => (Kind::ERROR, b"ENOENT\0"),
                Kind::TRANSACTION_END if met < conflicts => {
                    met += 1;
                    (Kind::ERROR, b"EAGAIN\0")
                }
                // The request is in: what follows is another test's.
                Kind::TRANSACTION_END => return met,
                kind => (kind, b"OK\0"),
            };
            answer(&mut stream, kind, message.request, payload);
        }
    }
}

fn answer(stream: &mut UnixStream, kind: Kind, request: u32, payload: &[u8]) {
    let mut out = Vec::new();
    encode(kind, request, 0, &[payload], &mut out).unwrap();
    stream.write_all(&out).unwrap();
}

fn ask(conflicts: u32) -> (Error, u32) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let listener = UnixListener::bind(&path).unwrap();
    let played = thread::spawn(move || store(&listener, conflicts));
    let places = Places { store: vec![Address::unix(path)], run_dir: dir.path().into(), log_dir: dir.path().into() };
    let error = OpenOptions::new(Owner::Host, "a.log").places(places).wait(HOUR).open().unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the socket alone");
    (error, played.join().unwrap())
}

#[test]
fn a_conflict_is_met_by_trying_again() {
    let (error, met) = ask(5);
    assert_eq!(met, 5);
    assert!(matches!(error, Error::Store(xenstore::Error::Disconnected(_))), "the store went away: {error}");
}

#[test]
fn conflicts_without_end_have_an_end() {
    let (error, met) = ask(u32::MAX);
    assert!(matches!(error, Error::Conflicts(count) if count == met), "{error}");
}
