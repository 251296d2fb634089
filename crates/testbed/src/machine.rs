//! A host without Xen, and what a toolstack does on it, in the order in which libxl does it (tools/libs/light).

use std::path::PathBuf;
use std::process::Command;

use xenstore::{Access, Client, Error, Perm, Transaction};

use crate::guest::{Console, Guest, STORE_PORT};
use crate::hypervisor::{Hypervisor, Shutdown};
use crate::{Store, StoreKind};

/// A node of a console, and what is in it.
pub type Node = (&'static str, String);

/// What libxl writes for a console (libxl_console.c), in its order.
pub fn console_nodes(console: &Console) -> Vec<Node> {
    vec![
        ("limit", "1048576".into()),
        ("type", "xenconsoled".into()),
        ("output", "pty".into()),
        ("tty", String::new()),
        ("port", console.port().to_string()),
        ("ring-ref", console.frame().to_string()),
    ]
}

/// A host with a hypervisor and a store.
#[derive(Debug)]
pub struct Machine {
    store: Store,
    /// After the store, which runs over it.
    hypervisor: Hypervisor,
}

impl Machine {
    /// A host without domains.
    ///
    /// # Panics
    /// If it cannot be started; ask [`StoreKind::available`] before. The embedded store does not see when a domain ends by itself.
    pub fn start(kind: StoreKind) -> Machine {
        Machine::over(Hypervisor::start(), kind)
    }

    /// The same over a hypervisor that runs already.
    ///
    /// # Panics
    /// See [`Machine::start`].
    pub fn over(hypervisor: Hypervisor, kind: StoreKind) -> Machine {
        let store = Store::over(&hypervisor, kind);
        Machine { store, hypervisor }
    }

    /// Its hypervisor.
    pub fn hypervisor(&self) -> &Hypervisor {
        &self.hypervisor
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its store, to stop it and start it anew.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// A client of its store.
    ///
    /// # Panics
    /// If it cannot connect.
    pub fn client(&self) -> Client {
        self.store.client()
    }

    /// One of Xen's programs, to be run on this host.
    ///
    /// # Panics
    /// If it is not installed; ask [`installed`](crate::programs::installed) before.
    pub fn program(&self, name: &str) -> Command {
        let path: PathBuf = crate::programs::find(name).unwrap_or_else(|| panic!("no {name}"));
        let mut command = Command::new(path);
        self.hypervisor.run_linked(&mut command);
        command.env("XENSTORED_PATH", self.store.socket()).env_remove("HYPERVISOR_LIFELINE");
        command
    }

    /// A guest that runs, with its console in the store.
    ///
    /// # Panics
    /// If there is one with this id.
    pub fn guest(&self, domid: u16, name: &str) -> Guest {
        let guest = self.introduce(domid, name);
        self.announce(&guest, &console_nodes(&guest));
        guest
    }

    /// A guest that the store knows and that has no console yet.
    ///
    /// # Panics
    /// If there is one with this id.
    pub fn introduce(&self, domid: u16, name: &str) -> Guest {
        let guest = Guest::create(&self.hypervisor, domid, name);
        let mut client = self.client();
        let home = home(domid);
        done(client.transaction(|store| {
            for path in [format!("/libxl/{domid}"), home.clone()] {
                store.rm(&path).or_else(if_absent)?;
                store.mkdir(&path)?;
            }
            store.set_perms(&format!("/libxl/{domid}"), &[Perm::new(Access::None, 0)])?;
            store.set_perms(&home, &[Perm::new(Access::None, 0), Perm::new(Access::Read, domid.into())])?;
            store.mkdir(&format!("/libxl/{domid}/device"))?;
            store.write(&format!("{home}/name"), name.as_bytes())?;
            store.write(&format!("{home}/domid"), domid.to_string().as_bytes())?;
            store.write(&format!("{home}/store/port"), STORE_PORT.to_string().as_bytes())?;
            store.write(&format!("{home}/store/ring-ref"), guest.store_frame().to_string().as_bytes())
        }));
        done(client.introduce(domid.into(), guest.store_frame(), STORE_PORT));
        guest
    }

    /// Writes the nodes of a guest's console, all at once.
    ///
    /// # Panics
    /// If the store does not take them.
    pub fn announce(&self, guest: &Guest, nodes: &[Node]) {
        let (domid, home) = (guest.domid(), home(guest.domid()));
        let (front, back) = (format!("{home}/console"), format!("/local/domain/0/backend/console/{domid}/0"));
        done(self.client().transaction(|store| {
            for (node, value) in [("frontend", front.as_str()), ("online", "1"), ("state", "1"), ("protocol", "vt100")]
            {
                store.write(&format!("{back}/{node}"), value.as_bytes())?;
            }
            store.write(&format!("{back}/frontend-id"), domid.to_string().as_bytes())?;
            store.write(&format!("/libxl/{domid}/device/console/0/backend"), back.as_bytes())?;
            // The directory is domain 0's, and the guest reads in it; but for one node.
            store.mkdir(&front)?;
            store.set_perms(&front, &[Perm::new(Access::None, 0), Perm::new(Access::Read, domid.into())])?;
            store.write(&format!("{front}/backend"), back.as_bytes())?;
            store.write(&format!("{front}/backend-id"), b"0")?;
            store.set_perms(&format!("{front}/backend-id"), &[Perm::new(Access::None, domid.into())])?;
            write_all(store, &front, nodes)
        }));
    }

    /// Writes the nodes of a guest's other console, all at once.
    ///
    /// # Panics
    /// If the store does not take them.
    pub fn announce_vuart(&self, guest: &Guest) {
        let front = format!("{}/vuart/0", home(guest.domid()));
        // As above, without those that libxl does not write here.
        let nodes: Vec<Node> = console_nodes(guest.vuart());
        let nodes: Vec<Node> = nodes.into_iter().filter(|(node, _)| !["output", "tty"].contains(node)).collect();
        done(self.client().transaction(|store| write_all(store, &front, &nodes)));
    }

    /// The guest stands still: it has switched itself off, crashed and so on.
    ///
    /// # Panics
    /// If it is not there.
    pub fn shut_down(&self, guest: &Guest, why: Shutdown) {
        self.hypervisor.shut_down(guest.domid(), why);
    }

    /// Destroys a guest: first its nodes go, one after the other, and then the domain (libxl_domain.c).
    ///
    /// # Panics
    /// If it is not there.
    pub fn destroy(&self, guest: &Guest) {
        self.forget(guest);
        self.hypervisor.destroy(guest.domid());
    }

    /// Destroys a guest up to where only the hypervisor still has it.
    ///
    /// # Panics
    /// If the store does not answer.
    pub fn forget(&self, guest: &Guest) {
        let (domid, home) = (guest.domid(), home(guest.domid()));
        let mut client = self.client();
        for path in [
            format!("{home}/console"),
            format!("/local/domain/0/backend/console/{domid}"),
            format!("/libxl/{domid}/device/console"),
            home,
            format!("/libxl/{domid}"),
        ] {
            done(client.rm(&path).or_else(if_absent));
        }
    }

    /// What is in a node of a guest's console.
    pub fn console_node(&self, domid: u16, node: &str) -> Option<String> {
        self.node(&format!("{}/console/{node}", home(domid)))
    }

    /// What is in a node, if it is there.
    ///
    /// # Panics
    /// If the store does not answer, or it is no text.
    pub fn node(&self, path: &str) -> Option<String> {
        match self.client().read(path) {
            Ok(value) => Some(String::from_utf8(value).unwrap_or_else(|why| panic!("{path}: {why}"))),
            Err(why) if why.is_absent() => None,
            Err(why) => panic!("{path}: {why}"),
        }
    }
}

fn home(domid: u16) -> String {
    format!("/local/domain/{domid}")
}

fn write_all(store: &mut Transaction<'_>, front: &str, nodes: &[Node]) -> Result<(), Error> {
    nodes.iter().try_for_each(|(node, value)| store.write(&format!("{front}/{node}"), value.as_bytes()))
}

fn if_absent(why: Error) -> Result<(), Error> {
    if why.is_absent() { Ok(()) } else { Err(why) }
}

fn done<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|why| panic!("the store: {why}"))
}
