//! A slow way to a store: what passes comes byte by byte.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Passes on what clients and the store say, one byte a system call. Its threads end with the connections.
pub struct Slow {
    socket: PathBuf,
    passed: Arc<AtomicU64>,
}

impl Slow {
    /// A way to the store at this socket.
    pub fn to(store: PathBuf, dir: &Path) -> Slow {
        let socket = dir.join("slow");
        let listener = UnixListener::bind(&socket).unwrap();
        let passed = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&passed);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                // A store that is gone: so is the connection.
                let Ok(server) = UnixStream::connect(&store) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let passed = Arc::clone(&counted);
                    thread::spawn(move || pass(&from, &to, &passed));
                }
            }
        });
        Slow { socket, passed }
    }

    /// Where it begins.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Bytes that have passed.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

fn pass(mut from: &UnixStream, mut to: &UnixStream, passed: &AtomicU64) {
    let mut byte = [0];
    while from.read(&mut byte).is_ok_and(|read| read == 1) && to.write_all(&byte).is_ok() {
        passed.fetch_add(1, Ordering::Relaxed);
        // Whoever reads sees it come alone, and the next one only then.
        thread::yield_now();
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
