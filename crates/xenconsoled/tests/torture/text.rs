//! What the writers write: numbered lines of all lengths. Every byte of a text is known by the text's seed and its
//! place, so what arrived can be held against it to the byte.

use std::sync::LazyLock;

use super::random::{Random, mix};

/// The longest filler of a line; most are far shorter.
const LONGEST: u64 = 70_000;
/// `00000000 ` and the newline.
const FRAME: usize = 10;

/// Letters without a pattern, that lines take their fillers from. There is no newline in it, nor what stamps and
/// markers begin with.
static LETTERS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(7);
    (0..2 * LONGEST).map(|_| b'a' + u8::try_from(random.below(26)).unwrap()).collect()
});

/// A place in a text. Texts have no end.
#[derive(Clone, Debug)]
pub struct Text {
    seed: u64,
    /// The line that the place is in.
    line: u64,
    /// That line, if it was needed yet.
    made: Vec<u8>,
    /// Bytes of that line that lie before the place.
    at: usize,
    /// Bytes of the text that lie before the place.
    offset: u64,
}

impl Text {
    /// The beginning of a text.
    pub fn new(seed: u64) -> Text {
        Text { seed, line: 0, made: Vec::new(), at: 0, offset: 0 }
    }

    /// Bytes before this place.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the line in which it is.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Appends the next bytes, and goes behind them.
    pub fn take(&mut self, len: usize, out: &mut Vec<u8>) {
        let end = out.len() + len;
        while out.len() < end {
            let rest = self.rest();
            let some = rest.len().min(end - out.len());
            out.extend_from_slice(&rest[..some]);
            self.pass(some);
        }
    }

    /// Goes on as long as these bytes are the ones that come next. Answers with how many are.
    pub fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut same = 0;
        while same < bytes.len() {
            let (rest, bytes) = (self.rest(), &bytes[same..]);
            let some = rest.len().min(bytes.len());
            let equal = if rest[..some] == bytes[..some] {
                some
            } else {
                rest.iter().zip(bytes).take_while(|(expected, found)| expected == found).count()
            };
            same += equal;
            self.pass(equal);
            if equal < some {
                break;
            }
        }
        same
    }

    /// Goes on by so many bytes.
    pub fn skip(&mut self, mut len: u64) {
        while len > 0 {
            let rest = (self.line_len() - self.at) as u64;
            let some = rest.min(len);
            self.pass(usize::try_from(some).unwrap());
            len -= some;
        }
    }

    /// The beginning of a line that is not before this place.
    pub fn at_line(&self, line: u64) -> Text {
        let mut text = self.clone();
        while text.line < line || text.at > 0 {
            text.pass(text.line_len() - text.at);
        }
        text
    }

    /// Goes back to the beginning of the line, if it is no more than `most` bytes away. Answers with how far it went.
    pub fn back_to_line(&mut self, most: usize) -> usize {
        let back = if self.at <= most { self.at } else { 0 };
        self.at -= back;
        self.offset -= back as u64;
        back
    }

    /// The length of the line in which it is.
    pub fn line_len(&self) -> usize {
        self.filler().1 + FRAME
    }

    fn rest(&mut self) -> &[u8] {
        if self.made.is_empty() {
            let (from, len) = self.filler();
            self.made.extend_from_slice(format!("{:08} ", self.line).as_bytes());
            self.made.extend_from_slice(&LETTERS[from..from + len]);
            self.made.push(b'\n');
        }
        &self.made[self.at..]
    }

    fn pass(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        self.at += bytes;
        if self.at == self.line_len() {
            self.line += 1;
            self.at = 0;
            self.made.clear();
        }
    }

    /// Where in the letters the line's filler begins, and how long it is.
    fn filler(&self) -> (usize, usize) {
        let random = mix(self.seed ^ mix(self.line));
        let longest = match random % 1000 {
            0 => LONGEST,
            1..20 => 5000,
            _ => 150,
        };
        let number = |value: u64| usize::try_from(value).unwrap();
        (number((random >> 10) % LONGEST), number((random >> 32) % longest))
    }
}

/// The number at the beginning of a whole line.
pub fn number(line: &[u8]) -> Option<u64> {
    let (digits, rest) = line.split_at_checked(8)?;
    (rest.first() == Some(&b' ')).then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[test]
fn a_text_is_the_same_in_whatever_pieces() {
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    Text::new(5).take(300_000, &mut whole);
    let (mut text, mut random) = (Text::new(5), Random::new(1));
    while pieces.len() < whole.len() {
        text.take(random.size(12).min(whole.len() - pieces.len()), &mut pieces);
    }
    assert!(whole == pieces);
    let mut behind = Text::new(5);
    behind.skip(100_000);
    assert_eq!(behind.clone().follow(&whole[100_000..]), 200_000);
    let line = behind.at_line(behind.line() + 1);
    let start = usize::try_from(line.offset()).unwrap();
    assert_eq!((whole[start - 1], number(&whole[start..])), (b'\n', Some(line.line())));
    whole[200_000] ^= 1;
    assert_eq!(behind.follow(&whole[100_000..]), 100_000);
    assert_eq!(behind.offset(), 200_000);
}
