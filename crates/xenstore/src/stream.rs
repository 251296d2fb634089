//! The file descriptor under a connection, never blocking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::wire::HEADER_LEN;
use crate::{Address, Error};

/// A socket, or the kernel's device. The device differs in three ways (drivers/xen/xenbus/xenbus_dev_frontend.c in
/// Linux): it takes one message in one write and forgets what is behind it, it never reports that it can be written,
/// because it always can, and it cannot be shut down for one direction.
#[derive(Debug)]
pub(crate) struct Stream {
    fd: OwnedFd,
    is_device: bool,
}

impl Stream {
    pub(crate) fn open(address: &Address) -> Result<Self, Error> {
        let is_device = address.is_device();
        let opened = if is_device {
            rustix::fs::open(address.path(), OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        } else {
            connect(address)
        };
        match opened {
            Ok(fd) => Ok(Stream { fd, is_device }),
            Err(source) => Err(Error::Connect { address: address.clone(), source }),
        }
    }

    #[cfg(test)]
    pub(crate) fn from_fd(fd: OwnedFd, is_device: bool) -> Self {
        Stream { fd, is_device }
    }

    pub(crate) fn is_device(&self) -> bool {
        self.is_device
    }

    /// Writes the front of `bytes`, which begins with a message; gives the bytes that were taken.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if self.is_device {
            rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, &bytes[..first_message(bytes)]))
        } else {
            rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, bytes, SendFlags::NOSIGNAL))
        }
    }

    /// Reads what is there; 0 at the end of the stream.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn connect(address: &Address) -> Result<OwnedFd, Errno> {
    let name = SocketAddrUnix::new(address.path())?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&fd, &name)?;
    Ok(fd)
}

/// Length of the message that `bytes` begins with.
fn first_message(bytes: &[u8]) -> usize {
    let mut length = [0; 4];
    match bytes.get(HEADER_LEN - 4..HEADER_LEN) {
        Some(word) => length.copy_from_slice(word),
        None => return bytes.len(),
    }
    bytes.len().min(HEADER_LEN + u32::from_ne_bytes(length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, TxId};

    #[test]
    fn a_device_gets_one_message_in_one_write() {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let stream = Stream::from_fd(ours, true);
        let mut bytes = Vec::new();
        Request::Read { path: "/a" }.encode(1, TxId::NONE, &mut bytes).unwrap();
        Request::Read { path: "/bc" }.encode(2, TxId::NONE, &mut bytes).unwrap();
        let first = stream.write(&bytes).unwrap();
        assert_eq!(first, HEADER_LEN + 3);
        let mut buffer = [0; 100];
        assert_eq!(rustix::io::read(&theirs, &mut buffer[..]).unwrap(), first);
        assert_eq!(stream.write(&bytes[first..]).unwrap(), HEADER_LEN + 4);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_told() {
        let address = Address::unix(format!("/tmp/{}", "a".repeat(200)));
        let error = Stream::open(&address).unwrap_err();
        assert_eq!(error, Error::Connect { address, source: Errno::NAMETOOLONG });
    }

    #[test]
    fn nobody_there_is_told() {
        let address = Address::unix("/nonexistent/socket");
        let error = Stream::open(&address).unwrap_err();
        assert_eq!(error, Error::Connect { address, source: Errno::NOENT });
    }
}
