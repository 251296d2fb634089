//! Requests as a store reads them.

use crate::wire::{self, Kind, Message};
use crate::{Errno, Perm};

/// A request, its paths as they were sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call<'a> {
    Directory { path: &'a str },
    DirectoryPart { path: &'a str, offset: usize },
    Read { path: &'a str },
    GetPerms { path: &'a str },
    Watch { path: &'a str, token: &'a str },
    Unwatch { path: &'a str, token: &'a str },
    TransactionStart,
    TransactionEnd { commit: bool },
    Introduce { domid: u32 },
    Release { domid: u32 },
    GetDomainPath { domid: u32 },
    Write { path: &'a str, value: &'a [u8] },
    Mkdir { path: &'a str },
    Rm { path: &'a str },
    SetPerms { path: &'a str, perms: Vec<Perm> },
    IsDomainIntroduced { domid: u32 },
    ResetWatches,
}

impl<'a> Call<'a> {
    /// `EINVAL` for a payload that does not fit the type, `ENOSYS` for a type that is not known here.
    pub(super) fn decode(message: &'a Message) -> Result<Self, Errno> {
        let payload = &message.payload;
        if message.kind == Kind::WRITE {
            let end = payload.iter().position(|&byte| byte == 0).ok_or(Errno::Einval)?;
            let path = std::str::from_utf8(&payload[..end]).map_err(|_| Errno::Einval)?;
            return Ok(Call::Write { path, value: &payload[end + 1..] });
        }
        let strings = if payload.is_empty() || payload.ends_with(&[0]) { wire::strings(payload) } else { None };
        let strings = strings.unwrap_or_default();
        Ok(match (message.kind, &strings[..]) {
            (Kind::DIRECTORY, &[path]) => Call::Directory { path },
            (Kind::DIRECTORY_PART, &[path, offset]) => Call::DirectoryPart { path, offset: number(offset)? },
            (Kind::READ, &[path]) => Call::Read { path },
            (Kind::GET_PERMS, &[path]) => Call::GetPerms { path },
            (Kind::WATCH, &[path, token]) => Call::Watch { path, token },
            (Kind::UNWATCH, &[path, token]) => Call::Unwatch { path, token },
            (Kind::TRANSACTION_START, _) => Call::TransactionStart,
            (Kind::TRANSACTION_END, &["T"]) => Call::TransactionEnd { commit: true },
            (Kind::TRANSACTION_END, &["F"]) => Call::TransactionEnd { commit: false },
            (Kind::INTRODUCE, &[domid, frame, port]) => {
                number::<u64>(frame)?;
                number::<u32>(port)?;
                Call::Introduce { domid: number(domid)? }
            }
            (Kind::RELEASE, &[domid]) => Call::Release { domid: number(domid)? },
            (Kind::GET_DOMAIN_PATH, &[domid]) => Call::GetDomainPath { domid: number(domid)? },
            (Kind::MKDIR, &[path]) => Call::Mkdir { path },
            (Kind::RM, &[path]) => Call::Rm { path },
            (Kind::SET_PERMS, &[path, ref perms @ ..]) if !perms.is_empty() => {
                let perms: Result<_, _> = perms.iter().map(|perm| perm.parse()).collect();
                Call::SetPerms { path, perms: perms.map_err(|_| Errno::Einval)? }
            }
            (Kind::IS_DOMAIN_INTRODUCED, &[domid]) => Call::IsDomainIntroduced { domid: number(domid)? },
            (Kind::RESET_WATCHES, _) => Call::ResetWatches,
            (kind, _) if is_known(kind) => return Err(Errno::Einval),
            _ => return Err(Errno::Enosys),
        })
    }
}

/// Whether requests of this type are understood.
fn is_known(kind: Kind) -> bool {
    (Kind::DIRECTORY..=Kind::SET_PERMS).contains(&kind)
        || [Kind::IS_DOMAIN_INTRODUCED, Kind::RESET_WATCHES, Kind::DIRECTORY_PART].contains(&kind)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Errno> {
    text.parse().map_err(|_| Errno::Einval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, TxId, wire::Decoder};

    #[test]
    fn reads_what_requests_write() {
        let mut bytes = Vec::new();
        Request::Write { path: "/a", value: b"\0x" }.encode(1, TxId::NONE, &mut bytes).unwrap();
        let message = Decoder::new().next(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!(Call::decode(&message), Ok(Call::Write { path: "/a", value: b"\0x" }));
        bytes.clear();
        Request::Introduce { domid: 3, frame: 4, port: 5 }.encode(1, TxId::NONE, &mut bytes).unwrap();
        let message = Decoder::new().next(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!(Call::decode(&message), Ok(Call::Introduce { domid: 3 }));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let call = |kind, payload: &[u8]| {
            let message = Message { kind, request: 1, tx: 0, payload: payload.to_vec() };
            Call::decode(&message).map(drop)
        };
        assert_eq!(call(Kind::READ, b"/a"), Err(Errno::Einval), "no NUL");
        assert_eq!(call(Kind::READ, b"/a\0/b\0"), Err(Errno::Einval));
        assert_eq!(call(Kind::WRITE, b"/a"), Err(Errno::Einval));
        assert_eq!(call(Kind::SET_PERMS, b"/a\0"), Err(Errno::Einval));
        assert_eq!(call(Kind::SET_PERMS, b"/a\0x1\0"), Err(Errno::Einval));
        assert_eq!(call(Kind::TRANSACTION_END, b"X\0"), Err(Errno::Einval));
        assert_eq!(call(Kind::CONTROL, b"help\0"), Err(Errno::Enosys));
        assert_eq!(call(Kind(4711), b""), Err(Errno::Enosys));
        assert_eq!(call(Kind::WATCH_EVENT, b"/a\0t\0"), Err(Errno::Enosys));
    }
}
