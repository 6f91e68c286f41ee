use super::*;

/// A history under construction: moments count up by themselves.
#[derive(Default)]
struct Story {
    now: u64,
    ops: Vec<Op>,
}

fn answer(revision: i64, seen: &[Held]) -> Answer {
    Answer { succeeded: true, revision, seen: seen.to_vec() }
}

fn failed(revision: i64, seen: Held) -> Answer {
    Answer { succeeded: false, revision, seen: vec![seen] }
}

impl Story {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn begin(&mut self, call: Call) -> usize {
        let begun = self.tick();
        let client = self.ops.len() as u32;
        self.ops.push(Op { client, begun, ended: None, call, answer: None });
        self.ops.len() - 1
    }

    fn end(&mut self, at: usize, answer: Answer) {
        self.ops[at].ended = Some(self.tick());
        self.ops[at].answer = Some(answer);
    }

    /// A call that nothing else meets.
    fn whole(&mut self, call: Call, answer: Answer) {
        let at = self.begin(call);
        self.end(at, answer);
    }

    fn search(&self) -> Result<(), NotLinearizable> {
        partitions(&self.ops).iter().try_for_each(|part| search::check(part))
    }
}

/// What each judge must say: the search, the revisions.
#[track_caller]
fn judge(story: &Story, search: bool, revision: bool) {
    let found = (story.search(), revision::check(&story.ops));
    assert_eq!((found.0.is_ok(), found.1.is_ok()), (search, revision), "{found:?}");
    assert_eq!(check(&story.ops).is_ok(), search && revision);
}

const A: Key = 1;
const B: Key = 2;

#[test]
fn one_call_after_another_is_linearizable() {
    let mut story = Story::default();
    story.whole(Call::get(A), answer(1, &[None]));
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.whole(Call::get(A), answer(2, &[Some((10, 2))]));
    story.whole(Call::swap(A, 2, 11), answer(3, &[None]));
    story.whole(Call::swap(A, 2, 12), failed(3, Some((11, 3))));
    story.whole(Call::delete(A), answer(4, &[Some((11, 3))]));
    story.whole(Call::delete(A), answer(4, &[None]));
    story.whole(Call::swap(A, 0, 13), answer(5, &[None]));
    judge(&story, true, true);
}

#[test]
fn calls_at_once_may_happen_in_any_order() {
    let mut story = Story::default();
    let first = story.begin(Call::put(A, 10));
    let second = story.begin(Call::put(A, 11));
    let reader = story.begin(Call::get(A));
    story.end(first, answer(3, &[None]));
    story.end(second, answer(2, &[None]));
    story.end(reader, answer(2, &[Some((11, 2))]));
    story.whole(Call::get(A), answer(3, &[Some((10, 3))]));
    judge(&story, true, true);
}

#[test]
fn a_stale_read_is_found() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.whole(Call::put(A, 11), answer(3, &[None]));
    story.whole(Call::get(A), answer(2, &[Some((10, 2))]));
    judge(&story, false, false);
}

#[test]
fn a_stale_read_that_claims_the_newest_revision_is_found() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.whole(Call::put(A, 11), answer(3, &[None]));
    story.whole(Call::get(A), answer(3, &[Some((10, 2))]));
    judge(&story, false, false);
}

#[test]
fn a_stale_read_of_another_key_is_found_by_its_revision() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.whole(Call::get(B), answer(1, &[None]));
    judge(&story, true, false);
}

#[test]
fn a_lost_update_is_found() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.whole(Call::get(A), answer(2, &[None]));
    judge(&story, false, false);
}

#[test]
fn two_swaps_from_one_revision_are_found() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    let first = story.begin(Call::swap(A, 2, 11));
    let second = story.begin(Call::swap(A, 2, 12));
    story.end(first, answer(3, &[None]));
    story.end(second, answer(4, &[None]));
    judge(&story, false, true);
}

#[test]
fn a_write_that_was_done_twice_is_found() {
    // Acknowledged at 2, overwritten at 3, and there again at 4.
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.whole(Call::put(A, 11), answer(3, &[None]));
    story.whole(Call::get(A), answer(4, &[Some((10, 4))]));
    judge(&story, false, true);
}

#[test]
fn a_reader_that_goes_back_is_found() {
    let mut story = Story::default();
    let lost = story.begin(Call::put(A, 10));
    story.whole(Call::get(A), answer(2, &[Some((10, 2))]));
    story.whole(Call::get(A), answer(2, &[None]));
    judge(&story, false, false);
    assert_eq!(story.ops[lost].answer, None);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    let mut story = Story::default();
    story.whole(Call::get(A), answer(2, &[Some((99, 2))]));
    judge(&story, false, true);
}

#[test]
fn a_value_from_the_future_is_found() {
    let mut story = Story::default();
    story.whole(Call::get(A), answer(2, &[Some((10, 2))]));
    story.whole(Call::put(A, 10), answer(3, &[None]));
    judge(&story, false, true);
}

#[test]
fn two_writes_at_one_revision_are_found() {
    let mut story = Story::default();
    let first = story.begin(Call::put(A, 10));
    let second = story.begin(Call::put(B, 11));
    story.end(first, answer(2, &[None]));
    story.end(second, answer(2, &[None]));
    judge(&story, true, false);
}

#[test]
fn a_call_without_an_answer_may_have_happened_or_not() {
    for happened in [None, Some((11, 3))] {
        let mut story = Story::default();
        story.whole(Call::put(A, 10), answer(2, &[None]));
        story.begin(Call::put(A, 11));
        story.whole(Call::get(A), answer(3, &[happened.or(Some((10, 2)))]));
        judge(&story, true, true);
    }
}

#[test]
fn a_call_without_an_answer_may_happen_much_later() {
    let mut story = Story::default();
    story.begin(Call::put(A, 10));
    story.whole(Call::put(A, 11), answer(2, &[None]));
    story.whole(Call::get(A), answer(2, &[Some((11, 2))]));
    story.whole(Call::get(A), answer(3, &[Some((10, 3))]));
    judge(&story, true, true);
    // But not twice.
    story.whole(Call::put(A, 12), answer(4, &[None]));
    story.whole(Call::get(A), answer(5, &[Some((10, 5))]));
    judge(&story, false, true);
}

#[test]
fn a_call_without_an_answer_does_not_happen_before_it_began() {
    let mut story = Story::default();
    story.whole(Call::get(A), answer(2, &[Some((10, 2))]));
    story.begin(Call::put(A, 10));
    judge(&story, false, true);
}

#[test]
fn a_deletion_without_an_answer_explains_that_a_key_is_gone() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    let at = story.begin(Call::delete(A));
    story.whole(Call::get(A), answer(3, &[None]));
    judge(&story, true, true);
    story.ops.remove(at);
    judge(&story, false, false);
}

#[test]
fn a_swap_without_an_answer_needs_its_revision() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.begin(Call::swap(A, 1, 11));
    story.whole(Call::get(A), answer(3, &[Some((11, 3))]));
    judge(&story, false, true);
}

#[test]
fn both_keys_of_a_transaction_change_at_once() {
    let both = Call { then: vec![Do::Put(A, 10), Do::Put(B, 11)], ..Call::default() };
    let mut story = Story::default();
    story.whole(both, answer(2, &[None, None]));
    story.whole(Call::get(A), answer(2, &[Some((10, 2))]));
    let mut torn = Story { now: story.now, ops: story.ops.clone() };
    story.whole(Call::get(B), answer(2, &[Some((11, 2))]));
    judge(&story, true, true);
    torn.whole(Call::get(B), answer(2, &[None]));
    judge(&torn, false, false);
}

#[test]
fn a_deletion_tells_what_it_removed() {
    let mut story = Story::default();
    story.whole(Call::put(A, 10), answer(2, &[None]));
    story.whole(Call::put(A, 11), answer(3, &[None]));
    story.whole(Call::delete(A), answer(4, &[Some((10, 2))]));
    judge(&story, false, false);
}

#[test]
fn keys_that_no_call_joins_are_judged_apart() {
    let mut story = Story::default();
    let both = Call { then: vec![Do::Put(1, 1), Do::Put(2, 2)], ..Call::default() };
    for (key, value) in [(1, 10), (2, 20), (3, 30)] {
        story.begin(Call::put(key, value));
    }
    assert_eq!(partitions(&story.ops).len(), 3);
    story.begin(both);
    assert_eq!(partitions(&story.ops).len(), 2);
}

/// Many histories of a store that does one call at a time, each call answered at a moment between its beginning and its end:
/// they are linearizable; and with one answer changed they mostly are not.
#[test]
fn histories_of_a_true_store_pass_and_changed_ones_do_not() {
    let mut seed = 7u64;
    let mut draw = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut caught = 0;
    for _ in 0..200 {
        let story = true_history(&mut draw);
        check(&story.ops).unwrap_or_else(|error| panic!("{error}"));
        let mut wrong = Story { now: story.now, ops: story.ops.clone() };
        let reads: Vec<usize> = (0..wrong.ops.len())
            .filter(|at| {
                let op = &wrong.ops[*at];
                op.call.then == [Do::Get(A)] && op.answer.as_ref().is_some_and(|answer| answer.seen != [None])
            })
            .collect();
        if reads.is_empty() {
            continue;
        }
        let at = reads[draw(reads.len() as u64) as usize];
        wrong.ops[at].answer.as_mut().expect("an answered read").seen = vec![None];
        caught += usize::from(check(&wrong.ops).is_err());
    }
    assert!(caught > 80, "of 200 changed histories {caught} were found");
}

fn true_history(draw: &mut impl FnMut(u64) -> u64) -> Story {
    let mut story = Story::default();
    let mut held: Held = None;
    let mut revision = 1;
    let mut open: Vec<(usize, Option<Answer>)> = Vec::new();
    for value in 1..60 {
        if open.len() < 5 {
            let call = match draw(6) {
                0..3 => Call::get(A),
                3 | 4 => Call::put(A, value),
                _ => Call::delete(A),
            };
            open.push((story.begin(call), None));
        }
        // One of those that are open happens.
        let pick = draw(open.len() as u64) as usize;
        let (at, done) = &mut open[pick];
        if done.is_none() {
            let before = held;
            match story.ops[*at].call.then[0] {
                Do::Get(_) => {}
                Do::Put(_, value) => {
                    revision += 1;
                    held = Some((value, revision));
                }
                Do::Delete(_) => {
                    revision += i64::from(held.is_some());
                    held = None;
                }
            }
            let seen = if matches!(story.ops[*at].call.then[0], Do::Put(..)) { None } else { before };
            *done = Some(answer(revision, &[seen]));
        }
        // Some end, some are never heard of again.
        let pick = draw(open.len() as u64) as usize;
        if let (at, Some(answer)) = open[pick].clone() {
            if draw(8) > 0 {
                story.end(at, answer);
            }
            open.swap_remove(pick);
        }
    }
    story
}

#[test]
fn a_wide_history_is_judged_in_little_time() {
    let mut story = Story::default();
    for round in 0..60u64 {
        let calls: Vec<usize> = (0..6).map(|at| story.begin(Call::put(A, round * 10 + at))).collect();
        let lost = story.begin(Call::put(A, round * 10 + 9));
        assert_eq!(story.ops[lost].ended, None);
        for (at, call) in calls.into_iter().rev().enumerate() {
            story.end(call, answer((round * 6) as i64 + at as i64 + 2, &[None]));
        }
    }
    judge(&story, true, true);
}
