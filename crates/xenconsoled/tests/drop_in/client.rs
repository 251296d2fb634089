//! Xen's own client, which `xl console` runs, as the distribution ships it.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use testbed::until;

use crate::scene::Scene;

/// A client that runs, with pipes for a terminal; killed when this is dropped.
struct Client {
    child: Child,
    /// What it has shown so far.
    shown: Arc<Mutex<Vec<u8>>>,
    /// What was looked at.
    seen: usize,
}

impl Client {
    fn start(scene: &Scene, domid: u16) -> Client {
        let mut command = scene.machine.program("xenconsole");
        command.args([&domid.to_string(), "--num", "0", "--type", "pv", "--interactive"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (shown, mut output) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().unwrap());
        let shared = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                shared.lock().unwrap().extend(&buffer[..count]);
            }
        });
        Client { child, shown, seen: 0 }
    }

    /// Waits until it shows this next.
    fn shows(&mut self, text: &str) {
        until(text, || {
            let shown = self.shown.lock().unwrap();
            let new = &shown[self.seen..];
            assert!(text.as_bytes().starts_with(new), "{:?} instead of {text:?}", String::from_utf8_lossy(new));
            (new.len() == text.len()).then_some(())
        });
        self.seen += text.len();
    }

    fn types(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn ended(&mut self) -> Option<i32> {
        until("the client's end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn a_session(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    scene.served(&guest);
    guest.write("login: ");
    let mut client = Client::start(scene, 7);
    client.shows("login: ");
    client.types("root\r");
    assert_eq!(guest.read(5), b"root\r");
    // CTRL-] ends it, with a good status.
    client.types("\x1d");
    assert_eq!(client.ended(), Some(0));
    // And there may be another.
    guest.write("# ");
    Client::start(scene, 7).shows("# ");
}

/// A daemon that was started anew, in whatever way, has the client go on by itself.
pub fn a_restart_is_followed(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&["--log=guest"]);
    scene.served(&guest);
    let mut client = Client::start(scene, 7);
    for round in 0..3 {
        guest.write(format!("round {round}\r\n"));
        client.shows(&format!("round {round}\r\n"));
        // What a daemon was killed over may be shown again: see `tests/consoles`.
        guest.drained();
        scene.log_until("guest-web.log", &format!("round {round}\r\n"));
        scene.kill();
        // The remote side of the port is free at once, and what is in the ring waits.
        assert_eq!(guest.put("meanwhile\r\n"), 11);
        assert!(!guest.is_bound());
        scene.start(&["--log=guest"]);
        client.shows("meanwhile\r\n");
        scene.served(&guest);
        until("input", || {
            client.types(".");
            (!guest.take().is_empty()).then_some(())
        });
    }
    let log: String = (0..3).map(|round| format!("round {round}\r\nmeanwhile\r\n")).collect();
    scene.log_holds("guest-web.log", &log);
}

pub fn a_second_client_is_refused(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    scene.served(&guest);
    let mut first = Client::start(scene, 7);
    guest.write("hello\r\n");
    first.shows("hello\r\n");
    assert_ne!(Client::start(scene, 7).ended(), Some(0));
    guest.write("still\r\n");
    first.shows("still\r\n");
}

pub fn a_destroyed_domain_ends_it(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    scene.served(&guest);
    let mut client = Client::start(scene, 7);
    guest.write("hello\r\n");
    client.shows("hello\r\n");
    scene.machine.destroy(&guest);
    assert_eq!(client.ended(), Some(0));
}

/// As `xl create -c` does: the client is there before the console is.
pub fn a_waiting_client_is_served(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    let mut client = Client::start(scene, 7);
    scene.start(&[]);
    guest.write("hello\r\n");
    client.shows("hello\r\n");
}
