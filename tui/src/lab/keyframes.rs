//! Keyframes: states of a run that are kept, to go back to.
//!
//! Whoever goes back takes the last keyframe before and plays on from there.
//! Members are shared between keyframes as long as they do not change. When
//! there are too many, or they take too much memory, those go first that lie
//! close together for their distance from where the run stands.

use std::collections::BTreeMap;

use super::Lab;

/// Most keyframes of a run.
pub const MAX_KEYFRAMES: usize = 128;
/// Most memory that all of them take, in bytes, besides the run itself.
pub const MAX_KEYFRAME_BYTES: usize = 512 << 20;

/// States by the number of steps done.
#[derive(Debug, Default)]
pub(super) struct Keyframes(BTreeMap<u64, Lab>);

impl Keyframes {
    /// Keeps a state.
    pub(super) fn keep(&mut self, lab: &Lab) {
        let step = lab.steps();
        if self.0.contains_key(&step) {
            return;
        }
        self.0.insert(step, lab.clone());
        while self.0.len() > MAX_KEYFRAMES || self.bytes(lab) > MAX_KEYFRAME_BYTES {
            match self.most_dispensable(step) {
                Some(step) => drop(self.0.remove(&step)),
                None => return,
            }
        }
    }

    /// The last state at or before this step.
    pub(super) fn before(&self, step: u64) -> Option<&Lab> {
        self.0.range(..=step).next_back().map(|(_, lab)| lab)
    }

    /// Forgets the states after this step.
    pub(super) fn forget_after(&mut self, step: u64) {
        self.0.retain(|kept, _| *kept <= step);
    }

    /// About how much memory they take besides `lab`.
    pub(super) fn bytes(&self, lab: &Lab) -> usize {
        let frames = self.0.values();
        let later = self.0.values().skip(1).chain([lab]);
        frames.zip(later).map(|(frame, later)| frame.bytes_beside(later)).sum()
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one whose neighbours stand closest together for its distance from
    /// `step`; never the first, without which there is no way back.
    fn most_dispensable(&self, step: u64) -> Option<u64> {
        let steps: Vec<u64> = self.0.keys().copied().collect();
        let cost = |place: usize| {
            let after = steps.get(place + 1).copied().unwrap_or(steps[place]).max(steps[place] + 1);
            (after - steps[place - 1]) as f64 / (steps[place].abs_diff(step) + 1) as f64
        };
        let candidates = (1..steps.len()).filter(|place| steps[*place] != step);
        candidates
            .min_by(|one, other| cost(*one).total_cmp(&cost(*other)))
            .map(|place| steps[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Plan;

    #[test]
    fn keyframes_get_rarer_with_age_and_the_first_one_stays() {
        let mut plan = Plan::mesh(4);
        plan.chunks = 10_000;
        let mut lab = Lab::new(plan);
        let mut frames = Keyframes::default();
        frames.keep(&lab);
        for _ in 0..20_000 {
            lab.step().expect("is not over");
            frames.keep(&lab);
        }
        assert_eq!(frames.len(), MAX_KEYFRAMES);
        let steps: Vec<u64> = frames.0.keys().copied().collect();
        assert_eq!((steps[0], steps[MAX_KEYFRAMES - 1]), (0, 20_000));
        for two in steps.windows(2) {
            let age = 20_000 - two[0];
            assert!(two[1] - two[0] <= 1 + age / 4, "{two:?}: {steps:?}");
        }
        assert_eq!(frames.before(20_000).map(Lab::steps), Some(20_000));
        frames.forget_after(10);
        assert_eq!(frames.before(20_000).map(Lab::steps), Some(0));
        assert!(frames.bytes(&lab) < 1 << 20);
    }
}
