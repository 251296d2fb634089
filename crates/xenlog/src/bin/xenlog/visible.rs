//! Text that a guest may have had a hand in, made harmless for a terminal.

/// A name or a message with control characters escaped.
pub fn line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// A stream of bytes with its control characters escaped, newlines and tabs excepted. What is not UTF-8 stays as it is.
#[derive(Debug, Default)]
pub struct Stream {
    /// The last byte was 0xC2, with which the control characters U+0080 to U+009F begin, and is not shown yet.
    is_held: bool,
}

impl Stream {
    /// The next bytes, as they are shown.
    pub fn show(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if std::mem::take(&mut self.is_held) {
                if (0x80..0xa0).contains(&byte) {
                    shown.extend(format!("\\u{{{byte:x}}}").bytes());
                    continue;
                }
                shown.push(0xc2);
            }
            match byte {
                0xc2 => self.is_held = true,
                b'\n' | b'\t' => shown.push(byte),
                byte if byte.is_ascii_control() => shown.extend(format!("\\x{byte:02x}").bytes()),
                byte => shown.push(byte),
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(line("vm \x1b[31m\n\u{9b}é"), "vm \\u{1b}[31m\\n\\u{9b}é");
    }

    #[test]
    fn a_stream_cannot_either_wherever_it_is_cut() {
        let bytes = "a\tb\r\n\x1b]0;x\x07\u{9b}31m\u{a9}é\x7f\n".as_bytes();
        let want = "a\tb\\x0d\n\\x1b]0;x\\x07\\u{9b}31m\u{a9}é\\x7f\n";
        for cut in 0..bytes.len() {
            let mut stream = Stream::default();
            let shown = [stream.show(&bytes[..cut]), stream.show(&bytes[cut..])].concat();
            assert_eq!(String::from_utf8(shown).unwrap(), want);
        }
        assert_eq!(Stream::default().show(b"\xff\x80"), b"\xff\x80");
    }
}
