//! The table: what is limited, how much, and how an operator changes it.

use clap::{Args, ValueEnum};
use schemas::UserId;

use super::{
    Clock,
    limit::Limit,
    login::Logins,
    terms::{Delay, Rate},
};
use crate::address::Address;

/// Each row is a flag with its variable, and the limit that it sets.
macro_rules! limits {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident per $key:ty: $default:literal, $flag:literal, $env:literal, $words:literal;
    )+) => {
        /// How often things may be done. Each gateway counts on its own.
        #[derive(Debug, Clone, Args)]
        #[command(next_help_heading = "Limits (a burst and a rate, or off)")]
        pub struct LimitOptions {
            /// Whether limits apply at all; off is for load tests.
            #[arg(long = "limits", env = "PETREL_LIMITS", value_enum, default_value = "on")]
            pub switch: Switch,
            $(
                $(#[doc = $doc])+
                #[arg(long = $flag, env = $env, value_name = "RATE", default_value = $default)]
                pub $name: Rate,
            )+
            /// Wrong passwords for one username before a delay, the first delay
            /// and the longest.
            #[arg(long, env = "PETREL_USER_LOGIN_DELAY", value_name = "DELAY",
                  default_value = "5,1s..1min")]
            pub user_login_delay: Delay,
            /// The same for wrong passwords from one address.
            #[arg(long, env = "PETREL_ADDRESS_LOGIN_DELAY", value_name = "DELAY",
                  default_value = "20,1s..15min")]
            pub address_login_delay: Delay,
        }

        /// The limits of one gateway. What takes from one is refused with
        /// `rate_limited` and the time to wait.
        #[derive(Debug)]
        pub(crate) struct Limits {
            $(
                $(#[doc = $doc])+
                pub(crate) $name: Limit<$key>,
            )+
            /// Passwords that are tried.
            pub(crate) logins: Logins,
        }

        impl Limits {
            /// The limits as configured.
            pub(crate) fn new(options: &LimitOptions) -> Self {
                let (on, clock) = (options.switch == Switch::On, Clock::start());
                let delay = |delay| if on { delay } else { Delay::Off };
                Self {
                    $($name: {
                        let rate = if on { options.$name } else { Rate::Off };
                        Limit::new($words, rate, clock)
                    },)+
                    logins: Logins::new(
                        delay(options.user_login_delay),
                        delay(options.address_login_delay),
                        clock,
                    ),
                }
            }

            /// Forgets whoever was quiet for long enough.
            pub(crate) fn sweep(&self) {
                $(self.$name.sweep();)+
                self.logins.sweep();
            }
        }
    };
}

limits! {
    /// Messages of a user.
    sends per UserId: "60,20/s",
        "user-limit-sends", "PETREL_USER_LIMIT_SENDS", "messages";
    /// Copies of a user's group messages, one for each other member.
    copies per UserId: "3000,500/s",
        "user-limit-copies", "PETREL_USER_LIMIT_COPIES", "copies of group messages";
    /// Sockets that a user opens.
    connects per UserId: "60,60/min",
        "user-limit-connects", "PETREL_USER_LIMIT_CONNECTS", "connects";
    /// Frames that a user sends, of whatever type; beyond it the socket closes.
    frames per UserId: "5000,1000/s",
        "user-limit-frames", "PETREL_USER_LIMIT_FRAMES", "frames";
    /// Renewals of a user's tokens, on HTTP or on a socket.
    renewals per UserId: "30,20/min",
        "user-limit-renewals", "PETREL_USER_LIMIT_RENEWALS", "new tokens";
    /// Groups that a user makes.
    groups per UserId: "30,60/h",
        "user-limit-groups", "PETREL_USER_LIMIT_GROUPS", "new groups";
    /// Changes that a user makes to groups: members, roles, names.
    group_changes per UserId: "200,60/min",
        "user-limit-group-changes", "PETREL_USER_LIMIT_GROUP_CHANGES", "changes of groups";
    /// Changes to a user's own profile, settings, devices and blocks.
    changes per UserId: "60,30/min",
        "user-limit-changes", "PETREL_USER_LIMIT_CHANGES", "changes";
    /// A user's reads of profiles, groups, devices and presence.
    lookups per UserId: "100,10/s",
        "user-limit-lookups", "PETREL_USER_LIMIT_LOOKUPS", "lookups";
    /// A user's long polls, and their acknowledgements.
    polls per UserId: "100,20/s",
        "user-limit-polls", "PETREL_USER_LIMIT_POLLS", "polls";
    /// Times that a user tells what was read.
    reads per UserId: "100,50/s",
        "user-limit-reads", "PETREL_USER_LIMIT_READS", "read marks";
    /// Sets of users whose presence a user follows.
    watches per UserId: "20,2/s",
        "user-limit-watches", "PETREL_USER_LIMIT_WATCHES", "watches";
    /// Times that a user types; beyond it, nobody is told.
    typing per UserId: "20,4/s",
        "user-limit-typing", "PETREL_USER_LIMIT_TYPING", "typing";
    /// Uploads that a user reserves.
    uploads per UserId: "60,120/h",
        "user-limit-uploads", "PETREL_USER_LIMIT_UPLOADS", "uploads";
    /// Requests with bytes of a user's uploads, and for where they go on.
    pieces per UserId: "200,5/s",
        "user-limit-pieces", "PETREL_USER_LIMIT_PIECES", "pieces of uploads";
    /// A user's downloads, each range of one by itself.
    downloads per UserId: "300,20/s",
        "user-limit-downloads", "PETREL_USER_LIMIT_DOWNLOADS", "downloads";
    /// Requests from an address, whatever they are.
    requests_from per Address: "3000,300/s",
        "address-limit-requests", "PETREL_ADDRESS_LIMIT_REQUESTS", "requests from your address";
    /// Sockets that are opened from an address.
    connects_from per Address: "2000,200/s",
        "address-limit-connects", "PETREL_ADDRESS_LIMIT_CONNECTS", "connects from your address";
    /// Users who register from an address.
    registrations_from per Address: "200,100/h",
        "address-limit-registrations", "PETREL_ADDRESS_LIMIT_REGISTRATIONS",
        "registrations from your address";
    /// Logins from an address, right or wrong.
    logins_from per Address: "200,60/min",
        "address-limit-logins", "PETREL_ADDRESS_LIMIT_LOGINS", "logins from your address";
    /// Renewals of tokens from an address.
    renewals_from per Address: "300,30/s",
        "address-limit-renewals", "PETREL_ADDRESS_LIMIT_RENEWALS", "new tokens from your address";
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It applies.
    On,
    /// It does not.
    Off,
}
