//! XDR (RFC 4506), as much of it as libvirt's messages need.

/// A message that is being made.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Adds a number.
    pub fn number(mut self, number: u32) -> Writer {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Adds bytes whose number both sides know.
    pub fn fixed(mut self, bytes: &[u8]) -> Writer {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a string.
    pub fn string(self, text: &[u8]) -> Writer {
        self.number(text.len() as u32).fixed(text)
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// A message that is being read.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins at the message's start.
    pub fn new(message: &'a [u8]) -> Reader<'a> {
        Reader(message)
    }

    /// Takes a number.
    pub fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    /// Takes a string.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let text = self.0.get(..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_filled_up() {
        let message = Writer::default().number(7).string(b"abcde").fixed(b"xy").number(1).finish();
        assert_eq!(message, b"\0\0\0\x07\0\0\0\x05abcde\0\0\0xy\0\0\0\0\0\x01");
        let mut reader = Reader::new(&message);
        assert_eq!(reader.number(), Some(7));
        assert_eq!(reader.string(), Some(&b"abcde"[..]));
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        assert_eq!(Reader::new(b"\0\0\0").number(), None);
        assert_eq!(Reader::new(b"\0\0\0\x05abc\0").string(), None);
        assert_eq!(Reader::new(b"\xff\xff\xff\xff").string(), None);
        assert_eq!(Reader::new(b"\0\0\0\x03abc").string(), None, "its filling is missing");
    }
}
