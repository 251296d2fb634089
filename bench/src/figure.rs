//! What was measured.

/// One measurement of one peer in one round of one work.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The work: an id of [`WORKS`](crate::works::WORKS).
    pub work: &'static str,
    /// Which variant of it: "ext4", "1000 logs". Empty where there is one only.
    pub case: String,
    /// Who did it: "xenlog", "probe", "rotatelogs" …
    pub peer: &'static str,
    /// In which round. Peers of one round stand beside each other: ratios are made within a round.
    pub round: u32,
    /// What was measured: "cpu", "wall", "pss" …
    pub measure: &'static str,
    /// In what unit: "s/GiB", "µs/line", "MiB" …
    pub unit: &'static str,
    /// How much.
    pub value: f64,
}
