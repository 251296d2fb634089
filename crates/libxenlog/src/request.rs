//! `struct xenlog_request`, read into the library's own options.

use std::ffi::{CStr, OsStr, c_char};
use std::mem::offset_of;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use client::{OpenOptions, Places};
use logproto::{DomId, Owner};
use xenstore::Address;

use crate::outcome::Failed;

/// `XENLOG_HOST`.
const HOST: i32 = -1;
/// `XENLOG_BLOCKING` and `XENLOG_REPLACE`.
const BLOCKING: u32 = 1;
const REPLACE: u32 = 2;

/// `struct xenlog_request`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Request {
    size: usize,
    domid: i32,
    flags: u32,
    file: *const c_char,
    id: *const c_char,
    limit: u64,
    copies: i32,
    wait_ms: i32,
    policy: *const c_char,
    timestamp: *const c_char,
    store: *const c_char,
    run_dir: *const c_char,
    log_dir: *const c_char,
}

impl Request {
    /// What the caller asks for.
    ///
    /// # Safety
    /// `request` is NULL or points to a request whose strings are NULL or end with a NUL, and all of it stays as it is
    /// during the call.
    pub unsafe fn options(request: *const Request) -> Result<OpenOptions, Failed> {
        if request.is_null() {
            return Err(Failed::argument("request: NULL"));
        }
        // SAFETY: it is not NULL, so it points to a request by the caller's promise; the size is its first member in
        // every version.
        let size = unsafe { request.cast::<usize>().read() };
        // A later header's request is longer. What this library does not know it cannot do, so it says so.
        if size != size_of::<Request>() {
            let known = size_of::<Request>();
            return Err(Failed::argument(format!("request: size {size}, and this library knows {known}")));
        }
        // SAFETY: as before, and its size says that all of it is there.
        let request = unsafe { request.read() };
        // SAFETY: the caller's promise about the strings is handed on.
        unsafe { request.read_options() }
    }

    /// # Safety
    /// The strings are NULL or end with a NUL.
    unsafe fn read_options(&self) -> Result<OpenOptions, Failed> {
        // SAFETY: by this function's own contract, for each of them.
        let string = |start: *const c_char| (!start.is_null()).then(|| unsafe { CStr::from_ptr(start) });
        let path = |start| string(start).map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes())));
        let file = path(self.file).filter(|file| !file.as_os_str().is_empty());
        let file = file.ok_or_else(|| Failed::argument("file: none is named"))?;
        let mut options = OpenOptions::new(self.owner()?, file)
            .places(places(path(self.store), path(self.run_dir), path(self.log_dir)))
            .blocking(self.flags & BLOCKING != 0)
            .replace(self.flags & REPLACE != 0);
        if self.flags & !(BLOCKING | REPLACE) != 0 {
            return Err(Failed::argument(format!("flags: {:#x} has bits that are not known", self.flags)));
        }
        if let Some(id) = parsed("id", string(self.id))? {
            options = options.id(id);
        }
        if let Some(policy) = parsed("policy", string(self.policy))? {
            options = options.policy(policy);
        }
        if let Some(stamp) = parsed("timestamp", string(self.timestamp))? {
            options = options.timestamp(stamp);
        }
        if self.limit != 0 {
            options = options.limit(self.limit);
        }
        if let Some(copies) = or_default("copies", self.copies)? {
            options = options.copies(copies);
        }
        if let Some(wait) = or_default("wait_ms", self.wait_ms)? {
            options = options.wait(Duration::from_millis(wait.into()));
        }
        Ok(options)
    }

    fn owner(&self) -> Result<Owner, Failed> {
        if self.domid == HOST {
            return Ok(Owner::Host);
        }
        let domid = u16::try_from(self.domid).ok().and_then(DomId::new);
        domid.map(Owner::Domain).ok_or_else(|| Failed::argument(format!("domid: {} is none", self.domid)))
    }
}

fn places(store: Option<PathBuf>, run_dir: Option<PathBuf>, log_dir: Option<PathBuf>) -> Places {
    let env = Places::from_env();
    Places {
        store: store.map_or(env.store, |path| vec![Address::either(path)]),
        run_dir: run_dir.unwrap_or(env.run_dir),
        log_dir: log_dir.unwrap_or(env.log_dir),
    }
}

fn parsed<T: std::str::FromStr>(name: &str, string: Option<&CStr>) -> Result<Option<T>, Failed>
where
    T::Err: std::fmt::Display,
{
    let Some(string) = string else {
        return Ok(None);
    };
    let shown = string.to_string_lossy();
    shown.parse().map(Some).map_err(|why| Failed::argument(format!("{name}: {shown:?}: {why}")))
}

/// A number, or -1 for the default.
fn or_default(name: &str, number: i32) -> Result<Option<u32>, Failed> {
    match number {
        -1 => Ok(None),
        number => {
            u32::try_from(number).map(Some).map_err(|_| Failed::argument(format!("{name}: {number} is negative")))
        }
    }
}

// The layout is the ABI: on a 64-bit machine, as the header has it.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Request>() == 88);
    assert!(offset_of!(Request, file) == 16 && offset_of!(Request, limit) == 32);
    assert!(offset_of!(Request, wait_ms) == 44 && offset_of!(Request, log_dir) == 80);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let null = std::ptr::null();
        Request {
            size: size_of::<Request>(),
            domid: HOST,
            flags: 0,
            file: c"a.log".as_ptr(),
            id: null,
            limit: 0,
            copies: -1,
            wait_ms: -1,
            policy: null,
            timestamp: null,
            store: null,
            run_dir: null,
            log_dir: null,
        }
    }

    fn read(request: &Request) -> Result<OpenOptions, Failed> {
        // SAFETY: the request is there, and its strings are literals or NULL.
        unsafe { Request::options(request) }
    }

    #[test]
    fn what_is_not_set_is_left_to_the_library_and_the_daemon() {
        let mut options = format!("{:?}", read(&request()).unwrap());
        assert_eq!(options, format!("{:?}", OpenOptions::new(Owner::Host, "a.log")));
        let all = Request {
            domid: 5,
            flags: BLOCKING | REPLACE,
            id: c"x".as_ptr(),
            limit: 4096,
            copies: 0,
            wait_ms: 0,
            policy: c"block".as_ptr(),
            timestamp: c"line".as_ptr(),
            store: c"/s".as_ptr(),
            run_dir: c"/r".as_ptr(),
            log_dir: c"/l".as_ptr(),
            ..request()
        };
        options = format!("{:?}", read(&all).unwrap());
        let places = Places { store: vec![Address::either("/s")], run_dir: "/r".into(), log_dir: "/l".into() };
        let want = OpenOptions::new(Owner::Domain("5".parse().unwrap()), "a.log")
            .places(places)
            .id("x".parse().unwrap())
            .replace(true)
            .limit(4096)
            .copies(0)
            .policy(logproto::Policy::Block)
            .timestamp(logproto::Stamp::Line)
            .blocking(true)
            .wait(Duration::ZERO);
        assert_eq!(options, format!("{want:?}"));
    }

    #[test]
    fn each_wrong_argument_is_named() {
        for (wrong, named) in [
            (Request { size: 80, ..request() }, "size 80"),
            (Request { domid: -2, ..request() }, "domid: -2"),
            (Request { domid: 32752, ..request() }, "domid: 32752"),
            (Request { flags: 4, ..request() }, "flags: 0x4"),
            (Request { file: std::ptr::null(), ..request() }, "file"),
            (Request { file: c"".as_ptr(), ..request() }, "file"),
            (Request { id: c"a/b".as_ptr(), ..request() }, "id: \"a/b\""),
            (Request { copies: -2, ..request() }, "copies: -2"),
            (Request { wait_ms: i32::MIN, ..request() }, "wait_ms"),
            (Request { policy: c"never".as_ptr(), ..request() }, "policy"),
            (Request { timestamp: c"\xff".as_ptr(), ..request() }, "timestamp"),
        ] {
            let failed = read(&wrong).unwrap_err();
            assert!(failed.code == -22 && failed.text.contains(named), "{failed:?}");
        }
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { Request::options(std::ptr::null()) }.unwrap_err().code, -22);
    }
}
