//! Calls within a transaction.

use crate::{Client, Error, Perm, Reply, Request, TxId};

/// A transaction that is going on, given by [`Client::transaction`]: nobody else sees what it changes until it is
/// committed, and then all at once. It is aborted when it is dropped before, also by a panic.
#[derive(Debug)]
pub struct Transaction<'a> {
    client: &'a mut Client,
    id: TxId,
    is_open: bool,
}

impl<'a> Transaction<'a> {
    pub(crate) fn start(client: &'a mut Client) -> Result<Self, Error> {
        match client.call(TxId::NONE, Request::TransactionStart)? {
            Reply::Transaction(id) => Ok(Transaction { client, id, is_open: true }),
            other => Err(Error::Protocol(format!("TRANSACTION_START was answered with {other:?}"))),
        }
    }

    pub(crate) fn commit(mut self) -> Result<(), Error> {
        // From here on the store decides: also after EAGAIN the transaction is over.
        self.is_open = false;
        self.client.call(self.id, Request::TransactionEnd { commit: true }).map(drop)
    }

    /// As [`Client::read`].
    ///
    /// # Errors
    /// As there, and so for all below.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        self.client.value(self.id, path)
    }

    /// As [`Client::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error> {
        self.client.call(self.id, Request::Write { path, value }).map(drop)
    }

    /// As [`Client::mkdir`].
    ///
    /// # Errors
    /// As there.
    pub fn mkdir(&mut self, path: &str) -> Result<(), Error> {
        self.client.call(self.id, Request::Mkdir { path }).map(drop)
    }

    /// As [`Client::rm`].
    ///
    /// # Errors
    /// As there.
    pub fn rm(&mut self, path: &str) -> Result<(), Error> {
        self.client.call(self.id, Request::Rm { path }).map(drop)
    }

    /// As [`Client::directory`].
    ///
    /// # Errors
    /// As there.
    pub fn directory(&mut self, path: &str) -> Result<Vec<String>, Error> {
        self.client.names(self.id, path)
    }

    /// As [`Client::get_perms`].
    ///
    /// # Errors
    /// As there.
    pub fn get_perms(&mut self, path: &str) -> Result<Vec<Perm>, Error> {
        self.client.perms(self.id, path)
    }

    /// As [`Client::set_perms`].
    ///
    /// # Errors
    /// As there.
    pub fn set_perms(&mut self, path: &str, perms: &[Perm]) -> Result<(), Error> {
        self.client.call(self.id, Request::SetPerms { path, perms }).map(drop)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.client.cast(self.id, Request::TransactionEnd { commit: false });
        }
    }
}
