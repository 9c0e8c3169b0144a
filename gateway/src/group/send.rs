//! A message on its way to the members of a group.

use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use nats::inbox::{StoreError, Stored};
use schemas::{
    ChatId, ErrorCode, GroupId, Micros, UserId, client::Send, server::Sent, stored::StoredMessage,
};
use store::Audience;

use super::{
    Acting,
    fan_out::{Address, Parcel},
    not_member,
    passes::Purpose,
    table::Membership,
};
use crate::{
    app::App,
    roster::Entry,
    session::{Identity, Refusal},
};

/// Most inboxes in which a retry looks for the first copy: it is in none where
/// it was delivered.
const LOOKS: usize = 32;
/// So many at a time.
const LOOKS_AT_ONCE: usize = 8;

/// A member with what is known of them.
type Recipient = (UserId, Arc<Entry>);

impl App {
    /// Stores a message in the inbox of every device of every member; what the
    /// sender is told. Who has blocked whom makes no difference.
    ///
    /// # Errors
    /// The [`Refusal`] for the sender.
    pub(crate) async fn deliver_to_group(
        &self,
        me: Identity,
        send: &Send,
        group: GroupId,
        ts: Micros,
    ) -> Result<Sent, Refusal> {
        let deliver = |acting| self.deliver_acting(acting, me, send, group, ts);
        self.groups.act(group, Purpose::Use, deliver).await?
    }

    async fn deliver_acting(
        &self,
        acting: Acting,
        me: Identity,
        send: &Send,
        group: GroupId,
        ts: Micros,
    ) -> Result<Sent, Refusal> {
        let membership = acting.membership(self, group).await?;
        if !membership.has(me.user) {
            return Err(not_member());
        }
        let others = membership.members().len() - 1;
        self.limits.copies.take_many(me.user, u32::try_from(others).unwrap_or(u32::MAX))?;
        let recipients = self.recipients(&membership).await?;
        if let Some(media) = send.body.media() {
            self.pass_on(me.user, media, Some(Audience::Group(group))).await?;
        }
        let parcel = parcel(send, group, me.user, ts);
        let (own, others) = addresses(me, &recipients);
        acting.check()?;
        let (stored, _) = tokio::join!(
            parcel.store(&self.inboxes, &others),
            // Copies of one's own never fail a send.
            parcel.store(&self.inboxes, &own),
        );
        drop(acting);
        let tally = Tally::of(others.iter().zip(stored))?;
        let ts = self.earlier_ts(&tally.earlier).await.unwrap_or(ts);
        metrics::counter!("petrel_messages_sent_total").increment(1);
        Ok(Sent { id: send.id.clone(), chat: send.chat, ts, full: tally.full })
    }

    /// The `ts` of an earlier send with the same id, where a copy of it still
    /// lies in some inbox.
    async fn earlier_ts(&self, copies: &[(UserId, u64)]) -> Option<Micros> {
        let copies = &copies[..copies.len().min(LOOKS)];
        for some in copies.chunks(LOOKS_AT_ONCE) {
            let looks = some.iter().map(|(user, seq)| self.ts_at(*user, *seq));
            let found = join_all(looks).await.into_iter().flatten().next();
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// What is known of every member; users who are no more are left out.
    pub(super) async fn recipients(
        &self,
        membership: &Membership,
    ) -> Result<Vec<Recipient>, Refusal> {
        let known = membership.members().iter().map(async |user| {
            let entry = self.roster.get(*user).await?;
            Ok::<_, Refusal>(entry.map(|entry| (*user, entry)))
        });
        let known = try_join_all(known).await?;
        Ok(known.into_iter().flatten().collect())
    }
}

/// The `chat` is the group for everybody, and so one parcel serves them all.
fn parcel(send: &Send, group: GroupId, from: UserId, ts: Micros) -> Parcel {
    let message = StoredMessage {
        id: send.id.clone(),
        chat: ChatId::Group(group),
        from,
        ts,
        after: send.after,
        body: send.body.clone(),
    };
    Parcel { dedupe_id: format!("{from}.{}", send.id), stored: message.to_json().into() }
}

/// The inboxes of the sender's other devices, and those of everybody else, each
/// member's together.
fn addresses(me: Identity, recipients: &[Recipient]) -> (Vec<Address>, Vec<Address>) {
    let all = recipients.iter().flat_map(|(user, entry)| {
        entry.devices.iter().map(|(device, _)| Address { user: *user, device: *device })
    });
    let all = all.filter(|address| address.device != me.device);
    all.partition(|address| address.user == me.user)
}

/// What came of storing a message for everybody but its sender.
#[derive(Debug, PartialEq, Eq)]
struct Tally {
    /// Members all of whose inboxes are full.
    full: Vec<UserId>,
    /// Where earlier copies with the same id lie, or have lain.
    earlier: Vec<(UserId, u64)>,
}

impl Tally {
    /// Sums up; each member's inboxes come together.
    ///
    /// # Errors
    /// `unavailable` where it is not known of some inbox that it has the message.
    fn of<'a>(
        results: impl Iterator<Item = (&'a Address, Result<Stored, StoreError>)>,
    ) -> Result<Self, Refusal> {
        let mut tally = Self { full: Vec::new(), earlier: Vec::new() };
        let mut reached = None;
        for (Address { user, device }, result) in results {
            match result {
                Ok(Stored { seq, duplicate }) => {
                    reached = Some(*user);
                    if tally.full.last() == Some(user) {
                        tally.full.pop();
                    }
                    if duplicate {
                        tally.earlier.push((*user, seq));
                    }
                }
                Err(StoreError::Full) => {
                    if reached != Some(*user) && tally.full.last() != Some(user) {
                        tally.full.push(*user);
                    }
                }
                Err(error) => {
                    tracing::warn!(%user, %device, %error, "inbox unavailable");
                    let why = "a member's inbox does not answer";
                    return Err(Refusal::new(ErrorCode::Unavailable, why));
                }
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use nats::api::ApiError;
    use schemas::DeviceId;

    use super::*;

    const OK: Result<Stored, StoreError> = Ok(Stored { seq: 1, duplicate: false });
    const AGAIN: Result<Stored, StoreError> = Ok(Stored { seq: 7, duplicate: true });
    const FULL: Result<Stored, StoreError> = Err(StoreError::Full);

    fn user(number: u64) -> UserId {
        UserId::from_parts(number, 0)
    }

    /// Members with the results of their devices.
    fn tally(members: Vec<(u64, Vec<Result<Stored, StoreError>>)>) -> Result<Tally, Refusal> {
        let results = members.into_iter().flat_map(|(member, results)| {
            let address = Address { user: user(member), device: DeviceId::from_parts(1, 1) };
            results.into_iter().map(move |result| (address, result))
        });
        let (addresses, results): (Vec<_>, Vec<_>) = results.unzip();
        Tally::of(addresses.iter().zip(results))
    }

    #[test]
    fn full_is_who_has_no_inbox_with_room() {
        let members = vec![
            (1, vec![OK]),
            (2, vec![FULL]),
            (3, vec![FULL, OK]),
            (4, vec![OK, FULL]),
            (5, vec![FULL, FULL]),
            (6, vec![]),
            (7, vec![FULL, OK, FULL]),
        ];
        let expected = Tally { full: vec![user(2), user(5)], earlier: vec![] };
        assert_eq!(tally(members), Ok(expected));
    }

    #[test]
    fn a_retry_is_known_by_any_inbox_that_had_it() {
        let members = vec![(1, vec![FULL]), (2, vec![OK, AGAIN]), (3, vec![AGAIN])];
        let expected = Tally { full: vec![user(1)], earlier: vec![(user(2), 7), (user(3), 7)] };
        assert_eq!(tally(members), Ok(expected));
    }

    #[test]
    fn one_inbox_in_doubt_fails_the_send() {
        let doubt = Err(StoreError::Unavailable(ApiError::TimedOut));
        let refusal = tally(vec![(1, vec![OK]), (2, vec![OK, doubt]), (3, vec![FULL])]);
        assert_eq!(refusal.unwrap_err().code, ErrorCode::Unavailable);
    }

    #[test]
    fn an_empty_group_is_reached() {
        assert_eq!(tally(vec![]), Ok(Tally { full: vec![], earlier: vec![] }));
    }
}
