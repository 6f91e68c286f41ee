use std::collections::BTreeMap;

use super::*;

const MS: u64 = 1_000_000;

fn queuing(queues: usize, len_max: usize) -> Option<Queuing> {
    Some(Queuing { queues, hand: 1, len_max })
}

fn runs(set: &mut QueueSet, flow: u64, now_ns: u64) -> Ticket {
    match set.arrive(flow, Width::ONE, now_ns) {
        Arrival::Runs(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn waits(set: &mut QueueSet, flow: u64, now_ns: u64) -> Waiting {
    match set.arrive(flow, Width::ONE, now_ns) {
        Arrival::Waits(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

#[test]
fn seats_are_bounded_and_the_next_runs_when_one_is_free() {
    let mut set = QueueSet::new(queuing(4, 10), 1, 0);
    let first = runs(&mut set, 0, 0);
    let second = waits(&mut set, 0, 1);
    assert_eq!((set.running(), set.waiting(), set.seats()), (1, 1, 1));
    let begun = set.finish(first, 2);
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].id, second.id);
    for ticket in begun {
        assert!(set.finish(ticket, 3).is_empty());
    }
    assert_eq!((set.running(), set.waiting(), set.seats(), set.active), (0, 0, 0, 0));
}

#[test]
fn full_queues_refuse_and_levels_without_queues_let_nobody_wait() {
    let mut set = QueueSet::new(queuing(1, 1), 1, 0);
    let _first = runs(&mut set, 0, 0);
    waits(&mut set, 0, 0);
    assert!(matches!(set.arrive(0, Width::ONE, 0), Arrival::Refused(Refusal::QueueFull)));
    let mut set = QueueSet::new(None, 1, 0);
    let _first = runs(&mut set, 0, 0);
    assert!(matches!(set.arrive(0, Width::ONE, 0), Arrival::Refused(Refusal::ConcurrencyLimit)));
}

#[test]
fn who_gives_up_leaves_its_queue() {
    let mut set = QueueSet::new(queuing(1, 2), 1, 0);
    let first = runs(&mut set, 0, 0);
    let (gone, stays) = (waits(&mut set, 0, 0), waits(&mut set, 0, 0));
    assert!(set.give_up(gone, 1) && !set.give_up(gone, 1));
    let begun = set.finish(first, 2);
    assert_eq!(begun.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [stays.id]);
}

/// Runs flows that always have requests waiting, each request taking so long; returns how many of each ran.
fn compete(flows: &[(u64, usize, u64, Width)], limit: u32, until_ns: u64) -> BTreeMap<u64, u64> {
    let mut set = QueueSet::new(queuing(8, 100), limit, 0);
    let mut ran: BTreeMap<u64, u64> = BTreeMap::new();
    let mut flow_of: BTreeMap<u64, usize> = BTreeMap::new();
    let mut ends: BTreeMap<(u64, u64), (usize, Ticket)> = BTreeMap::new();
    let mut serial = 0;
    let come = |set: &mut QueueSet, at: usize, now: u64, flow_of: &mut BTreeMap<u64, usize>| match set.arrive(
        flows[at].0,
        flows[at].3,
        now,
    ) {
        Arrival::Runs(ticket) => Some((at, ticket)),
        Arrival::Waits(waiting) => {
            flow_of.insert(waiting.id, at);
            None
        }
        Arrival::Refused(why) => panic!("{why:?}"),
    };
    let mut begun = Vec::new();
    for (at, (_, count, ..)) in flows.iter().enumerate() {
        for _ in 0..*count {
            begun.extend(come(&mut set, at, 0, &mut flow_of));
        }
    }
    let mut now = 0;
    loop {
        for (at, ticket) in begun.drain(..) {
            serial += 1;
            ends.insert((now + flows[at].2, serial), (at, ticket));
        }
        let Some(((end, _), (at, ticket))) = ends.pop_first() else { break };
        if end > until_ns {
            break;
        }
        now = end;
        *ran.entry(flows[at].0).or_default() += 1;
        for ticket in set.finish(ticket, now) {
            begun.push((flow_of[&ticket.id], ticket));
        }
        begun.extend(come(&mut set, at, now, &mut flow_of));
    }
    ran
}

#[test]
fn flows_get_equal_shares_however_many_requests_they_have() {
    let ran = compete(&[(0, 80, 10 * MS, Width::ONE), (1, 10, 10 * MS, Width::ONE)], 4, 10_000 * MS);
    let (many, few) = (ran[&0] as f64, ran[&1] as f64);
    assert!((0.95..1.05).contains(&(many / few)), "{ran:?}");
}

#[test]
fn shares_are_of_time_and_of_seats_not_of_requests() {
    let ran = compete(&[(0, 20, 40 * MS, Width::ONE), (1, 20, 10 * MS, Width::ONE)], 4, 20_000 * MS);
    let ratio = ran[&1] as f64 / ran[&0] as f64;
    assert!((3.5..4.5).contains(&ratio), "{ran:?}");
    let ran = compete(&[(0, 20, 10 * MS, Width::seats(4)), (1, 20, 10 * MS, Width::ONE)], 8, 20_000 * MS);
    let ratio = ran[&1] as f64 / ran[&0] as f64;
    assert!((3.0..5.0).contains(&ratio), "{ran:?}");
}

#[test]
fn what_is_wider_than_the_level_runs_alone() {
    let mut set = QueueSet::new(queuing(8, 10), 2, 0);
    let Arrival::Runs(wide) = set.arrive(0, Width::seats(5), 0) else { panic!("it runs") };
    let narrow = waits(&mut set, 1, 0);
    assert!(set.dispatch().is_empty());
    assert_eq!(set.finish(wide, 1).iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [narrow.id]);
}

#[test]
fn a_write_occupies_seats_until_its_watchers_are_told() {
    let mut set = QueueSet::new(queuing(8, 10), 2, 0);
    let width = Width { seats: 1, final_seats: 2, lingers_ns: 5 * MS };
    let Arrival::Runs(write) = set.arrive(0, width, 0) else { panic!("it runs") };
    assert!(set.finish(write, MS).is_empty());
    assert_eq!((set.running(), set.seats()), (0, 2));
    assert_eq!(set.next_tick_ns(), None, "nobody waits");
    let next = waits(&mut set, 1, 2 * MS);
    assert_eq!(set.next_tick_ns(), Some(6 * MS));
    assert!(set.tick(5 * MS).is_empty());
    assert_eq!(set.tick(6 * MS).iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [next.id]);
}

#[test]
fn another_limit_and_other_queues_lose_nobody() {
    let mut set = QueueSet::new(queuing(8, 10), 1, 0);
    let first = runs(&mut set, 7, 0);
    let second = waits(&mut set, 7, 0);
    set.set_queuing(queuing(1, 10));
    let third = waits(&mut set, 7, 0);
    let begun = set.set_limit(3, 1);
    let mut ids: Vec<u64> = begun.iter().map(|ticket| ticket.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [second.id, third.id]);
    begun.into_iter().chain([first]).for_each(|ticket| assert!(set.finish(ticket, 2).is_empty()));
    set.set_queuing(queuing(1, 10));
    assert_eq!((set.queues.len(), set.active, set.seats()), (1, 0, 0));
}

#[test]
fn a_level_without_seats_holds_everybody() {
    let mut set = QueueSet::new(queuing(1, 1), 0, 0);
    waits(&mut set, 0, 0);
    assert!(set.dispatch().is_empty());
    assert_eq!(set.set_limit(1, 1).len(), 1);
}
