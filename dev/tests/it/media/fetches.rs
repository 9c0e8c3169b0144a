//! Who has media is noted where it is asked for, when they have all of them.

use reqwest::{Method, header};
use schemas::{DeviceId, MediaId};
use serde_json::json;
use store::Directory as _;

use super::{Studio, client, get, in_s3, request, rights::sends};
use crate::{people::Person, support::until};

const NOTED: (&str, &str) = ("PETREL_MEDIA_FETCHED_HOURS", "1");

impl Studio {
    /// Something that Alice has sent to Bob.
    async fn sent(&self, alice: &Person, bob: &Person) -> MediaId {
        let id = self.ready(alice, "image/png", &"0123456789".into()).await;
        assert_eq!(sends(alice, bob.user(), id).await, 200);
        id
    }

    async fn fetched_by(&self, id: MediaId) -> Vec<DeviceId> {
        self.directory().await.media_fetches(id).await.unwrap().by
    }

    async fn is_fetched_by(&self, id: MediaId, devices: &[&Person]) {
        let mut expected: Vec<_> = devices.iter().map(|person| person.device()).collect();
        expected.sort_unstable();
        let noted = async || {
            let mut by = self.fetched_by(id).await;
            by.sort_unstable();
            by == expected
        };
        until(noted, format_args!("{id} was fetched by {expected:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_end_of_it_has_it() {
    let (variable, hours) = NOTED;
    let studio = Studio::in_a_folder(vec![(variable, hours.to_owned())], 0).await;
    let [alice, bob] = Person::several_on(&studio.stack).await;
    let laptop = bob.link().await;
    let id = studio.sent(&alice, &bob).await;
    studio.is_fetched_by(id, &[&alice]).await;
    let content = format!("{id}/content");
    for (method, path, range) in [
        (Method::HEAD, &content, "bytes=0-"),
        (Method::GET, &content, "bytes=0-8"),
        (Method::GET, &format!("{id}/thumbnail"), "bytes=0-"),
    ] {
        assert_eq!(request(method, &bob, path, &[("range", range)]).await.status, 206);
    }
    assert_eq!(get(&laptop, &content, &[]).await.status, 200);
    studio.is_fetched_by(id, &[&alice, &laptop]).await;
    assert_eq!(get(&bob, &content, &[("range", "bytes=9-")]).await.status, 206);
    studio.is_fetched_by(id, &[&alice, &laptop, &bob]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_where_the_store_has_it_counts_as_well() {
    let (objects, server) = in_s3().await;
    let (variable, hours) = NOTED;
    let mut settings = server.settings();
    settings.push((variable, hours.to_owned()));
    let studio = Studio::on(objects, settings, 0, server).await;
    let [alice, bob] = Person::several_on(&studio.stack).await;
    let id = studio.sent(&alice, &bob).await;
    let thumbnail = get(&bob, &format!("{id}/thumbnail"), &[]).await;
    assert!(thumbnail.header(header::LOCATION).is_some());
    studio.is_fetched_by(id, &[&alice]).await;
    assert_eq!(get(&bob, &format!("{id}/content"), &[]).await.status, 307);
    studio.is_fetched_by(id, &[&alice, &bob]).await;
}

/// A picture that everybody may see would collect everybody.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_seen_a_picture_is_not_noted() {
    let (variable, hours) = NOTED;
    let studio = Studio::in_a_folder(vec![(variable, hours.to_owned())], 0).await;
    let [alice, bob] = Person::several_on(&studio.stack).await;
    let picture = studio.sent(&alice, &bob).await;
    let other = studio.sent(&alice, &bob).await;
    let patch = client().patch(alice.account.api.base().join("v1/me").unwrap());
    let patch =
        patch.bearer_auth(alice.account.token()).body(json!({"picture": picture}).to_string());
    assert_eq!(patch.send().await.unwrap().status(), 200);
    for id in [picture, other] {
        assert_eq!(get(&bob, &format!("{id}/content"), &[]).await.status, 200);
    }
    studio.is_fetched_by(other, &[&alice, &bob]).await;
    studio.is_fetched_by(picture, &[&alice]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_not_asked_for_nothing_is_noted() {
    let studio = Studio::shared().await;
    let [alice, bob] = Person::several_on(&studio.stack).await;
    let id = studio.sent(&alice, &bob).await;
    for _ in 0..2 {
        assert_eq!(get(&bob, &format!("{id}/content"), &[]).await.status, 200);
    }
    assert_eq!(studio.fetched_by(id).await, []);
}
