//! A client's end of a console.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use testbed::until;

/// A tty that is open.
pub struct Tty(File);

impl Tty {
    pub fn open(path: &Path) -> Tty {
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
        let file = File::options().read(true).write(true).custom_flags(flags).open(path);
        Tty(file.unwrap_or_else(|why| panic!("{}: {why}", path.display())))
    }

    /// What there is to read now; None at its end.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        match self.0.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => Some(buffer[..count].to_vec()),
            Err(why) if why.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
            Err(_) => None,
        }
    }

    /// Waits until it shows this, and nothing else before it.
    pub fn shows(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let mut shown = Vec::new();
        until("output on a tty", || {
            shown.extend(self.read().expect("a tty that is not at its end"));
            assert!(
                text.starts_with(&shown),
                "{:?} instead of {:?}",
                String::from_utf8_lossy(&shown),
                String::from_utf8_lossy(text)
            );
            (shown.len() == text.len()).then_some(())
        });
    }

    /// Reads until what was read ends with this.
    pub fn read_until(&mut self, end: impl AsRef<[u8]>) -> Vec<u8> {
        let mut shown = Vec::new();
        until("output on a tty", || {
            shown.extend(self.read().expect("a tty that is not at its end"));
            shown.ends_with(end.as_ref()).then_some(())
        });
        shown
    }

    /// Reads until the daemon has closed its side; what came before that.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        until("the end of a tty", || match self.read() {
            Some(bytes) => {
                shown.extend(bytes);
                None
            }
            None => Some(()),
        });
        shown
    }

    /// Types something.
    pub fn types(&mut self, text: impl AsRef<[u8]>) {
        let mut rest = text.as_ref();
        until("a tty that takes input", || {
            match self.0.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                Err(why) => panic!("cannot type: {why}"),
            }
            rest.is_empty().then_some(())
        });
    }
}
