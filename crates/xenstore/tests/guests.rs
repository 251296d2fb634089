//! The embedded store against domains other than 0.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use testbed::PATIENCE;
use xenstore::server::{Limits, Server};
use xenstore::wire::{self, Decoder, Kind, Message};
use xenstore::{Access, Address, Client, Errno, Error, Event, Perm};

/// A store with a domain 5 that has its home, as a toolstack makes it.
struct Host {
    server: Server,
    host: Client,
    guest: Client,
    dir: tempfile::TempDir,
}

const GUEST: u32 = 5;

fn host() -> Host {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let mut server = Server::start(dir.path().join("socket"), Limits::default()).unwrap();
    let guest_socket = dir.path().join("guest");
    server.listen_as(GUEST, &guest_socket).unwrap();
    let mut host = Client::connect(&[server.address()], PATIENCE).unwrap();
    host.mkdir("/local/domain/5/data").unwrap();
    host.set_perms("/local/domain/5", &[Perm::new(Access::None, 0), Perm::new(Access::Read, GUEST)]).unwrap();
    host.set_perms("/local/domain/5/data", &[Perm::new(Access::None, GUEST)]).unwrap();
    host.write("/libxl/5/logging/qemu-dm/file", b"/var/log/xen/qemu-dm.log").unwrap();
    let guest = Client::connect(&[Address::unix(guest_socket)], PATIENCE).unwrap();
    Host { server, host, guest, dir }
}

fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    result.unwrap_err().errno().unwrap()
}

#[test]
fn what_is_the_hosts_is_out_of_reach() {
    let Host { mut guest, server: _server, dir: _dir, .. } = host();
    for path in ["/", "/libxl", "/libxl/5/logging/qemu-dm/file", "/libxl/absent"] {
        assert_eq!(errno(guest.read(path)), Errno::Eacces, "{path}");
        assert_eq!(errno(guest.directory(path)), Errno::Eacces, "{path}");
        assert_eq!(errno(guest.get_perms(path)), Errno::Eacces, "{path}");
        assert_eq!(errno(guest.write(path, b"1")), Errno::Eacces, "{path}");
        assert_eq!(errno(guest.mkdir(path)), Errno::Eacces, "{path}");
    }
    assert_eq!(errno(guest.rm("/libxl/5")), Errno::Eacces);
    assert_eq!(errno(guest.introduce(6, 1, 1)), Errno::Eacces);
    assert_eq!(errno(guest.release(5)), Errno::Eacces);
    assert_eq!(errno(guest.is_domain_introduced(5)), Errno::Eacces);
    assert_eq!(errno(guest.set_perms("@releaseDomain", &[Perm::new(Access::Read, 0)])), Errno::Eacces);
}

#[test]
fn a_transaction_is_no_way_around() {
    let Host { mut guest, server: _server, dir: _dir, .. } = host();
    assert_eq!(errno(guest.transaction(|transaction| transaction.write("/libxl/5/x", b"1"))), Errno::Eacces);
    assert_eq!(errno(guest.transaction(|transaction| transaction.read("/libxl/5"))), Errno::Eacces);
}

#[test]
fn its_own_nodes_are_its_own() {
    let Host { mut host, mut guest, server: _server, dir: _dir } = host();
    assert_eq!(errno(guest.write("/local/domain/5/name", b"1")), Errno::Eacces, "it may only read its home");
    guest.write("/local/domain/5/data/a/b", b"1").unwrap();
    assert_eq!(guest.get_perms("/local/domain/5/data/a/b").unwrap(), [Perm::new(Access::None, GUEST)]);
    assert_eq!(host.read("/local/domain/5/data/a/b").unwrap(), b"1");
    guest.set_perms("/local/domain/5/data/a", &[Perm::new(Access::Read, GUEST)]).unwrap();
    let stolen = guest.set_perms("/local/domain/5/data/a", &[Perm::new(Access::Read, 0)]);
    assert_eq!(errno(stolen), Errno::Eacces, "an owner cannot give a node away");
    guest.rm("/local/domain/5/data/a").unwrap();
    assert_eq!(guest.directory("/local/domain/5").unwrap(), ["data"]);
}

#[test]
fn it_is_told_only_of_what_it_may_read() {
    let Host { mut host, mut guest, server: _server, dir: _dir } = host();
    let deadline = Instant::now() + PATIENCE;
    for path in ["/", "/libxl/5", "@releaseDomain", "/local/domain/5/data"] {
        guest.watch(path, "t").unwrap();
        let first = guest.next_event(deadline).unwrap().unwrap();
        assert_eq!(first.path, path, "the first event comes in any case");
    }
    host.write("/libxl/5/logging/qemu-dm/file", b"another").unwrap();
    host.rm("/libxl/5").unwrap();
    host.introduce(6, 1, 1).unwrap();
    host.release(6).unwrap();
    host.write("/local/domain/5/data/x", b"1").unwrap();
    assert_eq!(guest.next_event(deadline).unwrap().unwrap().path, "/local/domain/5/data/x", "nothing before");
    host.set_perms("@releaseDomain", &[Perm::new(Access::None, 0), Perm::new(Access::Read, GUEST)]).unwrap();
    host.introduce(6, 1, 1).unwrap();
    host.release(6).unwrap();
    assert_eq!(guest.next_event(deadline).unwrap().unwrap().path, "@releaseDomain", "once it may");
}

/// Paths that do not begin with `/` are below the domain's home, in requests and in events. Clients of this crate do
/// not send them, guests do.
#[test]
fn paths_may_be_relative_to_its_home() {
    let Host { mut host, dir, server: _server, .. } = host();
    let mut stream = UnixStream::connect(dir.path().join("guest")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut decoder = Decoder::new();
    let mut receive = |stream: &mut UnixStream| -> Message {
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte).unwrap();
            if let Some(message) = decoder.next(&mut &byte[..]).unwrap() {
                return message;
            }
        }
    };
    let send = |stream: &mut UnixStream, kind, payload: &[u8]| {
        let mut bytes = Vec::new();
        wire::encode(kind, 1, 0, &[payload], &mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    };
    send(&mut stream, Kind::WRITE, b"data/a\x001");
    assert_eq!(receive(&mut stream).kind, Kind::WRITE);
    assert_eq!(host.read("/local/domain/5/data/a").unwrap(), b"1");
    send(&mut stream, Kind::WATCH, b"data\0t\0");
    assert_eq!(receive(&mut stream).kind, Kind::WATCH);
    assert_eq!(receive(&mut stream).payload, b"data\0t\0");
    host.write("/local/domain/5/data/a", b"2").unwrap();
    assert_eq!(receive(&mut stream).payload, b"data/a\0t\0");
}

#[test]
fn one_connection_cannot_use_anothers_transaction_or_watch() {
    let Host { server, mut guest, dir: _dir, .. } = host();
    let mut host = Client::connect(&[server.address()], PATIENCE).unwrap();
    host.watch("/a", "t").unwrap();
    assert_eq!(errno(guest.unwatch("/a", "t")), Errno::Enoent);
    host.write("/a", b"1").unwrap();
    let event = host.next_event(Instant::now() + PATIENCE).unwrap();
    assert_eq!(event, Some(Event { path: "/a".into(), token: "t".into() }));
    assert_eq!(guest.next_event(Instant::now() + Duration::from_millis(1)).unwrap(), None);
}
