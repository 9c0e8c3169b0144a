#![allow(clippy::unwrap_used)]
use tokio::sync::oneshot::error::TryRecvError;

use super::*;

fn user(number: u64) -> UserId {
    UserId::from_parts(number, 0)
}

fn group() -> GroupId {
    GroupId::from_parts(1, 1)
}

fn membership(version: Version, members: &[u64]) -> Membership {
    Membership::new(version, members.iter().copied().map(user).collect())
}

fn enter(table: &Table) -> Pass {
    table.enter(group(), Purpose::Use)
}

fn change(table: &Table, version: Version, members: &[u64]) -> Option<oneshot::Receiver<()>> {
    table.changed(group(), membership(version, members))
}

#[tokio::test]
async fn what_was_read_is_remembered_until_it_changes() {
    let table = Table::default();
    let first = enter(&table);
    assert_eq!(first.remembered(Age::New), None);
    first.read(membership(1, &[2, 1])).unwrap();
    drop(first);
    let second = enter(&table).remembered(Age::New).unwrap();
    assert!(second.has(user(1)) && second.has(user(2)) && !second.has(user(3)));

    assert!(change(&table, 2, &[1, 3]).is_none(), "nothing is under way");
    let third = enter(&table).remembered(Age::New).unwrap();
    assert!(third.has(user(3)) && !third.has(user(2)));
}

#[tokio::test]
async fn a_change_waits_for_what_was_begun_before_it() {
    let table = Table::default();
    let send = enter(&table);
    send.read(membership(1, &[1, 2])).unwrap();
    let mut over = change(&table, 2, &[1]).unwrap();
    let later = enter(&table);
    assert!(!later.remembered(Age::New).unwrap().has(user(2)));
    assert_eq!(over.try_recv(), Err(TryRecvError::Empty));
    drop(send);
    assert_eq!(over.try_recv(), Ok(()), "though a later one is under way");
}

#[tokio::test]
async fn what_was_being_read_across_a_change_is_acted_on_and_not_remembered() {
    let table = Table::default();
    let send = enter(&table);
    let mut over = change(&table, 2, &[1]).unwrap();
    assert_eq!(send.read(membership(1, &[1, 2])), Err(Outdated));
    assert_eq!(over.try_recv(), Err(TryRecvError::Empty));
    drop(send);
    assert_eq!(over.try_recv(), Ok(()));
    assert!(!enter(&table).remembered(Age::New).unwrap().has(user(2)));
}

#[tokio::test]
async fn an_older_change_that_is_heard_later_changes_nothing() {
    let table = Table::default();
    drop(enter(&table).read(membership(1, &[1])));
    change(&table, 3, &[1, 3]);
    change(&table, 2, &[1, 2]);
    let send = enter(&table);
    assert!(send.remembered(Age::New).unwrap().has(user(3)));
    assert_eq!(send.read(membership(2, &[1, 2])), Err(Outdated));
}

#[tokio::test]
async fn changes_are_told_in_the_order_they_were_made() {
    let table = Table::default();
    let (first, second) =
        (table.enter(group(), Purpose::Change), table.enter(group(), Purpose::Change));
    second.is_about(3);
    let mut turn = table.turn(group(), 3).unwrap();
    first.is_about(2);
    assert!(table.turn(group(), 2).is_none());
    let mut second_may = change(&table, 3, &[1]).unwrap();
    assert!(change(&table, 2, &[1, 2]).is_none(), "the first waits for nobody");
    assert_eq!(second_may.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(turn.try_recv(), Err(TryRecvError::Empty));
    drop(first);
    assert_eq!((turn.try_recv(), second_may.try_recv()), (Ok(()), Ok(())));
}

#[tokio::test]
async fn what_was_read_across_a_lapse_is_not_remembered() {
    let table = Table::default();
    drop(enter(&table).read(membership(1, &[1])));
    let across = enter(&table);
    table.forget_all();
    assert_eq!(across.remembered(Age::New), None);
    across.read(membership(1, &[1])).unwrap();
    assert_eq!(enter(&table).remembered(Age::New), None);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_read_again_after_a_while() {
    let table = Table::default();
    drop(enter(&table).read(membership(1, &[1])));
    tokio::time::advance(LIFE - Duration::from_secs(1)).await;
    assert!(enter(&table).remembered(Age::New).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(enter(&table).remembered(Age::New), None);
}

#[tokio::test]
async fn the_number_of_groups_is_bounded_and_those_in_use_stay() {
    let table = Table::default();
    let kept = enter(&table);
    for number in 0..(3 * GROUPS as u64) {
        let other = table.enter(GroupId::from_parts(number, 7), Purpose::Use);
        other.read(membership(1, &[1])).unwrap();
        drop(other);
        assert!(table.lock().groups.len() <= GROUPS + 1);
    }
    assert!(change(&table, 1, &[1]).is_some());
    drop(kept);
    assert!(table.is_idle());
}

#[tokio::test]
async fn a_group_that_is_not_there_leaves_nothing_behind() {
    let table = Table::default();
    drop(enter(&table));
    assert!(table.lock().groups.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_there_for_those_who_get_nothing_newer() {
    let table = Table::default();
    assert!(!enter(&table).has_remembered());
    drop(enter(&table).read(membership(1, &[1, 2])));
    tokio::time::sleep(LIFE).await;
    let send = enter(&table);
    assert_eq!(send.remembered(Age::New), None);
    assert!(send.has_remembered());
    // A change is heard of whatever the directory does.
    let mut over = change(&table, 2, &[1]).unwrap();
    let membership = send.remembered(Age::Any).unwrap();
    assert!(!membership.has(user(2)));
    assert_eq!(over.try_recv(), Ok(()), "it acts on the change");
    table.forget_all();
    assert_eq!(enter(&table).remembered(Age::Any), None);
}
