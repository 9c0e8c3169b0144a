//! The moments in which something falls between two sessions, if anything does.

use dev::client::{Account, Api};
use futures_util::future::join_all;
use nats::Inboxes;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use schemas::{
    CloseCode,
    limits::{MESSAGES_BYTES, WINDOW},
    server::{Frame, Item},
};
use tokio_util::sync::CancellationToken;

use super::{
    PATIENCE, eventually,
    guest::Guest,
    line::{Line, text_of},
};
use crate::support::{self, undisturbed};

/// Pairs of people that meet at the same time.
const PAIRS: usize = 6;
/// How often each pair hangs up together.
const ROUNDS: usize = 8;
/// How often each reader connects while messages are stored.
const SESSIONS: usize = 100;

async fn gateways() -> Vec<Api> {
    let stack = support::shared_stack().await;
    stack.gateways().iter().map(|gateway| Api::new(&gateway.url()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_hang_up_right_after_sent() {
    undisturbed(async || {
        let gateways = gateways().await;
        join_all((0..PAIRS).map(|_| hang_up_together(&gateways))).await;
    })
    .await;
}

async fn hang_up_together(gateways: &[Api]) {
    let (_, alice) = Guest::register(&gateways[0]).await;
    let (_, bob) = Guest::register(&gateways[0]).await;
    let mut said = Vec::new();
    let mut newest = None;
    for round in 0..ROUNDS {
        let mut speaker = Line::hello(&gateways[0], &alice).await;
        let listener = Line::hello(&gateways[1], &bob).await;
        said.push(round.to_string());
        newest = Some(speaker.says(bob.user(), &said[round]).await);
        speaker.vanishes();
        listener.vanishes();

        // Whether or not it was on its way already, he has not said that he has it.
        let mut listener = Line::hello(&gateways[round % 2], &bob).await;
        let items = listener.catches_up().await;
        assert_eq!(items.iter().map(text_of).collect::<Vec<_>>(), said);
        if round + 1 == ROUNDS {
            listener.acks(items.last().unwrap().seq).await;
        }
        listener.vanishes();
    }
    let mut speaker = Line::hello(&gateways[0], &alice).await;
    speaker.is_told_delivered(bob.user(), newest.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_comes_in_the_moment_in_which_a_message_is_stored() {
    undisturbed(async || {
        let gateways = gateways().await;
        join_all((0..PAIRS).map(|pair| come_and_go(&gateways, pair as u64))).await;
    })
    .await;
}

/// Somebody talks on and on to somebody who comes and goes.
async fn come_and_go(gateways: &[Api], seed: u64) {
    let (name, alice) = Guest::register(&gateways[0]).await;
    let (_, bob) = Guest::register(&gateways[0]).await;
    let alice = Guest::arrive(name, alice, gateways.to_vec());
    let mut reader = Reader::new(gateways, &bob, &alice, seed);
    let peers = [bob.user()];
    let enough = CancellationToken::new();
    let reading = async {
        for _ in 0..SESSIONS {
            reader.has_a_session().await;
        }
        enough.cancel();
    };
    tokio::join!(alice.talk(&peers, &enough), reading);
    alice.until("all ticks of Sent", |notes| notes.unconfirmed() == 0).await;
    reader.takes_the_rest().await;

    let newest = *alice.notes().sent.values().max().unwrap();
    let delivered = |receipt: &schemas::server::Receipt| receipt.delivered >= newest;
    alice
        .until("the last tick", |notes| notes.receipts.get(&bob.user()).is_some_and(delivered))
        .await;
    let inboxes = Inboxes::new(support::shared_stack().await.bus().await.unwrap());
    let is_empty = async || {
        let page = inboxes.read(bob.user(), bob.device(), 0, 1, MESSAGES_BYTES).await;
        page.is_ok_and(|page| page.messages.is_empty())
    };
    eventually("what was delivered is deleted", is_empty).await;
}

/// Somebody whose sessions are short. Messages are counted from 1 on, in the
/// order in which they were said.
struct Reader<'a> {
    gateways: &'a [Api],
    account: &'a Account,
    speaker: &'a Guest,
    chance: SmallRng,
    /// All up to this one are on the screen.
    shown: usize,
    /// All up to this one may have been deleted.
    acked: usize,
    /// A line that is still open when the next one is.
    forgotten: Option<Line>,
}

/// What came in one session.
#[derive(Default)]
struct Session {
    /// The last message's number, and its position.
    last: Option<(usize, u64)>,
    caught_up: bool,
    /// How many messages came after that.
    live: usize,
}

impl<'a> Reader<'a> {
    fn new(gateways: &'a [Api], account: &'a Account, speaker: &'a Guest, seed: u64) -> Self {
        let chance = SmallRng::seed_from_u64(seed);
        Self { gateways, account, speaker, chance, shown: 0, acked: 0, forgotten: None }
    }

    /// Connects, takes what is there and a few more, acknowledges some of it or
    /// nothing, and is gone in one way or another.
    async fn has_a_session(&mut self) {
        // What is confirmed by now is stored before the hello.
        let stored = self.speaker.notes().sent.len();
        let mut line = self.connects().await;
        let live = self.chance.random_range(0..4);
        let session = self.takes(&mut line, live, stored).await;
        if let Some((last, seq)) = session.last {
            let unacked = last - self.acked.min(last);
            if unacked > WINDOW / 2 || self.chance.random_bool(0.5) {
                line.acks(seq).await;
                self.acked = last;
            }
        }
        match self.chance.random_range(0..3) {
            0 => line.vanishes(),
            1 => line.socket.close().await.unwrap(),
            _ => self.forgotten = Some(line),
        }
    }

    /// Takes and acknowledges all there is.
    async fn takes_the_rest(&mut self) {
        let all = self.speaker.notes().said.len();
        let mut line = self.connects().await;
        let session = self.takes(&mut line, 0, all).await;
        assert_eq!(self.shown, all);
        if let Some((_, seq)) = session.last {
            line.acks(seq).await;
        }
        line.socket.close().await.unwrap();
    }

    async fn connects(&mut self) -> Line {
        let gateway = &self.gateways[self.chance.random_range(0..self.gateways.len())];
        let line = Line::hello(gateway, self.account).await;
        if let Some(mut forgotten) = self.forgotten.take() {
            assert_eq!(forgotten.closed(PATIENCE).await, Some(CloseCode::Replaced.code()));
        }
        line
    }

    /// Takes messages up to `caught_up`, by when those `stored` before have come,
    /// and so many live ones after it.
    async fn takes(&mut self, line: &mut Line, live: usize, stored: usize) -> Session {
        let mut session = Session::default();
        while !session.caught_up || session.live < live {
            match line.socket.frame(PATIENCE).await.unwrap() {
                Frame::Messages { items } => {
                    session.live += if session.caught_up { items.len() } else { 0 };
                    items.iter().for_each(|item| self.takes_one(item, &mut session));
                }
                Frame::CaughtUp {} => {
                    session.caught_up = true;
                    let come = session.last.map_or(self.acked, |(last, _)| last);
                    assert!(come >= stored, "{come} of {stored} came before caught_up");
                }
                other => panic!("{other:?}"),
            }
        }
        session
    }

    fn takes_one(&mut self, item: &Item, session: &mut Session) {
        let notes = self.speaker.notes();
        let number = 1 + notes.said.iter().position(|said| said.id == item.id).unwrap();
        let (last, seq) = session.last.unwrap_or_default();
        assert!(number > last && item.seq > seq, "{number} at {} after {last} at {seq}", item.seq);
        // What he has acknowledged may go at any time, and only that.
        let next = last.max(self.acked) + 1;
        assert!(number <= next, "{number} comes instead of {next}");
        session.last = Some((number, item.seq));
        // What was shown before is not shown again, and nothing is left out.
        assert!(number <= self.shown + 1);
        self.shown = self.shown.max(number);
    }
}
