#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use schemas::{
    GroupId,
    event::{Mark, ReadMark},
};

use super::*;

fn user(n: u8) -> UserId {
    UserId::from_parts(1, u128::from(n) + 1)
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_parts(1, u128::from(n) + 1)
}

fn group() -> ChatId {
    ChatId::Group(GroupId::from_parts(1, 1))
}

const ALICE: u8 = 0;
const BOB: u8 = 1;

fn acked(reader: u8, chat: ChatId, from: u8, ts: i64, seqs: &[u64]) -> ReceiptsBatch {
    let marks = vec![Mark { chat, from: user(from), ts: Micros(ts) }];
    let acked = Acked { user: user(reader), device: device(reader), seqs: seqs.to_vec(), marks };
    ReceiptsBatch { acked: vec![acked], read: vec![] }
}

fn read(reader: u8, chat: ChatId, from: u8, read: i64, acked: i64, public: bool) -> ReceiptsBatch {
    let mark = ReadMark { read: Micros(read), acked: Micros(acked) };
    let marks = BTreeMap::from([(user(from), mark)]);
    let read = MarkedRead { user: user(reader), device: device(reader), chat, marks, public };
    ReceiptsBatch { acked: vec![], read: vec![read] }
}

fn watermark(delivered: i64, read: i64) -> Watermark {
    Watermark { delivered: Micros(delivered), read: Micros(read) }
}

/// The watermark that a few events make of another.
fn raised(stored: Watermark, events: &[ReceiptsBatch]) -> Watermark {
    let fold = fold(events);
    assert_eq!(fold.receipts.len(), 1);
    fold.receipts.into_values().next().unwrap().raise(stored)
}

#[test]
fn a_receipt_is_kept_from_the_senders_point_of_view() {
    let bobs = fold(&[acked(BOB, ChatId::User(user(ALICE)), ALICE, 5, &[1])]);
    let key = ReceiptKey { sender: user(ALICE), chat: ChatId::User(user(BOB)), reader: user(BOB) };
    assert_eq!(bobs.receipts.keys().collect::<Vec<_>>(), [&key]);

    let in_group = fold(&[acked(BOB, group(), ALICE, 5, &[1])]);
    let key = ReceiptKey { sender: user(ALICE), chat: group(), reader: user(BOB) };
    assert_eq!(in_group.receipts.keys().collect::<Vec<_>>(), [&key]);
}

#[test]
fn ones_own_copies_move_no_watermark_but_are_deleted() {
    for chat in [ChatId::User(user(ALICE)), group()] {
        let fold = fold(&[acked(BOB, chat, BOB, 5, &[1, 2])]);
        assert_eq!(fold.receipts.len(), 0);
        assert_eq!(fold.acked.into_values().collect::<Vec<_>>(), [[[1, 2]]]);
    }
}

#[test]
fn a_note_to_self_is_delivered_to_oneself() {
    let me = ChatId::User(user(BOB));
    let fold = fold(&[acked(BOB, me, BOB, 5, &[1])]);
    let key = ReceiptKey { sender: user(BOB), chat: me, reader: user(BOB) };
    assert_eq!(fold.receipts[&key].delivered, Micros(5));
}

#[test]
fn nobody_reads_what_a_third_person_wrote_to_a_chat_of_two() {
    let chat = ChatId::User(user(ALICE));
    assert_eq!(fold(&[read(BOB, chat, 2, 5, 5, true)]), Fold::default());
}

#[test]
fn read_is_cut_down_to_what_is_delivered() {
    let chat = ChatId::User(user(ALICE));
    let claims = |acked| [read(BOB, chat, ALICE, 9, acked, true)];
    assert_eq!(raised(watermark(0, 0), &claims(0)), watermark(0, 0));
    assert_eq!(raised(watermark(5, 2), &claims(0)), watermark(5, 5));
    assert_eq!(raised(watermark(5, 2), &claims(7)), watermark(7, 7), "the socket's proof counts");
    let with_ack = [&claims(0)[..], &[acked(BOB, chat, ALICE, 8, &[1])]].concat();
    assert_eq!(raised(watermark(5, 2), &with_ack), watermark(8, 8), "so does the batch's");
    assert_eq!(raised(watermark(20, 15), &claims(0)), watermark(20, 15), "and nothing goes back");
}

#[test]
fn a_private_read_is_only_for_ones_own_devices() {
    let chat = ChatId::User(user(ALICE));
    let fold = fold(&[read(BOB, chat, ALICE, 9, 7, false)]);
    let (key, claim) = fold.receipts.iter().next().unwrap();
    assert_eq!(claim.raise(watermark(0, 0)), watermark(7, 0));

    let (read_key, reads) = fold.reads.iter().next().unwrap();
    assert_eq!(read_key.watermark(user(ALICE)), *key);
    let marks = reads.raise(&ReadMarks::default(), |_| Micros(7));
    assert_eq!(marks.marks, BTreeMap::from([(user(ALICE), Micros(7))]));
    assert_eq!(marks.device, Some(device(BOB)));
}

#[test]
fn read_sync_names_a_device_only_while_it_alone_made_the_marks() {
    let claim = |n: u8, ts| ReadClaim {
        marks: BTreeMap::from([(user(ALICE), Micros(ts))]),
        device: Some(device(n)),
    };
    let unbounded = |_| Micros(i64::MAX);
    let first = claim(1, 5).raise(&ReadMarks::default(), unbounded);
    assert_eq!(first.device, Some(device(1)));
    assert_eq!(claim(1, 6).raise(&first, unbounded).device, Some(device(1)));
    assert_eq!(claim(2, 5).raise(&first, unbounded), first, "the second device raised nothing");
    let both = claim(2, 6).raise(&first, unbounded);
    assert_eq!(both.device, None);
    assert_eq!(claim(1, 7).raise(&both, unbounded).device, None);

    let mut folded = ReadClaim::default();
    folded.add(device(1), user(ALICE), Micros(5));
    assert_eq!(folded.device, Some(device(1)));
    folded.add(device(2), user(BOB), Micros(5));
    folded.add(device(2), user(BOB), Micros(6));
    assert_eq!(folded.device, None);
}

#[test]
fn marks_of_nothing_are_not_written() {
    let chat = ChatId::User(user(ALICE));
    let fold = fold(&[read(BOB, chat, ALICE, 9, 0, true)]);
    for claim in fold.receipts.values() {
        assert_eq!(claim.raise(Watermark::default()), Watermark::default());
    }
    for claim in fold.reads.values() {
        let nothing = ReadMarks::default();
        assert_eq!(claim.raise(&nothing, |_| Micros(0)), nothing);
    }
}

fn chats() -> impl Strategy<Value = ChatId> {
    prop_oneof![Just(group()), (0..3u8).prop_map(|n| ChatId::User(user(n)))]
}

fn events() -> impl Strategy<Value = Vec<ReceiptsBatch>> {
    let seqs = prop::collection::vec(0..40u64, 0..4);
    let event = prop_oneof![
        (0..3u8, chats(), 0..3u8, 0..9i64, seqs)
            .prop_map(|(reader, chat, from, ts, seqs)| acked(reader, chat, from, ts, &seqs)),
        (0..3u8, chats(), 0..3u8, 0..9i64, 0..9i64, any::<bool>()).prop_map(
            |(reader, chat, from, ts, acked, public)| read(reader, chat, from, ts, acked, public)
        ),
    ];
    prop::collection::vec(event, 0..20)
}

proptest! {
    #[test]
    fn order_repetition_and_packing_do_not_matter(
        (events, shuffled) in events().prop_flat_map(|events| {
            let doubled = [events.clone(), events.clone()].concat();
            (Just(events), Just(doubled).prop_shuffle())
        }),
    ) {
        let packed = ReceiptsBatch {
            acked: shuffled.iter().flat_map(|event| event.acked.clone()).collect(),
            read: shuffled.iter().flat_map(|event| event.read.clone()).collect(),
        };
        let folded = fold(&events);
        prop_assert_eq!(&folded, &fold(&shuffled));
        prop_assert_eq!(&folded, &fold(&[packed]));
        for runs in folded.acked.values() {
            prop_assert!(runs.is_sorted_by(|a, b| a < b));
            prop_assert!(runs.iter().all(|run| run.is_sorted() && !run.is_empty()));
        }
    }

    #[test]
    fn a_raised_watermark_never_goes_back_nor_read_beyond_delivered(
        stored in (0..9i64, 0..9i64),
        claim in (0..9i64, 0..9i64),
    ) {
        let stored = watermark(stored.0.max(stored.1), stored.0.min(stored.1));
        let claim = Claim { delivered: Micros(claim.0), read: Micros(claim.1) };
        let raised = claim.raise(stored);
        prop_assert!(raised.read <= raised.delivered);
        prop_assert_eq!(raised.join(stored), raised);
        prop_assert_eq!(claim.raise(raised), raised);
    }
}
