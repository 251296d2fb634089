//! How many logs each owner has, and all together: the daemon's own protection, since the store sets domain 0 no quota.

use std::collections::BTreeMap;

use logproto::{Bounds, Code, EntryKey, Owner, Refusal};

use crate::pack::pack;

/// The numbers of logs that are served or about to be.
#[derive(Debug, Default)]
pub struct Shares {
    of: BTreeMap<Owner, u32>,
    all: usize,
}

impl Shares {
    /// Whether the owner of this entry may have one more log.
    pub fn room(&self, key: &EntryKey, bounds: &Bounds) -> Result<(), Refusal> {
        let most = match key.owner {
            Owner::Host => bounds.logs_of_host,
            Owner::Domain(_) => bounds.logs_per_domain,
        };
        let refuse = |who: String, most| {
            Err(Refusal::new(Code::TooMany, format!("{}: {who} has {most} logs, the most allowed", key.path())))
        };
        if self.of.get(&key.owner).is_some_and(|logs| *logs as usize >= most) {
            return refuse(key.owner.to_string(), most);
        }
        if self.all >= bounds.logs {
            return refuse("this host".to_owned(), bounds.logs);
        }
        Ok(())
    }

    /// Takes no more room than it needs: see [`pack`].
    pub fn pack(&mut self) {
        pack(&mut self.of);
    }

    /// One more.
    pub fn add(&mut self, owner: Owner) {
        *self.of.entry(owner).or_default() += 1;
        self.all += 1;
    }

    /// One less.
    pub fn remove(&mut self, owner: Owner) {
        if let Some(logs) = self.of.get_mut(&owner) {
            *logs -= 1;
            self.all -= 1;
            if *logs == 0 {
                self.of.remove(&owner);
            }
        }
    }

    /// All together.
    pub fn all(&self) -> usize {
        self.all
    }
}
