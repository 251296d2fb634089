//! Where the daemon's notifications come in.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use rustix::process::Pid;

use crate::notify::message::{DESCRIPTORS, TEXT};

/// A socket that only its owner can send to. Its name in the file system is gone when this is dropped.
#[derive(Debug)]
pub struct Inbox {
    socket: UnixDatagram,
    path: PathBuf,
}

/// A notification as it came.
#[derive(Debug)]
pub struct Mail {
    /// The process that sent it, as the kernel says.
    pub sender: Option<Pid>,
    /// What it says.
    pub text: Vec<u8>,
    /// What came with it.
    pub descriptors: Vec<OwnedFd>,
}

impl Inbox {
    /// Makes it in a directory, by a name with this process's id: no other keeper's.
    pub fn open(dir: &Path) -> io::Result<Inbox> {
        let path = dir.join(format!("xenconsoled.notify.{}", std::process::id()));
        // Of an earlier process with this id, or of this one before it became another program.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        let inbox = Inbox { socket, path };
        std::fs::set_permissions(&inbox.path, PermissionsExt::from_mode(0o600))?;
        set_socket_passcred(&inbox.socket, true)?;
        inbox.socket.set_nonblocking(true)?;
        Ok(inbox)
    }

    /// Its address, for NOTIFY_SOCKET.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next notification, if there is one.
    pub fn next(&self) -> Option<Mail> {
        loop {
            let mut text = vec![0; TEXT];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS), ScmCredentials(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let came = match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags) {
                Ok(came) => came,
                Err(rustix::io::Errno::INTR) => continue,
                // Nothing, or nothing that could be had: it is the same.
                Err(_) => return None,
            };
            let mut mail = Mail { sender: None, text, descriptors: Vec::new() };
            for message in control.drain() {
                match message {
                    RecvAncillaryMessage::ScmRights(descriptors) => mail.descriptors.extend(descriptors),
                    RecvAncillaryMessage::ScmCredentials(sender) => mail.sender = Some(sender.pid),
                    _ => {}
                }
            }
            mail.text.truncate(came.bytes);
            if came.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
                // Half a message says nothing: whoever acted on it would not do what was asked. It is one of those that are
                // counted all the same: a flood of them keeps nobody here.
                tracing::warn!("a notification was too long, or came with more descriptors than can be open; ignored");
                (mail.text, mail.descriptors) = (Vec::new(), Vec::new());
            }
            return Some(mail);
        }
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Somebody else's removal does as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Notify;

    #[test]
    fn mail_comes_with_its_sender_and_its_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(dir.path()).unwrap();
        let mut notify = Notify::connect(inbox.path().as_os_str(), None).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        assert!(notify.store("pipe", &[writer.as_fd(), inbox.as_fd()]));
        drop(writer);
        let mail = inbox.next().unwrap();
        assert_eq!(mail.sender, Some(rustix::process::getpid()));
        assert_eq!((&mail.text[..], mail.descriptors.len()), (&b"FDSTORE=1\nFDNAME=pipe\nFDPOLL=0"[..], 2));
        rustix::io::write(&mail.descriptors[0], b"x").unwrap();
        drop(mail);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "x", "the inbox keeps nothing for itself");
        assert!(inbox.next().is_none());
    }

    #[test]
    fn what_is_too_long_says_nothing_and_keeps_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(dir.path()).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(&[b'x'; TEXT + 1], inbox.path()).unwrap();
        sender.send_to(&[b'y'; TEXT], inbox.path()).unwrap();
        assert_eq!(inbox.next().unwrap().text, b"", "one look, one message");
        assert_eq!(inbox.next().unwrap().text, [b'y'; TEXT]);
        assert!(inbox.next().is_none());
    }

    #[test]
    fn nobody_else_can_send_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        // As a killed keeper leaves it.
        drop(UnixDatagram::bind(dir.path().join(format!("xenconsoled.notify.{}", std::process::id()))).unwrap());
        let inbox = Inbox::open(dir.path()).unwrap();
        let path = inbox.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(inbox);
        assert!(!path.exists());
    }
}
