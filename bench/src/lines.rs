//! What is written: numbered lines, so that every byte of a log has one right value at its place.

/// Bytes of a line, with its end.
pub const LINE: usize = 100;

/// What the `log`th log has at `offset` and after it, as many bytes as `into` has room for.
pub fn fill(log: usize, offset: u64, into: &mut [u8]) {
    let mut number = offset / LINE as u64;
    let mut skip = (offset % LINE as u64) as usize;
    let mut line = line(log, number);
    let mut rest = into;
    while !rest.is_empty() {
        let (now, later) = rest.split_at_mut(rest.len().min(LINE - skip));
        now.copy_from_slice(&line[skip..skip + now.len()]);
        (rest, skip, number) = (later, 0, number + 1);
        renumber(&mut line, number);
    }
}

/// A whole line: the log's number, its own, and something to fill it up.
pub fn line(log: usize, number: u64) -> [u8; LINE] {
    let mut line = [b'-'; LINE];
    digits(&mut line[..5], log as u64);
    line[5] = b' ';
    line[16] = b' ';
    line[LINE - 1] = b'\n';
    renumber(&mut line, number);
    line
}

/// Makes a line of a log another line of it.
pub fn renumber(line: &mut [u8; LINE], number: u64) {
    digits(&mut line[6..16], number);
}

/// The number of the first whole line in a piece of a log.
pub fn first_number(piece: &[u8]) -> Option<u64> {
    let mut lines = piece.split_inclusive(|byte| *byte == b'\n').filter(|line| line.len() == LINE);
    std::str::from_utf8(&lines.next()?[6..16]).ok()?.parse().ok()
}

fn digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_the_same_wherever_it_begins() {
        let mut whole = [0; 1000];
        fill(7, 0, &mut whole);
        assert_eq!(&whole[300..400], line(7, 3));
        for offset in [0, 1, 99, 100, 101, 250] {
            let mut piece = [0; 512];
            fill(7, offset, &mut piece);
            assert_eq!(piece, whole[offset as usize..][..512], "{offset}");
        }
    }

    #[test]
    fn lines_of_two_logs_and_two_lines_of_one_differ() {
        assert_ne!(line(1, 2), line(2, 2));
        assert_ne!(line(1, 2), line(1, 3));
    }

    #[test]
    fn a_piece_knows_its_place() {
        let mut piece = [0; 300];
        fill(0, 1_234_550, &mut piece);
        assert_eq!(first_number(&piece), Some(12_346));
        assert_eq!(first_number(&piece[..149]), None);
    }
}
