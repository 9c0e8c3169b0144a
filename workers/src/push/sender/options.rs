//! What an operator can set.

use std::{convert::Infallible, fmt, num::NonZeroU32, str::FromStr, time::Duration};

use url::Url;

use super::failure::SetupError;

/// Who is asked to wake devices, and how.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Push")]
pub struct PushOptions {
    /// The private key that Web Push services know this server by: base64 of a
    /// P-256 key in DER, a PEM, or the bare scalar in base64url. Without it, no
    /// browser is woken.
    #[arg(long, env = "PETREL_VAPID_KEY", value_name = "KEY", hide_env_values = true)]
    pub vapid_key: Option<String>,

    /// Whom Web Push services write to when they are in trouble: a mailto: or
    /// https: URL.
    #[arg(long, env = "PETREL_VAPID_SUBJECT", value_name = "URL")]
    pub vapid_subject: Option<String>,

    /// The JSON file of a Google service account that may send for a Firebase
    /// project, or its text. Without it, nobody is woken through FCM.
    #[arg(long, env = "PETREL_FCM_CREDENTIALS", value_name = "FILE", hide_env_values = true)]
    pub fcm_credentials: Option<FileOrText>,

    /// Where FCM is.
    #[arg(
        long,
        env = "PETREL_FCM_URL",
        value_name = "URL",
        default_value = "https://fcm.googleapis.com"
    )]
    pub fcm_url: Url,

    /// The .p8 file of a key for APNs, or its text. Without it, nobody is woken
    /// through APNs.
    #[arg(long, env = "PETREL_APNS_KEY", value_name = "FILE", hide_env_values = true)]
    pub apns_key: Option<FileOrText>,

    /// The name of that key: ten characters.
    #[arg(long, env = "PETREL_APNS_KEY_ID", value_name = "ID")]
    pub apns_key_id: Option<String>,

    /// The team that the key belongs to: ten characters.
    #[arg(long, env = "PETREL_APNS_TEAM_ID", value_name = "ID")]
    pub apns_team_id: Option<String>,

    /// Where APNs is; apps in development are at api.sandbox.push.apple.com.
    #[arg(
        long,
        env = "PETREL_APNS_URL",
        value_name = "URL",
        default_value = "https://api.push.apple.com"
    )]
    pub apns_url: Url,

    /// For development: browsers' endpoints may be on this machine, without TLS.
    #[arg(long, env = "PETREL_PUSH_ALLOW_LOOPBACK")]
    pub push_allow_loopback: bool,

    /// Milliseconds that a provider has to answer; a notification takes at most
    /// twice as long.
    #[arg(long, env = "PETREL_PUSH_TIMEOUT_MS", default_value_t = TIMEOUT_MS,
          value_parser = clap::value_parser!(u64).range(100..=10_000))]
    pub push_timeout_ms: u64,

    /// Requests that are with one provider at once: with FCM, with APNs, and with
    /// each Web Push service.
    #[arg(long, env = "PETREL_PUSH_AT_ONCE", default_value_t = AT_ONCE)]
    pub push_at_once: NonZeroU32,

    /// Notifications that a device gets at once.
    #[arg(long, env = "PETREL_PUSH_DEVICE_BURST", default_value_t = DEVICE_BURST)]
    pub push_device_burst: NonZeroU32,

    /// Seconds after which a device that got as many may get one more; 0 for at
    /// once.
    #[arg(long, env = "PETREL_PUSH_DEVICE_EVERY_SECS", default_value_t = DEVICE_EVERY_SECS,
          value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub push_device_every_secs: u64,
}

/// Providers answer within a second unless they are in trouble.
const TIMEOUT_MS: u64 = 10_000;
/// At 100 ms a request that is 1,280 notifications per second and worker.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(128).unwrap();
/// As many chats that come to life at once.
const DEVICE_BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Nobody wants to be told more often, and providers throttle who does.
const DEVICE_EVERY_SECS: u64 = 10;

impl PushOptions {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.push_timeout_ms)
    }
}

/// An empty variable is one that is not set.
pub(super) fn given(value: Option<&String>) -> Option<&str> {
    value.map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// A secret in a file; or what would be in it, for where secrets come as variables.
/// A line's end may be written as `\n` then.
#[derive(Clone)]
pub struct FileOrText(String);

impl FileOrText {
    /// The text; none where nothing is given, or an empty variable.
    pub(super) fn read(
        given: Option<&Self>,
        setting: &'static str,
    ) -> Result<Option<String>, SetupError> {
        let Some(Self(value)) = given.filter(|given| !given.0.trim().is_empty()) else {
            return Ok(None);
        };
        match value.trim() {
            text if text.starts_with('{') => Ok(Some(text.into())),
            text if text.starts_with("-----BEGIN") => Ok(Some(text.replace("\\n", "\n"))),
            path => std::fs::read_to_string(path).map(Some).map_err(|source| SetupError::File {
                setting,
                file: path.into(),
                source,
            }),
        }
    }
}

impl FromStr for FileOrText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

/// It may be a secret.
impl fmt::Debug for FileOrText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileOrText(…)")
    }
}

/// Never shows the key.
impl fmt::Debug for PushOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushOptions")
            .field("vapid_key", &self.vapid_key.is_some())
            .field("vapid_subject", &self.vapid_subject)
            .field("fcm_credentials", &self.fcm_credentials)
            .field("apns_key", &self.apns_key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl PushOptions {
    /// As the flags say.
    pub(super) fn of(flags: &[&str]) -> Self {
        let command = <Self as clap::Args>::augment_args(clap::Command::new("petrel"));
        let matches = command.try_get_matches_from([&["petrel"], flags].concat());
        matches
            .and_then(|matches| <Self as clap::FromArgMatches>::from_arg_matches(&matches))
            .unwrap_or_else(|error| panic!("{error}"))
    }
}
