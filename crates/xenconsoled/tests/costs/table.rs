//! What was counted, by name, and held against what it may be.

use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::Most;

/// System calls by name: those of the main thread, and those of all others, the writers.
#[derive(Default)]
pub struct Table {
    main: BTreeMap<String, u64>,
    writers: BTreeMap<String, u64>,
}

impl Table {
    /// It was called once more.
    pub fn add(&mut self, is_main: bool, name: &str) {
        let thread = if is_main { &mut self.main } else { &mut self.writers };
        *thread.entry(name.to_owned()).or_default() += 1;
    }

    /// Prints what each of so many `unit`s cost, and demands that it is no more than `most`.
    ///
    /// # Panics
    /// If it is more, or if nothing was counted: then the counting does not work.
    pub fn hold(&self, what: &str, units: u64, unit: &str, most: Most) {
        let of_one = |count: u64| count as f64 / units as f64;
        let row = |name: &str, main: f64, writers: f64| format!("{name:>20} {main:9.3} {writers:9.3}\n");
        let mut table =
            format!("{what}: system calls for one {unit} of {units}\n{:>20} {:>9} {:>9}\n", "", "main", "writers");
        let names: BTreeSet<&String> = self.main.keys().chain(self.writers.keys()).collect();
        for name in names {
            let of_name = |calls: &BTreeMap<String, u64>| of_one(calls.get(name).map_or(0, |count| *count));
            table += &row(name, of_name(&self.main), of_name(&self.writers));
        }
        let [main, writers] = [&self.main, &self.writers].map(|calls| of_one(calls.values().sum()));
        table += &row("all", main, writers);
        table += &row("at most", most.main, most.writers);
        println!("{table}");
        assert!(main + writers > 0.0 && main <= most.main && writers <= most.writers, "{table}");
    }
}
