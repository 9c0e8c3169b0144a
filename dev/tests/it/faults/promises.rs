//! Looks at what everybody saw, once all has settled (PROTOCOL, What is promised).

use std::collections::{HashMap, HashSet};

use schemas::{Body, ChatId, MessageId, UserId, server::Item};

use super::guest::{Guest, Notes};

/// Where a message was said: by which device, and as its how many-th.
type Origins<'a> = HashMap<(UserId, &'a MessageId), (usize, usize)>;

/// Panics with every promise that was broken.
pub(super) fn check(guests: &[Guest]) {
    let notes: Vec<_> = guests.iter().map(Guest::notes).collect();
    let notes: Vec<&Notes> = notes.iter().map(|notes| &**notes).collect();
    let mut origins = Origins::new();
    for (device, guest) in guests.iter().enumerate() {
        for (nth, said) in notes[device].said.iter().enumerate() {
            origins.insert((guest.user, &said.id), (device, nth));
        }
    }
    let mut broken: Vec<String> = Vec::new();
    for (reader, guest) in guests.iter().enumerate() {
        let mut screen = Screen { reader: guest, notes: &notes, last: HashMap::new() };
        broken.extend(notes[reader].broken.iter().cloned());
        let mut seen = HashSet::new();
        for item in &notes[reader].shown {
            if !seen.insert((item.from, &item.id)) {
                broken.push(format!("{} was shown {item:?} twice", guest.name));
            }
            if let Err(why) = screen.check(item, &origins) {
                broken.push(format!("{} was shown {item:?}: {why}", guest.name));
            }
        }
        for ((from, id), (device, nth)) in &origins {
            let said = &notes[*device].said[*nth];
            if said.to == guest.user && !seen.contains(&(*from, id)) {
                broken.push(format!("{} never saw {said:?}", guest.name));
            }
        }
    }
    assert!(broken.is_empty(), "{} broken promises:\n{}", broken.len(), broken.join("\n"));
}

/// One device's screen.
struct Screen<'a> {
    reader: &'a Guest,
    notes: &'a [&'a Notes],
    /// What was shown last of what each device said to each chat.
    last: HashMap<(usize, ChatId), (usize, &'a Item)>,
}

impl<'a> Screen<'a> {
    fn check(&mut self, item: &'a Item, origins: &Origins<'_>) -> Result<(), String> {
        let Some((device, nth)) = origins.get(&(item.from, &item.id)).copied() else {
            return Err("nobody said that".into());
        };
        let said = &self.notes[device].said[nth];
        let is_copy = item.from == self.reader.user;
        let chat = if is_copy { said.to } else { item.from };
        if item.chat != ChatId::User(chat) || (!is_copy && said.to != self.reader.user) {
            return Err(format!("it was said to {}", said.to));
        }
        if item.body.typed().ok() != Some(Body::Text { text: said.text.clone() }) {
            return Err(format!("what was said is {:?}", said.text));
        }
        // The same place everywhere is what makes everybody's order one.
        let sent = self.notes[device].sent.get(&said.id);
        if sent != Some(&item.ts) {
            return Err(format!("its sender was told the place {sent:?}"));
        }
        if item.after.is_some_and(|after| after >= item.ts) {
            return Err("it sorts before what its sender had seen".into());
        }
        match self.last.insert((device, item.chat), (nth, item)) {
            Some((earlier, _)) if earlier > nth => Err("something said later came before".into()),
            Some((_, before)) if before.ts >= item.ts => {
                Err(format!("it sorts before {before:?}, which was said earlier"))
            }
            _ => Ok(()),
        }
    }
}
