//! Shuffle sharding: a flow is dealt a small hand of queues, so that two flows rarely share all of theirs.

/// The most queues that a hand has; what validation allows.
pub const HAND_MAX: usize = 32;

/// The hand of a flow: `hand` different queues out of `queues`, decided by the flow's hash alone. Calls `take` for each.
pub fn deal(mut hash: u64, queues: usize, hand: usize, mut take: impl FnMut(usize)) {
    let mut dealt = [0_usize; HAND_MAX];
    for count in 0..hand.min(queues).min(HAND_MAX) {
        let left = (queues - count) as u64;
        let mut card = (hash % left) as usize;
        hash /= left;
        // `card` counts those that are left: each dealt one at or before it moves it on. `dealt` is in order.
        let mut at = 0;
        while at < count && dealt[at] <= card {
            card += 1;
            at += 1;
        }
        dealt.copy_within(at..count, at + 1);
        dealt[at] = card;
        take(card);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn hand(hash: u64, queues: usize, size: usize) -> Vec<usize> {
        let mut cards = Vec::new();
        deal(hash, queues, size, |card| cards.push(card));
        cards
    }

    proptest! {
        #[test]
        fn a_hand_has_different_queues(hash: u64, queues in 1_usize..512, size in 1_usize..9) {
            let cards = hand(hash, queues, size);
            prop_assert_eq!(cards.len(), size.min(queues));
            prop_assert_eq!(cards.iter().collect::<BTreeSet<_>>().len(), cards.len());
            prop_assert!(cards.iter().all(|card| *card < queues));
        }
    }

    #[test]
    fn every_ordered_hand_is_dealt_equally_often() {
        // 4 * 3 hands of two queues out of four.
        let hands: BTreeSet<_> = (0..12).map(|hash| hand(hash, 4, 2)).collect();
        assert_eq!(hands.len(), 12);
    }
}
