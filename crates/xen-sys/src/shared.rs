//! Memory that others change while we look.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// The size of the word in which bytes are copied.
const WORD: usize = size_of::<u64>();

/// Mapped memory that another domain, process or mapping may change at any time, all of it.
///
/// There is no reference into it: each access is one atomic load or store, so whatever the other side does, what was read
/// is some value, and it stays what it is. What belongs together has to be read once, and copied before it is looked at.
///
/// Offsets are in bytes. Numbers are in the machine's own order, as Xen's are.
///
/// # Panics
/// All methods with an offset panic where not all they were asked for is inside, and where a number is not at a multiple of its
/// size. Offsets are the program's own, never another's: a panic is a bug here.
pub struct Shared {
    base: NonNull<u8>,
    len: usize,
    /// Ends the mapping when it is dropped.
    _mapping: Box<dyn Any + Send + Sync>,
}

// SAFETY: the memory stays mapped as long as this exists, wherever it is, and what ends the mapping may be sent.
unsafe impl Send for Shared {}
// SAFETY: the memory is accessed by atomics alone, which any number of threads may do at once; the rest is not changed.
unsafe impl Sync for Shared {}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("base", &self.base).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Shared {
    /// New memory of this process, all 0.
    ///
    /// # Errors
    /// What the system answers, `EINVAL` for no bytes.
    pub fn anonymous(len: usize) -> io::Result<Shared> {
        // SAFETY: a new mapping, where the system wants it.
        let base =
            unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED) };
        // SAFETY: it has just been made, with this length, and nobody else has it.
        base.map(|base| unsafe { Shared::of_own(base.cast(), len) }).map_err(io::Error::from)
    }

    /// The beginning of a file, a memfd for one, shared with whoever else maps it.
    ///
    /// Whoever makes the file shorter later kills this program with SIGBUS at its next access. So it has to be one that
    /// only those have that are trusted that far.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file is shorter now; what the system answers, `EINVAL` for no bytes.
    pub fn of_file(fd: impl AsFd, len: usize) -> io::Result<Shared> {
        if u64::try_from(rustix::fs::fstat(&fd)?.st_size).unwrap_or(0) < len as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: a new mapping, where the system wants it.
        let base = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0) };
        // SAFETY: it has just been made, with this length, and nobody else has it.
        base.map(|base| unsafe { Shared::of_own(base.cast(), len) }).map_err(io::Error::from)
    }

    /// # Safety
    /// `base` is what mmap(2) has answered for `len` bytes to be read and written, and nobody else unmaps it.
    unsafe fn of_own(base: *mut u8, len: usize) -> Shared {
        // mmap(2) puts nothing at 0 unless it is told to.
        let base = NonNull::new(base).unwrap_or(NonNull::dangling());
        // SAFETY: as the caller says; mappings begin with a page.
        unsafe { Shared::new(base, len, Own { base, len }) }
    }

    /// Memory that is mapped as long as `mapping` lives.
    ///
    /// # Safety
    /// From `base` on there are `len` bytes that may be read and written until `mapping` is dropped; `base` is aligned to 8; no
    /// reference of this program leads there.
    pub(crate) unsafe fn new(base: NonNull<u8>, len: usize, mapping: impl Any + Send + Sync) -> Shared {
        Shared { base, len, _mapping: Box::new(mapping) }
    }

    /// How many bytes there are.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty mapping")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Reads a number; what is read after it was written by the other side before it, or later.
    #[must_use]
    pub fn load_u32(&self, offset: usize) -> u32 {
        self.u32(offset).load(Ordering::Acquire)
    }

    /// Writes a number; whoever reads it finds all that was written here before it, and all that was read here was read
    /// before it.
    pub fn store_u32(&self, offset: usize, value: u32) {
        self.u32(offset).store(value, Ordering::Release);
    }

    /// As [`Shared::load_u32`].
    #[must_use]
    pub fn load_u64(&self, offset: usize) -> u64 {
        self.u64(offset).load(Ordering::Acquire)
    }

    /// As [`Shared::store_u32`].
    pub fn store_u64(&self, offset: usize, value: u64) {
        self.u64(offset).store(value, Ordering::Release);
    }

    /// Writes a byte; else as [`Shared::store_u32`].
    pub fn store_u8(&self, offset: usize, value: u8) {
        self.u8(offset).store(value, Ordering::Release);
    }

    /// Copies bytes out, each read once. In which order they are read is not said.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.check(offset, bytes.len());
        let (head, rest) = bytes.split_at_mut(before_word(offset, bytes.len()));
        let (words, tail) = rest.as_chunks_mut();
        let mut at = offset;
        for byte in head {
            *byte = self.u8(at).load(Ordering::Relaxed);
            at += 1;
        }
        for word in words {
            *word = self.u64(at).load(Ordering::Relaxed).to_ne_bytes();
            at += WORD;
        }
        for byte in tail {
            *byte = self.u8(at).load(Ordering::Relaxed);
            at += 1;
        }
    }

    /// Copies bytes in, each written once. In which order they are written is not said.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len());
        let (head, rest) = bytes.split_at(before_word(offset, bytes.len()));
        let (words, tail) = rest.as_chunks();
        let mut at = offset;
        for byte in head {
            self.u8(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
        for word in words {
            self.u64(at).store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            at += WORD;
        }
        for byte in tail {
            self.u8(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
    }

    fn check(&self, offset: usize, len: usize) {
        let end = offset.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len), "{len} bytes at {offset} are not inside {}", self.len);
    }

    fn place(&self, offset: usize, size: usize) -> *mut u8 {
        self.check(offset, size);
        assert!(offset.is_multiple_of(size), "no number of {size} bytes is at {offset}");
        // SAFETY: it is inside.
        unsafe { self.base.as_ptr().add(offset) }
    }

    fn u8(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: it is inside, mapped as long as `self`, and nothing in this program accesses it but through atomics.
        unsafe { AtomicU8::from_ptr(self.place(offset, size_of::<u8>())) }
    }

    fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as in `u8`; the base is aligned to 8, the offset to 4.
        unsafe { AtomicU32::from_ptr(self.place(offset, size_of::<u32>()).cast()) }
    }

    fn u64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as in `u8`; base and offset are aligned to 8.
        unsafe { AtomicU64::from_ptr(self.place(offset, size_of::<u64>()).cast()) }
    }
}

/// How many of these bytes are before the first whole word.
fn before_word(offset: usize, len: usize) -> usize {
    // The base is aligned.
    (offset.next_multiple_of(WORD) - offset).min(len)
}

/// A mapping that this program has made itself.
struct Own {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: all that is done with the address is to unmap it, which every thread can.
unsafe impl Send for Own {}
// SAFETY: shared, nothing can be done with it.
unsafe impl Sync for Own {}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and the last one who could access it is being dropped. It cannot fail for
        // a whole mapping.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn bytes_come_and_go_at_every_offset_and_length() {
        const LEN: usize = 64;
        let all: Vec<u8> = (1..=LEN as u8).collect();
        for offset in 0..=LEN {
            for len in 0..=LEN - offset {
                let shared = Shared::anonymous(LEN).unwrap();
                shared.write(offset, &all[..len]);
                let mut expected = [0; LEN];
                expected[offset..offset + len].copy_from_slice(&all[..len]);
                let mut read = [0xff; LEN];
                shared.read(0, &mut read);
                assert_eq!(read, expected, "{len} bytes written at {offset}");
                shared.write(0, &all);
                let mut read = vec![0; len];
                shared.read(offset, &mut read);
                assert_eq!(read, all[offset..offset + len], "{len} bytes read at {offset}");
            }
        }
    }

    #[test]
    fn numbers_are_bytes_in_the_machines_order() {
        let shared = Shared::anonymous(16).unwrap();
        shared.store_u32(4, 0x1234_5678);
        shared.store_u64(8, 0x1122_3344_5566_7788);
        shared.store_u8(3, 9);
        let mut bytes = [0; 16];
        shared.read(0, &mut bytes);
        let expected = [&[0, 0, 0, 9], &0x1234_5678_u32.to_ne_bytes()[..], &0x1122_3344_5566_7788_u64.to_ne_bytes()];
        assert_eq!(bytes[..], expected.concat());
        assert_eq!((shared.load_u32(4), shared.load_u64(8)), (0x1234_5678, 0x1122_3344_5566_7788));
    }

    #[test]
    fn a_file_is_shared_by_all_who_map_it() {
        let file = memfd_create("shared", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 4096).unwrap();
        let (one, other) = (Shared::of_file(&file, 4096).unwrap(), Shared::of_file(&file, 4096).unwrap());
        one.store_u32(1024, 7);
        assert_eq!(other.load_u32(1024), 7);
        other.write(0, b"there");
        let mut bytes = [0; 5];
        one.read(0, &mut bytes);
        assert_eq!(&bytes, b"there");
    }

    #[test]
    fn a_file_that_is_too_short_is_refused() {
        let file = memfd_create("shared", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 4095).unwrap();
        assert_eq!(Shared::of_file(&file, 4096).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(Shared::anonymous(0).is_err());
    }

    #[test]
    fn nothing_outside_is_touched() {
        let shared = Shared::anonymous(4096).unwrap();
        let panics = |what: &str, access: &dyn Fn()| {
            assert!(catch_unwind(AssertUnwindSafe(access)).is_err(), "{what}");
        };
        panics("bytes behind the end", &|| shared.read(4090, &mut [0; 7]));
        panics("bytes so far that the end is before the beginning", &|| shared.read(usize::MAX, &mut [0; 7]));
        panics("a write behind the end", &|| shared.write(4096, &[0]));
        panics("a number that is half inside", &|| shared.store_u32(4094, 0));
        panics("a number beside its place", &|| _ = shared.load_u32(2));
        panics("a long number beside its place", &|| _ = shared.load_u64(4));
        shared.read(4096, &mut []);
        shared.write(4089, &[0; 7]);
    }

    #[test]
    fn it_is_unmapped_when_it_is_dropped() {
        let file = memfd_create("dropped-mapping", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 4096).unwrap();
        let mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().contains("dropped-mapping");
        let shared = Shared::of_file(&file, 4096).unwrap();
        assert!(mapped());
        drop(shared);
        assert!(!mapped());
    }
}
