//! What an operator can set, and what is said when it cannot work.

use super::*;

fn refused(flags: &[&str]) -> String {
    Senders::new(&options(flags)).unwrap_err().to_string()
}

#[tokio::test]
async fn nothing_is_needed_and_nothing_is_sent_then() {
    let senders = Senders::new(&options(&["--vapid-key=", "--fcm-credentials="])).unwrap();
    assert_eq!(senders.vapid_public_key(), None);
    let receiver = PushReceiver::start().await.unwrap();
    for (target, variable) in [
        (receiver.browser(""), "PETREL_VAPID_KEY"),
        (receiver.android(), "PETREL_FCM_CREDENTIALS"),
        (receiver.iphone(), "PETREL_APNS_KEY"),
    ] {
        let Outcome::Refused(reason) = senders.send(&target, &notification()).await else {
            panic!("{variable}");
        };
        assert!(reason.contains(variable), "{reason}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_named() {
    let receiver = PushReceiver::start().await.unwrap();
    let folder = receiver.folder();
    let file = |flag: &str, name: &str| format!("{flag}={}", folder.join(name).display());
    std::fs::write(folder.join("empty.json"), "{}").unwrap();
    let vapid = format!("--vapid-key={VAPID_KEY}");
    let account = file("--fcm-credentials", "service-account.json");
    let not_an_account = file("--fcm-credentials", "empty.json");
    let apns = file("--apns-key", "AuthKey.p8");
    let not_a_key = file("--apns-key", "service-account.json");
    let nowhere = file("--apns-key", "nowhere.p8");
    let ids = ["--apns-key-id=ABC123DEFG", "--apns-team-id=DEF123GHIJ"];
    for (flags, named) in [
        (vec!["--vapid-key=secret"], "PETREL_VAPID_KEY"),
        (vec![&*vapid], "PETREL_VAPID_SUBJECT"),
        (vec![&*vapid, "--vapid-subject=ops@example.org"], "PETREL_VAPID_SUBJECT"),
        (vec![&*not_an_account], "PETREL_FCM_CREDENTIALS"),
        (vec![&*account, "--fcm-url=http://example.org"], "PETREL_FCM_URL"),
        (vec![&*nowhere, ids[0], ids[1]], "PETREL_APNS_KEY"),
        (vec![&*not_a_key, ids[0], ids[1]], "PETREL_APNS_KEY"),
        (vec![&*apns, ids[0]], "PETREL_APNS_TEAM_ID"),
        (vec![&*apns, ids[1]], "PETREL_APNS_KEY_ID"),
        (vec![&*apns, ids[0], ids[1], "--apns-url=http://example.org"], "PETREL_APNS_URL"),
    ] {
        let refused = refused(&flags);
        assert!(refused.contains(named), "{flags:?}: {refused}");
    }
}

#[tokio::test]
async fn secrets_may_come_without_their_files() {
    let receiver = PushReceiver::start().await.unwrap();
    let mut flags = Vec::new();
    for (variable, value) in receiver.settings() {
        let text = std::fs::read_to_string(&value).unwrap_or(value);
        // As a line of a file with variables.
        let text = if text.starts_with("-----") { text.replace('\n', "\\n") } else { text };
        flags.push(flag(variable, &text));
    }
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let options = options(&flags);
    let senders = Senders::new(&options).unwrap();
    for target in [receiver.android(), receiver.iphone()] {
        assert_eq!(senders.send(&target, &notification()).await, Outcome::Sent);
    }
    assert!(!format!("{options:?}").contains("BEGIN"));
}

#[test]
fn no_debug_output_shows_a_secret() {
    let vapid = format!("--vapid-key={VAPID_KEY}");
    let options = options(&[&vapid, "--vapid-subject=mailto:ops@example.org"]);
    let senders = Senders::new(&options).unwrap();
    let shown = format!("{options:?} {senders:?}");
    assert!(!shown.contains(VAPID_KEY), "{shown}");
}
