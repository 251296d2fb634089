//! Why a request was not granted.

use std::fmt;

/// What kind of refusal it is: the closed list that may stand before the colon in an `error` node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The entry's name is not a log id.
    BadId,
    /// `pipe` is not a path that may be given to the daemon.
    BadPipe,
    /// `file` is not a path that may be given to the daemon.
    BadFile,
    /// `limit` is not a number, or outside the daemon's bounds.
    BadLimit,
    /// `copies` is not a number, or outside the daemon's bounds.
    BadCopies,
    /// `policy` is neither `block` nor `drop`.
    BadPolicy,
    /// `timestamp` is neither `none` nor `line`.
    BadTimestamp,
    /// The owner, or the host, has as many logs as the daemon allows.
    TooMany,
    /// Another live log has this file, or a name that one of the two will need when it rotates.
    InUse,
    /// The pipe could not be opened, or is not a FIFO.
    PipeOpen,
    /// The log file could not be opened, or is not a file that the daemon may write.
    FileOpen,
    /// The log was served, and then could not be any longer.
    Lost,
    /// A code of a later version of the protocol, or a text without one.
    Unknown,
}

const CODES: [(Code, &str); 12] = [
    (Code::BadId, "bad-id"),
    (Code::BadPipe, "bad-pipe"),
    (Code::BadFile, "bad-file"),
    (Code::BadLimit, "bad-limit"),
    (Code::BadCopies, "bad-copies"),
    (Code::BadPolicy, "bad-policy"),
    (Code::BadTimestamp, "bad-timestamp"),
    (Code::TooMany, "too-many"),
    (Code::InUse, "in-use"),
    (Code::PipeOpen, "pipe-open"),
    (Code::FileOpen, "file-open"),
    (Code::Lost, "lost"),
];

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CODES.iter().find(|(code, _)| code == self).map_or("unknown", |(_, word)| word))
    }
}

/// A refusal: its code and one line for a person. As text, `<code>: <what and which node>`: the value of an `error` node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind it is.
    pub code: Code,
    /// What is wrong and with which node, in one line of printable text.
    pub text: String,
}

impl Refusal {
    /// The most bytes of text: a store value holds 4096, and a person reads less.
    pub const MAX_TEXT: usize = 1024;

    /// A refusal with this text, made one line of at most [`Refusal::MAX_TEXT`] bytes.
    pub fn new(code: Code, text: impl Into<String>) -> Refusal {
        let mut text: String = text.into();
        if text.chars().any(char::is_control) {
            text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        }
        text.truncate(text.floor_char_boundary(Refusal::MAX_TEXT));
        Refusal { code, text }
    }

    /// Reads the value of an `error` node.
    pub fn read(value: &[u8]) -> Refusal {
        let value = String::from_utf8_lossy(value);
        let (code, text) = match value.split_once(": ") {
            Some((word, text)) => match CODES.iter().find(|(_, name)| *name == word) {
                Some((code, _)) => (*code, text),
                None => (Code::Unknown, &*value),
            },
            None => (Code::Unknown, &*value),
        };
        Refusal::new(code, text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Refusal {}

/// A store value as it may stand in a message: quoted, escaped, and cut where it gets long.
pub(crate) fn shown(value: &[u8]) -> String {
    const MOST: usize = 80;
    let cut = &value[..value.len().min(MOST)];
    format!("\"{}\"{}", cut.escape_ascii(), if value.len() > MOST { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for (code, _) in CODES {
            let refusal = Refusal::new(code, "/libxl/5/logging/x/limit: no");
            assert_eq!(Refusal::read(refusal.to_string().as_bytes()), refusal);
        }
        assert_eq!(Refusal::read(b"new-code: text").code, Code::Unknown);
        assert_eq!(Refusal::read(b"\xff").code, Code::Unknown);
    }

    #[test]
    fn a_text_is_one_short_line() {
        let refusal = Refusal::new(Code::BadFile, format!("a\nb\0{}", "é".repeat(2000)));
        assert!(refusal.text.starts_with("a b é") && refusal.text.len() <= Refusal::MAX_TEXT);
    }

    #[test]
    fn hostile_values_are_shown_harmless() {
        assert_eq!(shown(b"a\n\x1b[31m\xff"), r#""a\n\x1b[31m\xff""#);
        assert!(shown(&[b'x'; 4096]).len() < 100);
    }
}
