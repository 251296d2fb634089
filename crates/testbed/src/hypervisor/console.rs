//! The hypervisor's own console: the ring behind XEN_SYSCTL_readconsole (xen/drivers/char/console.c).

/// A ring whose oldest bytes are overwritten, with indices that run on and wrap at 2^32.
#[derive(Debug)]
pub(crate) struct ConsoleRing {
    ring: Vec<u8>,
    /// Where the oldest byte that a reader without an index gets is, and where the next one goes.
    consumer: u32,
    producer: u32,
}

impl ConsoleRing {
    /// An empty one; `size` is a power of two, as in Xen, and `start` the index of its first byte.
    pub(crate) fn new(size: usize, start: u32) -> ConsoleRing {
        assert!(size.is_power_of_two(), "a console ring has a power of two bytes");
        ConsoleRing { ring: vec![0; size], consumer: start, producer: start }
    }

    fn size(&self) -> u32 {
        self.ring.len() as u32
    }

    fn place(&self, index: u32) -> usize {
        (index & (self.size() - 1)) as usize
    }

    /// Appends text.
    pub(crate) fn print(&mut self, text: &[u8]) {
        for byte in text {
            let place = self.place(self.producer);
            self.ring[place] = *byte;
            self.producer = self.producer.wrapping_add(1);
            if self.producer.wrapping_sub(self.consumer) > self.size() {
                self.consumer = self.producer.wrapping_sub(self.size());
            }
        }
    }

    /// At most so many bytes from `index` on, or from the oldest if there is none, and the index behind them. An index that lies
    /// before the oldest, or beyond the newest, counts as the oldest, without a word.
    pub(crate) fn read(&mut self, index: Option<u32>, most: usize, clear: bool) -> (Vec<u8>, u32) {
        let held = |from: &u32| from.wrapping_sub(self.consumer) <= self.producer.wrapping_sub(self.consumer);
        let from = index.filter(held).unwrap_or(self.consumer);
        let count = (self.producer.wrapping_sub(from) as usize).min(most);
        let text = (0..count as u32).map(|step| self.ring[self.place(from.wrapping_add(step))]).collect();
        if clear {
            self.consumer = from.wrapping_add(count as u32);
        }
        (text, from.wrapping_add(count as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_overwritten_and_a_stale_index_goes_on_with_what_there_is() {
        let mut ring = ConsoleRing::new(8, 0);
        ring.print(b"abcdef");
        assert_eq!(ring.read(Some(0), 4, false), (b"abcd".to_vec(), 4));
        ring.print(b"ghijklm");
        assert_eq!(ring.read(Some(4), 100, false), (b"fghijklm".to_vec(), 13), "e is overwritten");
        assert_eq!(ring.read(Some(13), 100, false), (Vec::new(), 13));
    }

    #[test]
    fn what_is_cleared_is_gone_for_all_readers() {
        let mut ring = ConsoleRing::new(8, 0);
        ring.print(b"abcd");
        assert_eq!(ring.read(None, 3, true), (b"abc".to_vec(), 3), "what was not read is not cleared");
        assert_eq!(ring.read(None, 100, false), (b"d".to_vec(), 4));
        assert_eq!(ring.read(Some(1), 100, false), (b"d".to_vec(), 4));
        assert_eq!(ring.read(Some(5), 100, false), (b"d".to_vec(), 4), "an index that was never given out");
    }

    #[test]
    fn indices_wrap() {
        let mut ring = ConsoleRing::new(8, u32::MAX - 1);
        ring.print(b"abcdefghij");
        assert_eq!(ring.read(Some(u32::MAX - 1), 100, false), (b"cdefghij".to_vec(), 8));
    }
}
