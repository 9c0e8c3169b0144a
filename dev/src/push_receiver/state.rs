//! Who is registered, what came for them, and what is to be answered.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemas::push::{PushTarget, WebPushKeys};

use super::{Answer, Push};

/// Pushes that are kept for a device that nobody asks for, and complaints.
const KEPT: usize = 100;
/// The bundle id of every app here.
pub(super) const TOPIC: &str = "org.example.petrel";

#[derive(Debug, Default)]
pub(super) struct State {
    devices: HashMap<String, Device>,
    pub(super) always: HashMap<&'static str, Answer>,
    pub(super) token_answers: VecDeque<Answer>,
    pub(super) accepted: u64,
    pub(super) granted: u64,
    pub(super) complaints: Vec<String>,
    /// Of FCM: only what was granted is good.
    pub(super) bearers: HashSet<String>,
    /// Of APNs: all that are well signed are good, but for these.
    pub(super) expired: HashSet<String>,
    pub(super) seen: HashSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) answers: VecDeque<Answer>,
    pub(super) accepted: VecDeque<Push>,
    pub(super) accepted_at: Option<Instant>,
    pub(super) requests: u64,
    pub(super) browser: Option<Arc<Browser>>,
}

/// What a browser keeps of its subscription.
pub(super) struct Browser {
    pub(super) key: PrivateKey,
    pub(super) auth: [u8; 16],
    /// The key of the server that may send.
    pub(super) server: String,
}

impl State {
    pub(super) fn subscribe(&mut self, addr: SocketAddr, server: &str) -> PushTarget {
        let (key, public) = keypair();
        let auth: [u8; 16] = rand::random();
        let id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let keys = WebPushKeys {
            p256dh: URL_SAFE_NO_PAD.encode(public),
            auth: URL_SAFE_NO_PAD.encode(auth),
        };
        let browser = Browser { key, auth, server: server.into() };
        let device = Device { browser: Some(Arc::new(browser)), ..Device::default() };
        let endpoint = format!("http://{addr}/push/{id}");
        self.devices.insert(id, device);
        PushTarget::Webpush { endpoint, keys }
    }

    pub(super) fn register_fcm(&mut self) -> PushTarget {
        let token = format!("fcm:{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        self.devices.insert(token.clone(), Device::default());
        PushTarget::Fcm { token }
    }

    pub(super) fn register_apns(&mut self) -> PushTarget {
        let bytes: [u8; 32] = rand::random();
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.devices.insert(token.clone(), Device::default());
        PushTarget::Apns { token, topic: TOPIC.into() }
    }

    /// What there is of a target; nothing yet of one that is not of here.
    pub(super) fn device(&mut self, target: &PushTarget) -> &mut Device {
        let id = match target {
            PushTarget::Webpush { endpoint, .. } => endpoint.rsplit('/').next().unwrap_or(endpoint),
            PushTarget::Fcm { token } | PushTarget::Apns { token, .. } => token,
        };
        self.devices.entry(id.to_owned()).or_default()
    }

    pub(super) fn registered(&mut self, id: &str) -> Option<&mut Device> {
        self.devices.get_mut(id)
    }

    /// Keeps a push; where there is none to be kept, it is only counted.
    pub(super) fn accept(&mut self, id: &str, push: Option<Push>) {
        self.accepted += 1;
        let Some(device) = self.devices.get_mut(id) else { return };
        device.accepted_at = Some(Instant::now());
        if let Some(push) = push {
            if device.accepted.len() == KEPT {
                device.accepted.pop_front();
            }
            device.accepted.push_back(push);
        }
    }

    pub(super) fn complain(&mut self, complaint: String) {
        if self.complaints.len() < KEPT {
            self.complaints.push(complaint);
        }
    }

    pub(super) fn expire_tokens(&mut self) {
        self.bearers.clear();
        self.expired.extend(self.seen.drain());
    }
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A key of P-256, and the point that is public of it.
#[allow(clippy::expect_used, reason = "it fails only where there is no randomness")]
fn keypair() -> (PrivateKey, Vec<u8>) {
    let key = PrivateKey::generate(&ECDH_P256).expect("a key");
    let public = key.compute_public_key().expect("its public half").as_ref().to_vec();
    (key, public)
}
