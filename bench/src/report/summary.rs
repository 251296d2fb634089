//! Many figures as few: medians, and medians of the ratios within a round.

use crate::figure::Figure;

/// The middle of what was measured, and its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// None of nothing.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Spread { median: f64::midpoint(lower, upper), least, most })
    }
}

/// One measure of one peer in one case of a work.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The work.
    pub work: &'a str,
    /// Which variant of it.
    pub case: &'a str,
    /// Who.
    pub peer: &'a str,
    /// What.
    pub measure: &'a str,
}

/// All that was measured.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a [Figure]);

impl<'a> Summary<'a> {
    /// What was measured there, over all rounds.
    pub fn spread(self, place: Place) -> Option<Spread> {
        Spread::of(self.at(place).map(|figure| figure.value).collect())
    }

    /// How many times as much was measured there as at the base in the same round, over the rounds that both have.
    pub fn ratio(self, place: Place, base: Place) -> Option<Spread> {
        let of_base = |round| self.at(base).find(|figure| figure.round == round && figure.value > 0.0);
        let ratios = self.at(place).filter_map(|figure| Some(figure.value / of_base(figure.round)?.value));
        Spread::of(ratios.collect())
    }

    /// The cases of a work, in the order in which they came.
    pub fn cases(self, work: &str) -> Vec<&'a str> {
        distinct(self.of(work).map(|figure| figure.case.as_str()))
    }

    /// Who did a work, in the order in which they came.
    pub fn peers(self, work: &str) -> Vec<&'a str> {
        distinct(self.of(work).map(|figure| figure.peer))
    }

    /// What was measured in a case of a work and in what unit, in the order in which it came.
    pub fn measures(self, work: &str, case: &str) -> Vec<(&'a str, &'a str)> {
        distinct(self.of(work).filter(|figure| figure.case == case).map(|figure| (figure.measure, figure.unit)))
    }

    /// In what unit something was measured.
    pub fn unit(self, work: &str, measure: &str) -> Option<&'a str> {
        self.of(work).find(|figure| figure.measure == measure).map(|figure| figure.unit)
    }

    /// In how many rounds a work was done.
    pub fn rounds(self, work: &str) -> usize {
        distinct(self.of(work).map(|figure| figure.round)).len()
    }

    fn of(self, work: &str) -> impl Iterator<Item = &'a Figure> {
        self.0.iter().filter(move |figure| figure.work == work)
    }

    fn at(self, place: Place) -> impl Iterator<Item = &'a Figure> {
        self.of(place.work).filter(move |figure| {
            figure.case == place.case && figure.peer == place.peer && figure.measure == place.measure
        })
    }
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for each in all {
        if !seen.contains(&each) {
            seen.push(each);
        }
    }
    seen
}

/// A figure for people: three digits that count.
pub fn short(value: f64) -> String {
    let size = value.abs();
    let digits = if size == 0.0 || size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else if size >= 0.9995 {
        2
    } else if size >= 0.0995 {
        3
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A figure of the works that tests tell of.
    pub fn figure(work: &'static str, case: &str, peer: &'static str, round: u32, value: f64) -> Figure {
        Figure { work, case: case.into(), peer, round, measure: "CPU", unit: "s", value }
    }

    fn place(peer: &'static str) -> Place<'static> {
        Place { work: "W1", case: "", peer, measure: "CPU" }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 9.0]), Some(Spread { median: 3.0, least: 1.0, most: 9.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0, 9.0, 2.0]).unwrap().median, 3.0);
    }

    /// On a machine that is busy in one round, the ratio of two medians is one of two different rounds.
    #[test]
    fn a_ratio_is_made_within_a_round() {
        let figures = [
            figure("W1", "", "base", 1, 1.0),
            figure("W1", "", "we", 1, 2.0),
            figure("W1", "", "we", 2, 30.0),
            figure("W1", "", "base", 2, 10.0),
            figure("W1", "", "base", 3, 4.0),
            figure("W1", "", "we", 3, 4.0),
            figure("W1", "", "we", 4, 1000.0),
            figure("W2", "", "base", 4, 1.0),
        ];
        let ratio = Summary(&figures).ratio(place("we"), place("base")).unwrap();
        assert_eq!(ratio, Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Summary(&figures).ratio(place("we"), place("nobody")), None);
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        let figures = [figure("W1", "", "base", 1, 0.0), figure("W1", "", "we", 1, 2.0)];
        assert_eq!(Summary(&figures).ratio(place("we"), place("base")), None);
    }

    #[test]
    fn three_digits_count() {
        let shorts = [0.0, 0.01234, 0.1234, 1.0, 1.239, 9.999, 12.34, 99.96, 123.4, 4321.9].map(short);
        assert_eq!(shorts, ["0", "0.0123", "0.123", "1", "1.24", "10", "12.3", "100", "123", "4322"]);
    }
}
