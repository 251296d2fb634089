//! What libvirt's QEMU driver says to virtlogd (in libvirt: src/rpc/virnetprotocol.x, src/logging/log_protocol.x).

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::xdr::{Reader, Writer};
use crate::works::Failure;

/// VIR_LOG_MANAGER_PROTOCOL_PROGRAM and its version.
const PROGRAM: (u32, u32) = (0x8753_9319, 1);
/// VIR_LOG_MANAGER_PROTOCOL_PROC_DOMAIN_OPEN_LOG_FILE.
const OPEN: u32 = 1;
/// VIR_NET_CALL and VIR_NET_REPLY_WITH_FDS.
const CALL: u32 = 0;
const REPLY_WITH_FDS: u32 = 5;
/// VIR_NET_OK.
const OK: u32 = 0;
/// The longest message (VIR_NET_MESSAGE_MAX is more; nothing of this comes near).
const LONGEST: usize = 1 << 20;

/// A connection to virtlogd.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    serial: u32,
}

impl Client {
    /// Connects; it may not have come so far as to answer.
    pub fn connect(socket: &Path) -> Result<Client, Failure> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Client { stream, serial: 0 })
    }

    /// Opens a log and gives the write end of its pipe.
    pub fn open(&mut self, domain: &str, file: &Path) -> Result<File, Failure> {
        self.serial += 1;
        self.stream.write_all(&request(self.serial, domain, file))?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=LONGEST).contains(&length) {
            return Err("virtlogd: a message of no length".into());
        }
        let mut reply = vec![0; length - 4];
        self.stream.read_exact(&mut reply)?;
        if reads_one_descriptor(&reply, self.serial)? { self.descriptor() } else { Err("virtlogd: no pipe".into()) }
    }

    /// A descriptor comes with a byte of its own.
    fn descriptor(&self) -> Result<File, Failure> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        recvmsg(&self.stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(all) => Some(all),
            _ => None,
        });
        let first = descriptors.flatten().next().ok_or("virtlogd: a pipe that did not come")?;
        Ok(first.into())
    }
}

/// A call, with its length before it.
fn request(serial: u32, domain: &str, file: &Path) -> Vec<u8> {
    let uuid = u128::from(serial).to_be_bytes();
    let call = Writer::default()
        .number(PROGRAM.0)
        .number(PROGRAM.1)
        .number(OPEN)
        .number(CALL)
        .number(serial)
        .number(OK)
        .string(b"qemu")
        .fixed(&uuid)
        .string(domain.as_bytes())
        .string(file.as_os_str().as_bytes())
        // No flags: it goes on behind what is there.
        .number(0)
        .finish();
    let mut message = Writer::default().number(call.len() as u32 + 4).finish();
    message.extend(call);
    message
}

/// Whether this is the answer, with one descriptor to come.
fn reads_one_descriptor(reply: &[u8], serial: u32) -> Result<bool, Failure> {
    let mut reader = Reader::new(reply);
    let mut header = [0; 6];
    for field in &mut header {
        *field = reader.number().ok_or("virtlogd: a message that ends too early")?;
    }
    if header[5] != OK {
        // virNetMessageError: code, domain, and, after a mark that there is one, a text.
        let (_, _, mark) = (reader.number(), reader.number(), reader.number());
        let text = if mark == Some(1) { reader.string() } else { None };
        return Err(format!("virtlogd: {}", String::from_utf8_lossy(text.unwrap_or(b"an error"))).into());
    }
    if header[4] != serial {
        return Err("virtlogd: an answer to something else".into());
    }
    Ok(header[3] == REPLY_WITH_FDS && reader.number() == Some(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_as_long_as_it_says() {
        let message = request(9, "guest", Path::new("/log/file"));
        assert_eq!(message.len() % 4, 0);
        assert_eq!(message[..4], (message.len() as u32).to_be_bytes());
        assert_eq!(message[4..8], 0x8753_9319_u32.to_be_bytes());
    }

    #[test]
    fn only_the_answer_is_an_answer() {
        let reply = |kind, serial, status| {
            let head = Writer::default().number(PROGRAM.0).number(1).number(OPEN).number(kind).number(serial);
            head.number(status)
        };
        let good = reply(REPLY_WITH_FDS, 9, OK).number(1).finish();
        assert!(reads_one_descriptor(&good, 9).unwrap());
        assert!(!reads_one_descriptor(&reply(1, 9, OK).number(1).finish(), 9).unwrap());
        assert!(reads_one_descriptor(&good, 8).is_err());
        assert!(reads_one_descriptor(&good[..20], 9).is_err());
        let refused = reply(1, 9, 1).number(38).number(0).number(1).string(b"no room").finish();
        assert_eq!(reads_one_descriptor(&refused, 9).unwrap_err().to_string(), "virtlogd: no room");
    }
}
