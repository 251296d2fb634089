//! What is aimed at, and whether it was reached.

use super::summary::{Place, Spread, Summary, short};

/// Whose aims these are.
pub const OURS: &str = "xenlog";

/// Ratios and times that differ by less are equal: a machine with others on it shows no less.
const EQUAL: f64 = 1.15;

/// What a measure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// A number in the measure's own unit.
    Number,
    /// A number that must not be exceeded by anything.
    Limit,
    /// What another peer was measured with in the same case.
    Peer(&'static str),
    /// What the same peer was measured with in another case.
    Case(&'static str),
}

use Against::{Case, Limit, Number, Peer};

/// One aim: at most so many times what it is held against.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// Of which work.
    pub work: &'static str,
    /// In which case of it; empty: in the first that there is.
    pub case: &'static str,
    /// In which measure.
    pub measure: &'static str,
    /// Beside what.
    pub against: Against,
    /// How much.
    pub at_most: f64,
}

/// What became of an aim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is reached.
    Met,
    /// It is not, by a difference that counts as none.
    Equal,
    /// It is missed: so many times the aim was measured.
    Missed(f64),
    /// Nobody has measured it.
    Unknown,
}

const fn aim(work: &'static str, case: &'static str, measure: &'static str, against: Against, at_most: f64) -> Aim {
    Aim { work, case, measure, against, at_most }
}

/// All of them.
pub const AIMS: &[Aim] = &[
    aim("W1", "", "cpu", Peer("probe"), 1.1),
    aim("W1", "", "cpu", Peer("rotatelogs"), 1.0),
    aim("W1", "", "cpu", Peer("conmon"), 1.0 / 6.0),
    aim("W1", "", "cpu", Peer("s6-log"), 1.0 / 8.0),
    aim("W1", "", "cpu", Peer("virtlogd"), 1.0 / 10.0),
    aim("W1", "", "disk", Number, 5.0),
    aim("W2", "", "cpu", Peer("probe"), 0.3),
    aim("W2", "", "wall", Peer("probe"), 1.0),
    aim("W3", "", "cpu", Peer("virtlogd"), 1.0),
    aim("W3", "", "cpu", Peer("rotatelogs"), 1.0 / 15.0),
    aim("W3", "", "cpu", Peer("conmon"), 1.0 / 15.0),
    aim("W3", "", "cpu", Peer("s6-log"), 1.0 / 15.0),
    aim("W3", "", "cpu", Peer("multilog"), 1.0 / 15.0),
    aim("W3", "", "cpu", Peer("svlogd"), 1.0 / 15.0),
    aim("W4", "4000 logs", "cpu", Limit, 0.0),
    // 2 for each log; what the daemon has for itself is among them.
    aim("W4", "4000 logs", "descriptors", Limit, 2.05),
    aim("W4", "4000 logs", "pss", Limit, 4.0),
    aim("W5", "", "p50", Peer("probe"), 1.2),
    aim("W5", "", "p50", Peer("virtlogd"), 1.0),
    aim("W6", "", "most", Limit, 100.0),
    aim("W7", "", "wall", Number, 0.3),
    aim("W8", "1000 logs, 10000 a second", "cpu", Peer("probe"), 1.1),
    aim("W8", "1000 logs, 10000 a second", "cpu", Peer("virtlogd"), 1.0 / 6.0),
    aim("W8", "4000 logs, 10000 a second", "cpu", Peer("probe"), 1.1),
    aim("W8", "4000 logs, 2000 a second", "cpu", Peer("probe"), 1.1),
    aim("W8", "4000 logs, 2000 a second", "cpu", Peer("virtlogd"), 1.0 / 25.0),
    aim("W9", "4000 entries", "all ready", Number, 4000.0),
    aim("W9", "1000 entries", "an entry", Case("100 entries"), 1.0),
    aim("W9", "4000 entries", "an entry", Case("1000 entries"), 1.0),
    aim("W10", "flood, 1 guest", "cpu an event", Peer("stock"), 1.0 / 2.0),
    aim("W10", "lines, 1 guest", "cpu an event", Peer("stock"), 1.0 / 2.0),
    aim("W10", "flood, 500 guests", "cpu an event", Peer("stock"), 1.0 / 10.0),
    aim("W10", "lines, 500 guests", "cpu an event", Peer("stock"), 1.0 / 10.0),
    aim("noisy", "beside", "p99", Case("alone"), 2.0),
];

impl Aim {
    /// What was measured: a ratio, or the number itself.
    pub fn measured(&self, summary: Summary) -> Option<Spread> {
        let case = if self.case.is_empty() { summary.cases(self.work).first().copied()? } else { self.case };
        let place = Place { work: self.work, case, peer: OURS, measure: self.measure };
        match self.against {
            Number | Limit => summary.spread(place),
            Peer(peer) => summary.ratio(place, Place { peer, ..place }),
            Case(case) => summary.ratio(place, Place { case, ..place }),
        }
    }

    /// Whether it is held against something else that was measured.
    pub fn is_ratio(&self) -> bool {
        matches!(self.against, Peer(_) | Case(_))
    }

    /// What became of it.
    pub fn verdict(&self, measured: Option<Spread>) -> Verdict {
        let Some(measured) = measured else { return Verdict::Unknown };
        // What must never happen has happened if it did once.
        let (value, equal) = match self.against {
            Limit => (measured.most, 1.0),
            _ => (measured.median, EQUAL),
        };
        if value <= self.at_most {
            Verdict::Met
        } else if value <= self.at_most * equal {
            Verdict::Equal
        } else {
            Verdict::Missed(value / self.at_most)
        }
    }

    /// In words, with the unit that the measure has.
    pub fn text(&self, unit: &str) -> String {
        let case = if self.case.is_empty() { String::new() } else { format!("{}: ", self.case) };
        let amount = match self.against {
            Number | Limit => format!("{} {unit}", short(self.at_most)),
            Peer(other) | Case(other) => format!("{} {other}", times(self.at_most)),
        };
        format!("{case}{} ≤ {}", self.measure, amount.trim())
    }
}

/// How many times: "1/6 of" or "1.1 ×".
fn times(ratio: f64) -> String {
    let parts = (1.0 / ratio).round();
    if ratio < 1.0 && (ratio * parts - 1.0).abs() < 1e-9 {
        format!("1/{parts} of")
    } else {
        format!("{} ×", short(ratio))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::summary::tests::figure;

    fn verdict(against: Against, at_most: f64, measured: &[f64]) -> Verdict {
        aim("W1", "", "CPU", against, at_most).verdict(Spread::of(measured.to_vec()))
    }

    #[test]
    fn what_differs_little_is_equal() {
        assert_eq!(verdict(Number, 2.0, &[1.0, 2.0, 9.0]), Verdict::Met);
        assert_eq!(verdict(Number, 2.0, &[2.29]), Verdict::Equal);
        assert_eq!(verdict(Peer("probe"), 2.0, &[3.0]), Verdict::Missed(1.5));
        assert_eq!(verdict(Number, 2.0, &[]), Verdict::Unknown);
    }

    /// A bound that is broken in one round of five is broken.
    #[test]
    fn a_limit_is_no_median() {
        assert_eq!(verdict(Limit, 1.0, &[0.5, 1.0, 0.9]), Verdict::Met);
        assert_eq!(verdict(Limit, 1.0, &[0.5, 1.01, 0.9]), Verdict::Missed(1.01));
    }

    #[test]
    fn it_is_held_against_a_peer_or_a_case() {
        let figures = [
            figure("W1", "many", OURS, 1, 6.0),
            figure("W1", "few", OURS, 1, 2.0),
            figure("W1", "many", "other", 1, 12.0),
        ];
        let measured = |against| aim("W1", "many", "CPU", against, 1.0).measured(Summary(&figures)).unwrap().median;
        assert_eq!(measured(Peer("other")), 0.5);
        assert_eq!(measured(Case("few")), 3.0);
        assert_eq!(measured(Number), 6.0);
    }

    #[test]
    fn it_is_told_in_words() {
        let text = |against, at_most| aim("W1", "ext4", "CPU", against, at_most).text("s/GiB");
        assert_eq!(text(Peer("conmon"), 1.0 / 6.0), "ext4: CPU ≤ 1/6 of conmon");
        assert_eq!(text(Peer("probe"), 1.1), "ext4: CPU ≤ 1.1 × probe");
        assert_eq!(text(Case("alone"), 0.3), "ext4: CPU ≤ 0.3 × alone");
        assert_eq!(text(Limit, 0.0), "ext4: CPU ≤ 0 s/GiB");
    }
}
