//! Long polling: what a socket does, one call at a time.
//!
//! Between two calls nothing is kept: each may get to another gateway, and what
//! a device has not acknowledged is in its inbox. A poll listens, reads and
//! merges as a session does; an acknowledgement reads in the inbox what it is
//! about.

mod ack;
mod mark;
mod send;
mod turns;
mod wait;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rand::RngExt as _;
use schemas::{ErrorCode, Micros, event::Notice};
use tokio::time::{Instant, sleep_until};

pub(crate) use self::turns::Turns;
use self::wait::{Answer, Wait};
use crate::{
    app::App,
    listening::{ListenError, Listening, until},
    mailbox::Mail,
    session::{
        Done, Identity, Refusal,
        feed::{FIRST_SETTLE, SETTLE},
        seat::Seat,
    },
};

/// How long a poll may go on when it is time for its answer.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// What a poll brings.
#[derive(Debug)]
pub(crate) struct Polled {
    /// `{items}` as JSON text.
    pub json: Bytes,
    /// The gateway is going away: the next call is for another one.
    pub leaving: bool,
}

/// One poll that goes on.
struct Poll<'a> {
    app: &'a Arc<App>,
    token: &'a str,
    listening: Listening,
    me: Identity,
    wait: Wait,
    seat: Seat,
    /// The device's other polls were told of this one.
    is_announced: bool,
    /// When the time is up, and then when it is really.
    ends: Instant,
    expires: Instant,
    settle: Instant,
}

impl App {
    /// Answers up to `limit` messages of the device that this token names as
    /// soon as there are some, or none after `wait`.
    ///
    /// # Errors
    /// `unauthorized` also where the token ends meanwhile, `unavailable` where
    /// the inbox could not be read.
    pub(crate) async fn poll(
        self: &Arc<Self>,
        token: &str,
        wait: Duration,
        limit: usize,
    ) -> Result<Polled, Refusal> {
        let began = Instant::now();
        let listening = self.listen(token).await?;
        let me = listening.access.identity;
        metrics::counter!("petrel_polls_total").increment(1);
        let id = format!("p_{}", ulid::Ulid::generate()).to_lowercase();
        let poll = Poll {
            app: self,
            token,
            me,
            wait: Wait::new(limit),
            seat: Seat::new(id, Micros::now()),
            is_announced: false,
            ends: began + wait,
            expires: until(listening.access.expires),
            settle: began + FIRST_SETTLE,
            listening,
        };
        poll.run().await
    }
}

impl Poll<'_> {
    async fn run(mut self) -> Result<Polled, Refusal> {
        let mut leaving = false;
        let mailbox = Arc::clone(&self.listening.mailbox);
        loop {
            let mut work = Vec::new();
            let answer = self.wait.next(&mut work);
            for errand in work {
                errand.start(self.app, self.me, &mailbox);
            }
            match answer {
                Some(Answer::Items(json)) => {
                    return Ok(Polled { json, leaving: self.app.draining.is_cancelled() });
                }
                Some(Answer::Unavailable) => {
                    let why = "the inbox does not answer";
                    return Err(Refusal::new(ErrorCode::Unavailable, why));
                }
                None => self.announce().await,
            }
            tokio::select! {
                () = mailbox.arrived() => self.take(mailbox.take()).await?,
                () = sleep_until(self.next_deadline()) => self.tick()?,
                () = self.app.draining.cancelled(), if !leaving => {
                    leaving = true;
                    self.leave();
                }
            }
        }
    }

    async fn take(&mut self, mail: Mail) -> Result<(), Refusal> {
        for notice in mail.notices {
            self.notice(notice).await?;
        }
        for done in mail.done {
            if let Done::Inbox(page) = done {
                self.wait.page(page);
            }
        }
        // What has changed of receipts is told on sockets only.
        if !mail.live.is_empty() || mail.live_lost {
            self.wait.live(mail.live, mail.live_lost);
        }
        Ok(())
    }

    async fn notice(&mut self, notice: Notice) -> Result<(), Refusal> {
        match notice {
            Notice::Revoked { device, .. } if device == self.me.device => {
                // It may speak of tokens that were before this one.
                self.app.authenticate(self.token).await.map_err(ListenError::from)?;
            }
            Notice::Polled { device, poll, at }
                if device == self.me.device && self.seat.gives_way_to(&poll, at, Micros::now()) =>
            {
                self.leave();
            }
            _ => {}
        }
        Ok(())
    }

    /// Only one poll of a device waits: an older one hears of it and leaves.
    async fn announce(&mut self) {
        if self.is_announced || !self.wait.is_waiting() {
            return;
        }
        self.is_announced = true;
        let (poll, at) = self.seat.announced();
        let polled = Notice::Polled { device: self.me.device, poll: poll.to_owned(), at };
        self.app.notify(self.me.user, &polled).await;
    }

    fn tick(&mut self) -> Result<(), Refusal> {
        let now = Instant::now();
        if now >= self.expires {
            return Err(Refusal::new(ErrorCode::Unauthorized, "the token has expired"));
        }
        if now >= self.ends {
            if self.wait.is_patient() {
                self.wait.time_is_up();
                self.ends = now + LAST_LOOK;
            } else {
                self.wait.give_up();
            }
        }
        if now >= self.settle {
            self.wait.settle();
            self.settle = now + SETTLE.mul_f64(rand::rng().random_range(0.8..1.2));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.wait.leave();
        self.ends = Instant::now() + LAST_LOOK;
    }

    fn next_deadline(&self) -> Instant {
        self.ends.min(self.expires).min(self.settle)
    }
}
