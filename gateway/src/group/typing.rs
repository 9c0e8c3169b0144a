//! Who types in a group, told to those who are there.

use schemas::{ChatId, GroupId, event::Notice};

use super::{Acting, passes::Purpose};
use crate::{
    app::App,
    session::{Identity, Refusal},
};

impl App {
    /// Tells the other members that somebody types, or stopped: not those who
    /// blocked them, nor those whom they blocked. It is not worth an error:
    /// where anything is unknown, nobody is told.
    pub(crate) async fn tell_group_typing(&self, me: Identity, group: GroupId, on: bool) {
        let tell = |acting| self.tell_typing_acting(acting, me, group, on);
        if let Ok(Err(refusal)) = self.groups.act(group, Purpose::Use, tell).await {
            tracing::debug!(user = %me.user, %group, code = %refusal.code, "typing not told");
        }
    }

    async fn tell_typing_acting(
        &self,
        acting: Acting,
        me: Identity,
        group: GroupId,
        on: bool,
    ) -> Result<(), Refusal> {
        let membership = acting.membership(self, group).await?;
        if !membership.has(me.user) {
            return Ok(());
        }
        let Some(mine) = self.roster.get(me.user).await? else { return Ok(()) };
        let notice = Notice::Typing { chat: ChatId::Group(group), from: me.user, on };
        for (member, theirs) in self.recipients(&membership).await? {
            let blocked = mine.has_blocked(member) || theirs.has_blocked(me.user);
            if member != me.user && !blocked {
                self.notify(member, &notice).await;
            }
        }
        Ok(())
    }
}
