//! A figure beside its goal: medians of turns, how far they lie apart, and whether the goal is met.

use super::systems::System;
use std::fmt::Write as _;

/// What is asked of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) figure: String,
    /// Each system's turns.
    pub(crate) turns: Vec<(System, Vec<f64>)>,
    /// What is compared with the goal.
    pub(crate) value: Option<f64>,
    pub(crate) goal: Goal,
}

impl Line {
    /// A figure of two systems, of which the ratio counts: the median over turns that stood side by side.
    pub(crate) fn ratio(figure: &str, turns: Vec<(System, Vec<f64>)>, of: [System; 2], goal: Goal) -> Self {
        let find = |wanted| turns.iter().find(|(system, _)| *system == wanted).map(|(_, turns)| turns);
        let value = find(of[0]).zip(find(of[1])).and_then(|(above, below)| {
            median(above.iter().zip(below).map(|(above, below)| above / below).collect())
        });
        Self { figure: figure.to_owned(), turns, value, goal }
    }

    /// A figure of ours that counts by itself.
    pub(crate) fn own(figure: &str, turns: Vec<f64>, goal: Goal) -> Self {
        let value = median(turns.clone());
        Self { figure: figure.to_owned(), turns: vec![(System::Ours, turns)], value, goal }
    }

    pub(crate) fn is_met(&self) -> Option<bool> {
        self.value.map(|value| match self.goal {
            Goal::AtMost(most) => value <= most,
            Goal::AtLeast(least) => value >= least,
        })
    }

    /// What each system came to, the value, the goal, and the verdict.
    pub(crate) fn cells(&self) -> [String; 4] {
        let mut systems = String::new();
        for (system, turns) in &self.turns {
            let separator = if systems.is_empty() { "" } else { "; " };
            let _ = write!(systems, "{separator}{} {}", system.name(), spread(turns));
        }
        let goal = match self.goal {
            Goal::AtMost(most) => format!("≤ {most}"),
            Goal::AtLeast(least) => format!("≥ {least}"),
        };
        let verdict = match self.is_met() {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        };
        [systems, self.value.map_or_else(|| "-".to_owned(), number), goal, verdict.to_owned()]
    }

    pub(crate) fn text(&self) -> String {
        let [systems, value, goal, verdict] = self.cells();
        format!("{}: {systems}\n    {value}, asked for {goal}: {verdict}", self.figure)
    }
}

/// The median, with the least and the greatest.
fn spread(turns: &[f64]) -> String {
    let of = |pick: fn(f64, f64) -> f64| turns.iter().copied().reduce(pick).map_or_else(String::new, number);
    let middle = median(turns.to_vec()).map_or_else(|| "-".to_owned(), number);
    format!("{middle} ({}–{})", of(f64::min), of(f64::max))
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(half).copied(),
        _ => values.get(half.checked_sub(1)?).zip(values.get(half)).map(|(low, high)| (low + high) / 2.0),
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        1.0..10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_turns_that_stood_side_by_side() {
        let turns = vec![(System::Ours, vec![1.0, 8.0, 3.0]), (System::Nats, vec![4.0, 16.0, 4.0])];
        let line = Line::ratio("CPU", turns, [System::Ours, System::Nats], Goal::AtMost(0.3));
        assert_eq!((line.value, line.is_met()), (Some(0.5), Some(false)));
        assert!(line.text().contains("ours 3.00 (1.00–8.00); nats-server 4.00"), "{}", line.text());
    }

    #[test]
    fn without_the_other_system_nothing_is_met_or_missed() {
        let turns = vec![(System::Ours, vec![1.0])];
        let line = Line::ratio("CPU", turns, [System::Ours, System::Nats], Goal::AtMost(0.3));
        assert_eq!(line.is_met(), None);
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
