//! Which domain a person means.

use logproto::DomId;
use xenstore::Client;

use super::Error;
use crate::logs::name_of;

/// A domain that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its number.
    pub domid: DomId,
    /// Its name, if it has one.
    pub name: Option<String>,
}

impl Domain {
    /// The domain with this number or name; what can be a number is one, as for xl.
    ///
    /// # Errors
    /// [`Error::NoDomain`], [`Error::SeveralDomains`], [`Error::Domain0`], or the store's.
    pub fn find(store: &mut Client, named: &str) -> Result<Domain, Error> {
        let found = match named.parse() {
            Ok(domid) => numbered(store, domid)?.into_iter().collect(),
            Err(_) => with_name(store, named)?,
        };
        match &found[..] {
            [] => Err(Error::NoDomain(named.to_owned())),
            [domain] if domain.domid.number() == 0 => Err(Error::Domain0),
            [domain] => Ok(domain.clone()),
            several => {
                let domids = several.iter().map(|domain| domain.domid).collect();
                Err(Error::SeveralDomains { name: named.to_owned(), domids })
            }
        }
    }
}

fn numbered(store: &mut Client, domid: DomId) -> Result<Option<Domain>, Error> {
    if domid.number() == 0 {
        return Err(Error::Domain0);
    }
    match store.directory(&format!("/local/domain/{domid}")) {
        Ok(_) => Ok(Some(Domain { domid, name: name_of(store, domid)? })),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn with_name(store: &mut Client, named: &str) -> Result<Vec<Domain>, Error> {
    let mut domids: Vec<DomId> = match store.directory("/local/domain") {
        Ok(names) => names.iter().filter_map(|name| name.parse().ok()).collect(),
        Err(error) if error.is_absent() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    domids.sort();
    let mut found = Vec::new();
    for domid in domids {
        let name = name_of(store, domid)?;
        if name.as_deref() == Some(named) {
            found.push(Domain { domid, name });
        }
    }
    Ok(found)
}
