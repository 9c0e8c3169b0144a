//! Logins, slowed down for those who guess (ADR 10).

use schemas::DeviceId;
use store::Username;

use super::{Clock, attempts::Attempts, capped::Capped, refuse, terms::Delay};
use crate::{address::Address, session::Refusal};

/// Passwords that are tried, by whom and for whom.
#[derive(Debug)]
pub(crate) struct Logins {
    doors: Capped<Door, Attempts>,
    door_delay: Delay,
    addresses: Capped<Address, Attempts>,
    address_delay: Delay,
    clock: Clock,
}

/// Where a password is tried. Each door has its own delay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// At somebody's name, by whoever knows it. That nobody has the name makes
    /// no difference.
    Name(Box<str>),
    /// At a name that nobody can have.
    Nobodys,
    /// On a device that is linked to that user, whose id nobody else knows. A
    /// stranger who keeps the name's door busy is not in the way here.
    Device(DeviceId),
}

/// A password that is being tried. Dropped, it was a wrong one.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt<'a> {
    logins: &'a Logins,
    address: Address,
    door: Door,
}

impl Door {
    /// The door of this name.
    pub(crate) fn of(username: &Username) -> Self {
        Self::Name(username.folded().into())
    }
}

impl Logins {
    pub(super) fn new(door_delay: Delay, address_delay: Delay, clock: Clock) -> Self {
        let (doors, addresses) = (Capped::default(), Capped::default());
        Self { doors, door_delay, addresses, address_delay, clock }
    }

    /// Lets a password be tried, unless there has to be a wait first; so long
    /// nobody looks whether it is the right one.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub(crate) fn attempt(&self, address: Address, door: Door) -> Result<Attempt<'_>, Refusal> {
        let now = self.clock.now();
        if self.address_delay != Delay::Off {
            let begin = |attempts: &mut Attempts| attempts.begin(self.address_delay, now);
            let begun = self.addresses.update(address, now, begin);
            begun.map_err(|wait| refuse("wrong passwords from this address", wait))?;
        }
        let attempt = Attempt { logins: self, address, door };
        if self.door_delay != Delay::Off {
            let begin = |attempts: &mut Attempts| attempts.begin(self.door_delay, now);
            if let Err(wait) = self.doors.update(attempt.door.clone(), now, begin) {
                attempt.address_take_back();
                return Err(refuse("wrong passwords", wait));
            }
        }
        Ok(attempt)
    }

    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        self.doors.sweep(now);
        self.addresses.sweep(now);
    }
}

impl Attempt<'_> {
    /// It was the right one: nobody has to wait at this door any more. The
    /// address is where it was before: somebody else's guesses may come from it.
    pub(crate) fn succeeded(self) {
        self.logins.doors.remove(&self.door);
        self.address_take_back();
    }

    /// It could not be looked at.
    pub(crate) fn take_back(self) {
        let Logins { doors, door_delay, clock, .. } = self.logins;
        if *door_delay != Delay::Off {
            let take_back = |attempts: &mut Attempts| attempts.take_back(*door_delay);
            doors.update(self.door.clone(), clock.now(), take_back);
        }
        self.address_take_back();
    }

    fn address_take_back(&self) {
        let Logins { addresses, address_delay, clock, .. } = self.logins;
        if *address_delay != Delay::Off {
            let take_back = |attempts: &mut Attempts| attempts.take_back(*address_delay);
            addresses.update(self.address, clock.now(), take_back);
        }
    }
}
