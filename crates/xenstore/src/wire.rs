//! Messages as bytes, with no I/O: a header of 16 bytes, then at most 4096 bytes of payload.
//!
//! Source: xen/include/public/io/xs_wire.h. Numbers are in the byte order of the host.

/// Most bytes of payload in one message, either way (`XENSTORE_PAYLOAD_MAX`).
pub const PAYLOAD_MAX: usize = 4096;
/// Most bytes of payload in the reply to DIRECTORY that are taken from a store. oxenstored, in Xen 4.17 as in 4.22, does
/// not know DIRECTORY_PART and sends the whole list in one message over its socket, whatever its size (`packet_of` in
/// tools/ocaml/xenstored/connection.ml); libxenstore breaks the connection then. Room for five times the longest list
/// of domains there can be.
pub const DIRECTORY_MAX: usize = 1 << 20;
/// Bytes of a message's header (`struct xsd_sockmsg`).
pub const HEADER_LEN: usize = 16;

/// The type of a message (`enum xsd_sockmsg_type`). Any number is representable: a newer store may know more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u32);

#[allow(missing_docs, reason = "the names are those of xs_wire.h, without XS_")]
impl Kind {
    pub const CONTROL: Kind = Kind(0);
    pub const DIRECTORY: Kind = Kind(1);
    pub const READ: Kind = Kind(2);
    pub const GET_PERMS: Kind = Kind(3);
    pub const WATCH: Kind = Kind(4);
    pub const UNWATCH: Kind = Kind(5);
    pub const TRANSACTION_START: Kind = Kind(6);
    pub const TRANSACTION_END: Kind = Kind(7);
    pub const INTRODUCE: Kind = Kind(8);
    pub const RELEASE: Kind = Kind(9);
    pub const GET_DOMAIN_PATH: Kind = Kind(10);
    pub const WRITE: Kind = Kind(11);
    pub const MKDIR: Kind = Kind(12);
    pub const RM: Kind = Kind(13);
    pub const SET_PERMS: Kind = Kind(14);
    pub const WATCH_EVENT: Kind = Kind(15);
    pub const ERROR: Kind = Kind(16);
    pub const IS_DOMAIN_INTRODUCED: Kind = Kind(17);
    pub const RESET_WATCHES: Kind = Kind(21);
    pub const DIRECTORY_PART: Kind = Kind(22);
}

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Chosen by the client and echoed in the reply; 0 in a watch event.
    pub request: u32,
    /// The transaction it belongs to; 0 for none.
    pub tx: u32,
    /// At most [`PAYLOAD_MAX`] bytes; in a store's reply to DIRECTORY at most [`DIRECTORY_MAX`].
    pub payload: Vec<u8>,
}

impl Message {
    /// Appends the message as bytes to `out`.
    ///
    /// # Errors
    /// [`PayloadTooLarge`], with nothing appended.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadTooLarge> {
        encode(self.kind, self.request, self.tx, &[&self.payload], out)
    }
}

/// A payload above [`PAYLOAD_MAX`]: announced by a peer that speaks something else, or asked for by a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of {length} bytes, where the protocol allows {PAYLOAD_MAX}")]
pub struct PayloadTooLarge {
    /// Bytes of payload.
    pub length: usize,
}

/// Appends one message to `out`; its payload is `parts` one after the other.
///
/// # Errors
/// [`PayloadTooLarge`], with nothing appended.
pub fn encode(kind: Kind, request: u32, tx: u32, parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), PayloadTooLarge> {
    let length = parts.iter().map(|part| part.len()).sum();
    if length > PAYLOAD_MAX {
        return Err(PayloadTooLarge { length });
    }
    out.reserve(HEADER_LEN + length);
    for word in [kind.0, request, tx, length as u32] {
        out.extend_from_slice(&word.to_ne_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Makes messages of bytes that come in any pieces. Holds at most one message that is not whole yet.
#[derive(Debug, Default)]
pub struct Decoder {
    header: [u8; HEADER_LEN],
    /// Bytes of `header` that are there.
    filled: usize,
    payload: Vec<u8>,
    takes_long_directories: bool,
    refused: Option<PayloadTooLarge>,
}

impl Decoder {
    /// A decoder at the beginning of a stream, strict about [`PAYLOAD_MAX`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for what a store sends: of type [`Kind::DIRECTORY`] it takes up to [`DIRECTORY_MAX`] bytes.
    pub fn for_replies() -> Self {
        Decoder { takes_long_directories: true, ..Self::default() }
    }

    /// Takes bytes from the front of `input` until a message is whole; `None` when all of `input` is taken before.
    /// The announced length is checked before room is made for it.
    ///
    /// # Errors
    /// [`PayloadTooLarge`]. What follows cannot be understood any more: every later call gives the same error.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, PayloadTooLarge> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        if self.filled < HEADER_LEN {
            let part = take(input, HEADER_LEN - self.filled);
            self.header[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
            if self.filled < HEADER_LEN {
                return Ok(None);
            }
            let length = self.word(3) as usize;
            if length > self.most() {
                let error = PayloadTooLarge { length };
                self.refused = Some(error);
                return Err(error);
            }
            // For more than one message may hold, room is made as the bytes come.
            self.payload.reserve_exact(length.min(PAYLOAD_MAX));
        }
        let missing = self.word(3) as usize - self.payload.len();
        self.payload.extend_from_slice(take(input, missing));
        if self.payload.len() < self.word(3) as usize {
            return Ok(None);
        }
        self.filled = 0;
        let payload = std::mem::take(&mut self.payload);
        Ok(Some(Message { kind: Kind(self.word(0)), request: self.word(1), tx: self.word(2), payload }))
    }

    /// Whether the stream stopped inside a message.
    pub fn is_inside(&self) -> bool {
        self.filled > 0
    }

    /// Most bytes of payload in a message with this header.
    fn most(&self) -> usize {
        if self.takes_long_directories && Kind(self.word(0)) == Kind::DIRECTORY { DIRECTORY_MAX } else { PAYLOAD_MAX }
    }

    fn word(&self, index: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.header[4 * index..4 * index + 4]);
        u32::from_ne_bytes(bytes)
    }
}

/// Splits up to `most` bytes off the front of `input`.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    front
}

/// The strings of a payload in which each string ends with a NUL; a last one without its NUL is taken as a string.
/// `None` if the payload is not text.
pub fn strings(payload: &[u8]) -> Option<Vec<&str>> {
    let text = std::str::from_utf8(payload).ok()?;
    if text.is_empty() {
        return Some(Vec::new());
    }
    Some(text.strip_suffix('\0').unwrap_or(text).split('\0').collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u32, request: u32, tx: u32, payload: &[u8]) -> Message {
        Message { kind: Kind(kind), request, tx, payload: payload.to_vec() }
    }

    fn decode_all(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Vec<Message>, PayloadTooLarge> {
        let mut messages = Vec::new();
        while let Some(message) = decoder.next(&mut bytes)? {
            messages.push(message);
        }
        assert!(bytes.is_empty(), "bytes left although no message is whole");
        Ok(messages)
    }

    #[test]
    fn header_is_four_words_of_the_host() {
        let mut bytes = Vec::new();
        message(2, 7, 9, b"/a\0").encode(&mut bytes).unwrap();
        let expected: Vec<u8> = [2u32, 7, 9, 3].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(bytes[..16], expected);
        assert_eq!(&bytes[16..], b"/a\0");
    }

    #[test]
    fn length_is_refused_from_the_header_alone_and_for_good() {
        let mut bytes = Vec::new();
        for word in [2u32, 1, 0, 4097] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        let mut decoder = Decoder::new();
        let error = PayloadTooLarge { length: 4097 };
        assert_eq!(decode_all(&mut decoder, &bytes), Err(error));
        assert_eq!(decoder.payload.capacity(), 0, "room was made for a message that is refused");
        assert_eq!(decoder.next(&mut &[0u8; 64][..]), Err(error));
    }

    #[test]
    fn largest_message_passes_and_one_byte_more_is_refused() {
        let mut bytes = Vec::new();
        let largest = message(11, 1, 0, &[0xff; PAYLOAD_MAX]);
        largest.encode(&mut bytes).unwrap();
        assert_eq!(decode_all(&mut Decoder::new(), &bytes), Ok(vec![largest]));
        bytes.clear();
        let error = message(11, 1, 0, &[0; PAYLOAD_MAX + 1]).encode(&mut bytes);
        assert_eq!(error, Err(PayloadTooLarge { length: PAYLOAD_MAX + 1 }));
        assert!(bytes.is_empty());
    }

    #[test]
    fn only_a_reply_to_directory_may_be_longer_and_only_so_much() {
        let bytes = |kind: Kind, length: usize| {
            let header = [kind.0, 1, 0, length as u32].map(u32::to_ne_bytes).concat();
            [header, vec![b'a'; length]].concat()
        };
        let long = bytes(Kind::DIRECTORY, PAYLOAD_MAX + 1);
        assert_eq!(decode_all(&mut Decoder::for_replies(), &long).unwrap()[0].payload.len(), PAYLOAD_MAX + 1);
        assert!(decode_all(&mut Decoder::new(), &long).is_err());
        assert!(Decoder::for_replies().next(&mut &bytes(Kind::READ, PAYLOAD_MAX + 1)[..]).is_err());
        assert!(Decoder::for_replies().next(&mut &bytes(Kind::DIRECTORY, DIRECTORY_MAX + 1)[..]).is_err());
        let mut decoder = Decoder::for_replies();
        assert_eq!(decoder.next(&mut &bytes(Kind::DIRECTORY, DIRECTORY_MAX)[..HEADER_LEN]), Ok(None));
        assert!(decoder.payload.capacity() <= PAYLOAD_MAX, "room was made for what has not come");
    }

    #[test]
    fn knows_when_it_is_inside_a_message() {
        let mut decoder = Decoder::new();
        let mut bytes = Vec::new();
        message(2, 1, 0, b"/a\0").encode(&mut bytes).unwrap();
        for end in 1..bytes.len() {
            assert_eq!(decoder.next(&mut &bytes[end - 1..end]), Ok(None));
            assert!(decoder.is_inside());
        }
        assert!(decoder.next(&mut &bytes[bytes.len() - 1..]).unwrap().is_some());
        assert!(!decoder.is_inside());
    }

    #[test]
    fn strings_end_with_nul_and_the_last_may_lack_it() {
        assert_eq!(strings(b"a\0b\0"), Some(vec!["a", "b"]));
        assert_eq!(strings(b"a\0b"), Some(vec!["a", "b"]));
        assert_eq!(strings(b"a\0\0"), Some(vec!["a", ""]));
        assert_eq!(strings(b""), Some(vec![]));
        assert_eq!(strings(b"\xff\0"), None);
    }

    proptest! {
        #[test]
        fn any_messages_in_any_pieces_come_out_as_they_went_in(
            messages in prop::collection::vec(
                (any::<u32>(), any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)), 0..8),
            pieces in prop::collection::vec(1usize..40, 1..20),
        ) {
            let messages: Vec<Message> = messages.iter().map(|(k, r, t, p)| message(*k, *r, *t, p)).collect();
            let mut bytes = Vec::new();
            for message in &messages {
                message.encode(&mut bytes).unwrap();
            }
            let mut decoder = Decoder::new();
            let mut decoded = Vec::new();
            let mut rest = &bytes[..];
            for length in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let piece = take(&mut rest, *length);
                decoded.extend(decode_all(&mut decoder, piece).unwrap());
            }
            prop_assert_eq!(decoded, messages);
        }
    }
}
