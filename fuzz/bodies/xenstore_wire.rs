//! What has to hold for any bytes on a xenstore connection. A body of its own, so that the fuzzer and the tests of the
//! `xenstore` crate, which need no fuzzer, check the same.

use xenstore::wire::{self, Decoder, HEADER_LEN, Kind, Message, PAYLOAD_MAX};
use xenstore::{Errno, Event, Reply};

/// Takes the first bytes of `data` as the lengths of the pieces that the rest comes in.
///
/// # Panics
/// If something does not hold.
pub fn check(data: &[u8]) {
    let (pieces, stream) = data.split_at(data.len().min(4));
    for decoder in [Decoder::new, Decoder::for_replies] {
        let (messages, refused) = decode(decoder(), stream, &[]);
        assert_eq!(decode(decoder(), stream, pieces), (messages.clone(), refused), "pieces make a difference");
        let mut taken = Vec::new();
        for message in &messages {
            check_message(message);
            let header = [message.kind.0, message.request, message.tx, message.payload.len() as u32];
            taken.extend(header.map(u32::to_ne_bytes).concat());
            taken.extend(&message.payload);
        }
        assert!(stream.starts_with(&taken), "messages are not what was sent");
    }
}

/// The messages in `stream`, given to the decoder in pieces of these lengths, and whether it refused the rest.
fn decode(mut decoder: Decoder, stream: &[u8], pieces: &[u8]) -> (Vec<Message>, bool) {
    let mut messages = Vec::new();
    let mut rest = stream;
    let mut lengths = pieces.iter().map(|&length| usize::from(length).max(1)).cycle();
    while !rest.is_empty() {
        let (mut piece, later) = rest.split_at(lengths.next().unwrap_or(rest.len()).min(rest.len()));
        rest = later;
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
        assert!(piece.is_empty(), "bytes are left although no message is whole");
    }
    (messages, false)
}

fn check_message(message: &Message) {
    let mut bytes = Vec::new();
    match message.encode(&mut bytes) {
        Ok(()) => {
            assert_eq!(bytes.len(), HEADER_LEN + message.payload.len());
            let again = Decoder::new().next(&mut &bytes[..]);
            assert_eq!(again.as_ref(), Ok(&Some(message.clone())), "encoded and decoded it is another");
        }
        Err(error) => {
            assert!(message.kind == Kind::DIRECTORY && error.length > PAYLOAD_MAX && bytes.is_empty());
        }
    }
    if let Some(event) = Event::decode(&message.payload) {
        let payload = format!("{}\0{}\0", event.path, event.token);
        let again = Event::decode(payload.as_bytes());
        assert_eq!(again.as_ref(), Some(&event), "an event is another when it is sent on");
    }
    for kind in 0..=22 {
        if let Some(Reply::Names(names)) = Reply::decode(Kind(kind), message.payload.clone()) {
            assert!(names.iter().all(|name| !name.is_empty() && !name.contains('\0')));
        }
    }
    Errno::from_wire(&message.payload);
    wire::strings(&message.payload);
}
