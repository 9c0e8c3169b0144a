//! Changing a group: in the directory, at every gateway, and told to its members.

use std::{sync::Arc, time::Duration};

use schemas::{ErrorCode, GroupId, UserId, body::Event};
use store::{Group, GroupChange, GroupError, GroupOutcome, GroupRefusal};
use tokio::time::timeout;

use super::{Acting, not_member, passes::Purpose, tell::Letter};
use crate::{app::App, session::Refusal};

/// How long a caller waits. A gateway that died is waited for as long as its
/// lease lasts, and a send that was begun before as long as it takes.
const ANSWER: Duration = Duration::from_secs(25);
/// How long a change that is made is seen through. Beyond it members hear
/// nothing of it, and find out when they read the group.
const SEEN_THROUGH: Duration = Duration::from_secs(2 * 60);

impl App {
    /// Makes a group and tells its members; answers when all that is done.
    ///
    /// # Errors
    /// The [`Refusal`] for the caller; with `unavailable` it may exist.
    pub(crate) async fn create_group(
        self: &Arc<Self>,
        creator: UserId,
        name: String,
        members: Vec<UserId>,
    ) -> Result<Group, Refusal> {
        let app = Arc::clone(self);
        self.see_through(async move {
            let group = app.directory.create_group(creator, name, &members).await?;
            let tell = |acting| app.tell_of_creation(acting, creator, &group);
            app.groups.act(group.id, Purpose::Change, tell).await?;
            Ok(group)
        })
        .await
    }

    /// Makes a change if the group lets `actor`; answers when every gateway
    /// acts on it and everybody is told.
    ///
    /// # Errors
    /// The [`Refusal`] for the caller; with `unavailable` the change may stand.
    pub(crate) async fn change_group(
        self: &Arc<Self>,
        actor: UserId,
        group: GroupId,
        change: GroupChange,
    ) -> Result<Group, Refusal> {
        let app = Arc::clone(self);
        self.see_through(async move {
            let change = |acting| app.change(acting, actor, group, &change);
            app.groups.act(group, Purpose::Change, change).await?
        })
        .await
    }

    /// Goes on although the caller hangs up or has waited long enough: what is
    /// changed has to take effect and be told.
    async fn see_through(
        &self,
        work: impl Future<Output = Result<Group, Refusal>> + Send + 'static,
    ) -> Result<Group, Refusal> {
        let work = self.tasks.spawn(async move {
            let done = timeout(SEEN_THROUGH, work).await;
            done.unwrap_or_else(|_| {
                tracing::error!("a change of a group was not seen through in time");
                Err(Refusal::new(ErrorCode::Unavailable, "not done in time"))
            })
        });
        match timeout(ANSWER, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Refusal::new(ErrorCode::Unavailable, "not done")),
            Err(_) => {
                let why = "not in effect everywhere yet: the change may stand";
                Err(Refusal::new(ErrorCode::Unavailable, why))
            }
        }
    }

    async fn tell_of_creation(&self, acting: Acting, creator: UserId, group: &Group) {
        acting.pass.is_about(group.version);
        let members: Vec<UserId> = group.members.iter().map(|member| member.user).collect();
        let event = Event::GroupCreated { name: group.name.clone(), members: members.clone() };
        self.tell(&Letter::new(group.id, creator, event), members).await;
    }

    async fn change(
        &self,
        acting: Acting,
        actor: UserId,
        group: GroupId,
        change: &GroupChange,
    ) -> Result<Group, Refusal> {
        acting.check()?;
        let outcome = self.directory.change_group(group, actor, change).await?;
        // Later changes, through whatever gateway, are told after this one.
        acting.pass.is_about(outcome.group.version);
        self.carry_out(actor, &outcome).await;
        Ok(outcome.group)
    }

    /// Makes a change take effect and tells of it. It takes effect even where
    /// nothing changed: an earlier try may have been cut off when the directory
    /// had stored it.
    async fn carry_out(&self, actor: UserId, outcome: &GroupOutcome) {
        let GroupOutcome { group, events, .. } = outcome;
        let letters = || -> Vec<Letter> {
            events.iter().map(|event| Letter::new(group.id, actor, event.clone())).collect()
        };
        let joined: Vec<UserId> = events.iter().filter_map(joined).collect();
        let mut written = None;
        if !joined.is_empty() {
            // They are told before anything is sent to them, and after they
            // were told what happened earlier.
            self.groups.turn(group.id, group.version).await;
            let letters = written.insert(letters());
            for letter in letters {
                self.tell(letter, joined.clone()).await;
            }
        }
        let members = group.members.iter().map(|member| member.user).collect();
        self.groups.take_effect(group.id, group.version, members).await;
        let letters = written.unwrap_or_else(letters);
        for (letter, event) in letters.iter().zip(events) {
            let audience = outcome.audience(event).filter(|user| !joined.contains(user));
            self.tell(letter, audience.collect()).await;
        }
    }
}

fn joined(event: &Event) -> Option<UserId> {
    match event {
        Event::MemberAdded { user } => Some(*user),
        _ => None,
    }
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Self {
        let refusal = match error {
            GroupError::Refused(refusal) => refusal,
            GroupError::Directory(error) => return error.into(),
        };
        let code = match refusal {
            GroupRefusal::NotMember => return not_member(),
            GroupRefusal::Forbidden => ErrorCode::Forbidden,
            GroupRefusal::Full => ErrorCode::GroupFull,
            GroupRefusal::NoSuchMember => ErrorCode::NotFound,
            GroupRefusal::LastAdmin => ErrorCode::Conflict,
        };
        Self::new(code, refusal.to_string())
    }
}
