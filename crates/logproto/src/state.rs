//! The values that are words.

use std::fmt;
use std::str::FromStr;

use crate::Refusal;

/// What happens when a log cannot be written as fast as it is produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The writer waits: nothing is lost, and the writer stands still with the disk.
    Block,
    /// The writer never waits longer than a bound: what does not fit is dropped, counted and marked in the log.
    Drop,
}

/// Whether the daemon puts the time before each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamp {
    /// Bytes reach the file as they came.
    None,
    /// Each line starts with `[YYYY-MM-DD HH:MM:SS] `, local time.
    Line,
}

/// A word that is not one of those a node can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither {0} nor {1}")]
pub struct NotAWord(pub &'static str, pub &'static str);

impl FromStr for Policy {
    type Err = NotAWord;

    fn from_str(word: &str) -> Result<Policy, NotAWord> {
        match word {
            "block" => Ok(Policy::Block),
            "drop" => Ok(Policy::Drop),
            _ => Err(NotAWord("block", "drop")),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::Block => "block",
            Policy::Drop => "drop",
        })
    }
}

impl FromStr for Stamp {
    type Err = NotAWord;

    fn from_str(word: &str) -> Result<Stamp, NotAWord> {
        match word {
            "none" => Ok(Stamp::None),
            "line" => Ok(Stamp::Line),
            _ => Err(NotAWord("none", "line")),
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stamp::None => "none",
            Stamp::Line => "line",
        })
    }
}

/// The daemon's answer, as the nodes `state` and `error` give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The file is open and the pipe has a reader.
    Ready,
    /// The request was refused, or its log was lost.
    Error(Refusal),
}

impl State {
    /// What `state` holds.
    pub fn word(&self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Error(_) => "error",
        }
    }

    /// Reads an answer back. `error` is only looked at when `state` is `error`; `None` while there is no answer, or one of a
    /// later version of the protocol.
    pub fn read(state: Option<&[u8]>, error: Option<&[u8]>) -> Option<State> {
        match state? {
            b"ready" => Some(State::Ready),
            b"error" => Some(State::Error(Refusal::read(error.unwrap_or_default()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn words_read_back() {
        for policy in [Policy::Block, Policy::Drop] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for stamp in [Stamp::None, Stamp::Line] {
            assert_eq!(stamp.to_string().parse(), Ok(stamp));
        }
        assert!("Drop".parse::<Policy>().is_err());
        assert!("".parse::<Stamp>().is_err());
    }

    #[test]
    fn an_answer_reads_back() {
        assert_eq!(State::read(None, None), None);
        assert_eq!(State::read(Some(b"ready"), Some(b"in-use: stale")), Some(State::Ready));
        assert_eq!(State::read(Some(b""), None), None);
        let refusal = Refusal::new(Code::InUse, "/libxl/5/logging/a/file: taken");
        assert_eq!(State::read(Some(b"error"), Some(refusal.to_string().as_bytes())), Some(State::Error(refusal)));
    }
}
