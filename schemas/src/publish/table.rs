//! The HTTP API, call by call.

use super::operation::{
    Answer, Content, Method, Operation, Parameter, Range, Refusal, Request, Shape, TOO_MANY, Tag,
};
use crate::{
    client,
    error::ErrorCode,
    http::{
        Device, Group, List, Login, Me, MediaInfo, NewGroup, NewMedia, PatchGroup, PatchMe,
        Profile, PutMember, Refresh, Register, Reservation, Session, VapidKey,
    },
    id::{DeviceId, GroupId, MediaId, UserId},
    limits::{BULK_IDS, MESSAGES_ITEMS, POLL_WAIT, POLL_WAIT_MAX},
    push::PushTarget,
    server::{self, Presence},
};

/// In reading order.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "register",
        method: Method::Post,
        path: "/v1/register",
        tag: Tag::Sessions,
        signed_in: false,
        summary: "Make an account and log in with a first device",
        description: "",
        parameters: &[],
        request: Some(Request::of::<Register>()),
        answer: json::<Session>(201, "The account exists, and the device is logged in."),
        own_refusals: &[Refusal::new(ErrorCode::Conflict, "The username is taken.")],
    },
    Operation {
        id: "login",
        method: Method::Post,
        path: "/v1/login",
        tag: Tag::Sessions,
        signed_in: false,
        summary: "Log in on a device",
        description: "With `device.id` the device keeps its inbox, its earlier tokens end, and a \
            socket that was opened with one of them closes with 4401. \
            Without it a new device is linked, which starts with an empty inbox. After some \
            wrong passwords for a username, or from an address, the next one has to wait, longer \
            each time up to a limit, and is answered with `rate_limited` until then, right or \
            wrong. A login with the `device.id` of a linked device does not wait for what others \
            tried without it.",
        parameters: &[],
        request: Some(Request::of::<Login>()),
        answer: json::<Session>(200, "The device is logged in."),
        own_refusals: &[
            Refusal::new(ErrorCode::Unauthorized, "No such username, or not its password."),
            Refusal::new(ErrorCode::NotFound, "`device.id` is not a device of this user."),
            Refusal::new(ErrorCode::Conflict, "8 devices are linked already: unlink one first."),
        ],
    },
    Operation {
        id: "token",
        method: Method::Post,
        path: "/v1/token",
        tag: Tag::Sessions,
        signed_in: false,
        summary: "Trade a refresh token for a new pair of tokens",
        description: "The old refresh token still works for 30 s while no refresh token issued \
            after it has been used, for an answer can get lost. Any other reuse means that \
            somebody else has the token: all tokens of the device are revoked and its socket \
            closes with 4401. Device and inbox stay, and a login with that `device.id` goes on.",
        parameters: &[],
        request: Some(Request::of::<Refresh>()),
        answer: json::<Session>(200, "A new pair."),
        own_refusals: &[Refusal::new(
            ErrorCode::Unauthorized,
            "The refresh token is forged, expired, revoked or was used before.",
        )],
    },
    Operation {
        id: "logout",
        method: Method::Post,
        path: "/v1/logout",
        tag: Tag::Sessions,
        signed_in: true,
        summary: "Unlink this device and drop its inbox",
        description: "",
        parameters: &[],
        request: None,
        answer: nothing(204, "The device is unlinked and its tokens are worthless."),
        own_refusals: &[],
    },
    Operation {
        id: "me",
        method: Method::Get,
        path: "/v1/me",
        tag: Tag::Me,
        signed_in: true,
        summary: "Read one's own account",
        description: "",
        parameters: &[],
        request: None,
        answer: json::<Me>(200, "The account."),
        own_refusals: &[],
    },
    Operation {
        id: "changeMe",
        method: Method::Patch,
        path: "/v1/me",
        tag: Tag::Me,
        signed_in: true,
        summary: "Change one's own account",
        description: "",
        parameters: &[],
        request: Some(Request::of::<PatchMe>()),
        answer: json::<Me>(200, "The account as it is now."),
        own_refusals: &[NO_SUCH_PICTURE, NO_PICTURE],
    },
    Operation {
        id: "devices",
        method: Method::Get,
        path: "/v1/me/devices",
        tag: Tag::Me,
        signed_in: true,
        summary: "List one's own linked devices",
        description: "",
        parameters: &[],
        request: None,
        answer: json::<List<Device>>(200, "At most 8, in the order they were linked."),
        own_refusals: &[],
    },
    Operation {
        id: "unlinkDevice",
        method: Method::Delete,
        path: "/v1/me/devices/{id}",
        tag: Tag::Me,
        signed_in: true,
        summary: "Unlink one of one's own devices",
        description: "Within a second its socket is closed, its tokens are refused and its inbox \
            is dropped.",
        parameters: &[Parameter::path::<DeviceId>("id", "The device.")],
        request: None,
        answer: nothing(204, "The device is unlinked."),
        own_refusals: &[Refusal::new(ErrorCode::NotFound, "No such device is linked.")],
    },
    Operation {
        id: "setPush",
        method: Method::Put,
        path: "/v1/me/devices/{id}/push",
        tag: Tag::Me,
        signed_in: true,
        summary: "Say how one of one's own devices is woken",
        description: "While it is not connected, a device is told through a push provider that \
            there are messages for it. It holds until it is replaced or removed, the device is \
            unlinked, or the provider says that nobody is there any more.",
        parameters: &[Parameter::path::<DeviceId>("id", "The device.")],
        request: Some(Request::of::<PushTarget>()),
        answer: nothing(204, "The device is woken so from now on."),
        own_refusals: &[Refusal::new(ErrorCode::NotFound, "No such device is linked.")],
    },
    Operation {
        id: "clearPush",
        method: Method::Delete,
        path: "/v1/me/devices/{id}/push",
        tag: Tag::Me,
        signed_in: true,
        summary: "Have one of one's own devices woken no more",
        description: "",
        parameters: &[Parameter::path::<DeviceId>("id", "The device.")],
        request: None,
        answer: nothing(204, "The device is not woken."),
        own_refusals: &[Refusal::new(ErrorCode::NotFound, "No such device is linked.")],
    },
    Operation {
        id: "vapid",
        method: Method::Get,
        path: "/v1/push/vapid",
        tag: Tag::Me,
        signed_in: false,
        summary: "Read the key that browsers subscribe to push with",
        description: "",
        parameters: &[],
        request: None,
        answer: json::<VapidKey>(200, "The public key of web push (RFC 8292)."),
        own_refusals: &[Refusal::new(ErrorCode::NotFound, "Web push is not set up here.")],
    },
    Operation {
        id: "blocked",
        method: Method::Get,
        path: "/v1/me/blocked",
        tag: Tag::Me,
        signed_in: true,
        summary: "List whom one has blocked",
        description: "",
        parameters: &[],
        request: None,
        answer: json::<List<UserId>>(200, "Their ids, in the order they were blocked."),
        own_refusals: &[],
    },
    Operation {
        id: "block",
        method: Method::Put,
        path: "/v1/me/blocked/{user}",
        tag: Tag::Me,
        signed_in: true,
        summary: "Block a user",
        description: "Their messages are no longer delivered, which they are not told; to them \
            you are always offline. Sending to them is refused with `blocked`.",
        parameters: &[Parameter::path::<UserId>("user", "Whom.")],
        request: None,
        answer: nothing(204, "The user is blocked."),
        own_refusals: &[
            Refusal::new(ErrorCode::NotFound, "No such user."),
            Refusal::new(ErrorCode::Invalid, "Nobody can block themself."),
            Refusal::new(ErrorCode::Conflict, "1,024 users are blocked already."),
        ],
    },
    Operation {
        id: "unblock",
        method: Method::Delete,
        path: "/v1/me/blocked/{user}",
        tag: Tag::Me,
        signed_in: true,
        summary: "Unblock a user",
        description: "What they sent meanwhile does not come.",
        parameters: &[Parameter::path::<UserId>("user", "Whom.")],
        request: None,
        answer: nothing(204, "The user is not blocked."),
        own_refusals: &[],
    },
    Operation {
        id: "users",
        method: Method::Get,
        path: "/v1/users",
        tag: Tag::Users,
        signed_in: true,
        summary: "Look up public profiles by id or by username",
        description: "Give either `ids` or `username`. Users that do not exist are left out.",
        parameters: &[
            Parameter::list::<UserId>("ids", BULK_IDS, "User ids, separated by commas."),
            Parameter::query::<String>("username", "A whole username, in any case."),
        ],
        request: None,
        answer: json::<List<Profile>>(
            200,
            "Who was found, in the order that was asked for, each once.",
        ),
        own_refusals: &[Refusal::new(ErrorCode::Invalid, "Neither or both are given.")],
    },
    Operation {
        id: "presence",
        method: Method::Get,
        path: "/v1/presence",
        tag: Tag::Users,
        signed_in: true,
        summary: "Ask who is online, and when who is not was last seen",
        description: "To follow it, `watch` on the socket. `last_seen` is the last sign of life: \
            absent while online, or hidden by the user's settings. Users that do not exist or \
            have blocked the asker are `offline`.",
        parameters: &[Parameter::list::<UserId>("ids", BULK_IDS, "User ids, separated by commas.")],
        request: None,
        answer: json::<List<Presence>>(200, "In the order that was asked for, each once."),
        own_refusals: &[],
    },
    Operation {
        id: "createGroup",
        method: Method::Post,
        path: "/v1/groups",
        tag: Tag::Groups,
        signed_in: true,
        summary: "Make a group and become its admin",
        description: "Everybody in it is told with `group.created`.",
        parameters: &[],
        request: Some(Request::of::<NewGroup>()),
        answer: json::<Group>(201, "The group exists."),
        own_refusals: &[
            Refusal::new(ErrorCode::NotFound, "One of `members` is no user."),
            Refusal::new(ErrorCode::GroupFull, "More than 100 members, the creator included."),
        ],
    },
    Operation {
        id: "groups",
        method: Method::Get,
        path: "/v1/groups",
        tag: Tag::Groups,
        signed_in: true,
        summary: "List the groups one is in",
        description: "",
        parameters: &[],
        request: None,
        answer: json::<List<Group>>(200, "All of them."),
        own_refusals: &[],
    },
    Operation {
        id: "group",
        method: Method::Get,
        path: "/v1/groups/{id}",
        tag: Tag::Groups,
        signed_in: true,
        summary: "Read a group one is in",
        description: "",
        parameters: &[GROUP],
        request: None,
        answer: json::<Group>(200, "The group."),
        own_refusals: MEMBERS_ONLY,
    },
    Operation {
        id: "changeGroup",
        method: Method::Patch,
        path: "/v1/groups/{id}",
        tag: Tag::Groups,
        signed_in: true,
        summary: "Give a group another name or picture",
        description: "Every member may. A new name is told with `group.renamed`.",
        parameters: &[GROUP],
        request: Some(Request::of::<PatchGroup>()),
        answer: json::<Group>(200, "The group as it is now."),
        own_refusals: &[NO_SUCH_GROUP, NOT_IN_IT, NO_SUCH_PICTURE, NO_PICTURE],
    },
    Operation {
        id: "putMember",
        method: Method::Put,
        path: "/v1/groups/{id}/members/{user}",
        tag: Tag::Groups,
        signed_in: true,
        summary: "Add somebody to a group, or give a member a role",
        description: "For admins. Told with `member.added`, which is the first that somebody \
            added gets of the group, and with `member.role`.",
        parameters: &[GROUP, Parameter::path::<UserId>("user", "Who.")],
        request: Some(Request::optional::<PutMember>()),
        answer: json::<Group>(200, "The group as it is now."),
        own_refusals: &[
            NO_SUCH_GROUP,
            NOT_IN_IT,
            Refusal::new(ErrorCode::NotFound, "No such user."),
            Refusal::new(ErrorCode::Forbidden, "Only admins add and promote."),
            Refusal::new(ErrorCode::GroupFull, "The group has its 100 members."),
            Refusal::new(ErrorCode::Conflict, "The last admin names another one first."),
            Refusal::new(ErrorCode::Conflict, "The user is in too many groups."),
        ],
    },
    Operation {
        id: "removeMember",
        method: Method::Delete,
        path: "/v1/groups/{id}/members/{user}",
        tag: Tag::Groups,
        signed_in: true,
        summary: "Remove somebody from a group, or leave it",
        description: "Admins remove, told with `member.removed`; everybody may leave, told with \
            `member.left`. When the last admin leaves, whoever has been in the group longest \
            becomes one; when the last member does, the group is gone.",
        parameters: &[GROUP, Parameter::path::<UserId>("user", "Who.")],
        request: None,
        answer: nothing(204, "The user is not in the group."),
        own_refusals: &[
            NO_SUCH_GROUP,
            NOT_IN_IT,
            Refusal::new(ErrorCode::Forbidden, "Only admins remove others."),
        ],
    },
    Operation {
        id: "reserveMedia",
        method: Method::Post,
        path: "/v1/media",
        tag: Tag::Media,
        signed_in: true,
        summary: "Reserve an upload",
        description: "Then make the request in `upload`, or upload in pieces to `resumable`: \
            either can be done by whoever knows the address, until `expires`. The bytes are taken \
            once; a repetition after a lost answer is answered alike and changes nothing.",
        parameters: &[],
        request: Some(Request::of::<NewMedia>()),
        answer: json::<Reservation>(201, "The upload is awaited."),
        own_refusals: &[
            Refusal::new(ErrorCode::Invalid, "Uploads of that type are not taken here."),
            Refusal::new(ErrorCode::TooLarge, "It has more bytes than an upload may have."),
            Refusal::new(
                ErrorCode::TooLarge,
                "With it, what you have uploaded would come to more than is kept for you: wait \
                 until some of it is gone.",
            ),
        ],
    },
    Operation {
        id: "uploadMedia",
        method: Method::Put,
        path: "/v1/media/{id}/upload",
        tag: Tag::Media,
        signed_in: false,
        summary: "Upload all bytes",
        description: "The request that `POST /v1/media` answers, where the server keeps uploads \
            itself; where they go to a store of its own, the address leads there. What came \
            before the connection broke is kept: go on behind it, as with any upload in pieces. \
            Uploading all of it again begins anew.",
        parameters: &[MEDIA, SECRET],
        request: Some(Request::bytes("*/*")),
        answer: nothing(204, "All bytes are there, or were before."),
        own_refusals: &[
            BAD_SECRET,
            GONE,
            BUSY,
            Refusal::new(
                ErrorCode::Invalid,
                "`Content-Type` or `Content-Length` is not as announced.",
            ),
            Refusal::new(ErrorCode::Invalid, "The body ended before all bytes came."),
            Refusal::new(ErrorCode::TooLarge, "More bytes came than were announced: none is kept."),
        ],
    },
    Operation {
        id: "uploadOffset",
        method: Method::Head,
        path: "/v1/media/{id}/upload",
        tag: Tag::Media,
        signed_in: false,
        summary: "Ask where an upload goes on",
        description: "As in tus 1.0.0: `Upload-Offset` is the next byte, `Upload-Length` how many \
            there are in all. An upload whose bytes are all there is complete.",
        parameters: &[MEDIA, SECRET, TUS],
        request: None,
        answer: nothing(204, "The headers say."),
        own_refusals: &[BAD_SECRET, GONE, OTHER_TUS],
    },
    Operation {
        id: "uploadPiece",
        method: Method::Patch,
        path: "/v1/media/{id}/upload",
        tag: Tag::Media,
        signed_in: false,
        summary: "Upload a piece",
        description: "As in tus 1.0.0: the bytes from `Upload-Offset` on, as many as there are or \
            as one likes, as `application/offset+octet-stream`. The answer says where it goes on, \
            which may be before the end of the piece: where the server's store is an S3, only \
            whole pieces of 5 MiB are kept, except for the last.",
        parameters: &[
            MEDIA,
            SECRET,
            TUS,
            Parameter::header::<u64>("Upload-Offset", "The first byte's place."),
        ],
        request: Some(Request::bytes("application/offset+octet-stream")),
        answer: nothing(204, "They are there, up to `Upload-Offset`."),
        own_refusals: &[
            BAD_SECRET,
            GONE,
            BUSY,
            OTHER_TUS,
            Refusal::new(
                ErrorCode::Invalid,
                "`Content-Type` is not `application/offset+octet-stream`.",
            )
            .with_status(415),
            Refusal::new(ErrorCode::Conflict, "It does not go on at `Upload-Offset`: ask where."),
            Refusal::new(ErrorCode::Invalid, "`Upload-Offset` is missing."),
            Refusal::new(ErrorCode::TooLarge, "There are more bytes than were announced."),
        ],
    },
    Operation {
        id: "uploadOptions",
        method: Method::Options,
        path: "/v1/media/{id}/upload",
        tag: Tag::Media,
        signed_in: false,
        summary: "Ask how uploads in pieces are done",
        description: "As in tus 1.0.0: `Tus-Version` and `Tus-Max-Size`.",
        parameters: &[MEDIA],
        request: None,
        answer: nothing(204, "The headers say."),
        own_refusals: &[],
    },
    Operation {
        id: "media",
        method: Method::Get,
        path: "/v1/media/{id}",
        tag: Tag::Media,
        signed_in: true,
        summary: "Read what has become of an upload",
        description: "",
        parameters: &[MEDIA],
        request: None,
        answer: json::<MediaInfo>(200, "The upload."),
        own_refusals: &[NO_SUCH_MEDIA],
    },
    download(
        "mediaContent",
        "/v1/media/{id}/content",
        "Download an upload",
        "With `Range` a part of it, with `If-None-Match` only if it is not that. Its name is in \
         `Content-Disposition`, and a browser is told to run nothing of it.",
    ),
    download(
        "mediaThumbnail",
        "/v1/media/{id}/thumbnail",
        "Download a small picture of an upload",
        "Where `thumbnail` says that there is one.",
    ),
    Operation {
        id: "send",
        method: Method::Post,
        path: "/v1/messages",
        tag: Tag::Messages,
        signed_in: true,
        summary: "Send a message",
        description: "What `send` is on the socket, and the answer is its `sent`, the same for a \
            retry. One device's calls for one chat are stored one after the other by the gateway \
            they get to, and a refused one holds no later one up. So await each answer before you \
            send the next to that chat, and after `rate_limited`, `unavailable`, `inbox_full` or \
            no answer send the same again, with the same `id` and `at`: then they arrive in the \
            order you sent them. Once the gateway has the call, it is finished whether or not you \
            wait for the answer.",
        parameters: &[],
        request: Some(Request::of::<client::Send>()),
        answer: json::<server::Sent>(
            200,
            "The message is durably stored in every recipient's inbox.",
        ),
        own_refusals: &[
            Refusal::new(ErrorCode::TooLarge, "The message's `body` is larger than 16 KiB."),
            Refusal::new(
                ErrorCode::NotFound,
                "No such user or group, or no such media that you may read.",
            ),
            Refusal::new(ErrorCode::Invalid, "The media were rejected."),
            Refusal::new(ErrorCode::NotMember, "You are not in that group."),
            Refusal::new(ErrorCode::Blocked, "You have blocked this user."),
            Refusal::new(ErrorCode::InboxFull, "The recipient's inbox holds no more."),
            Refusal::new(
                ErrorCode::RateLimited,
                "64 sends of this device to this chat are waiting already.",
            ),
        ],
    },
    Operation {
        id: "inbox",
        method: Method::Get,
        path: "/v1/inbox",
        tag: Tag::Messages,
        signed_in: true,
        summary: "Fetch messages, or wait for one",
        description: "The oldest that this device has not acknowledged, in `seq` order and at \
            most 256 KiB together. Where there is none, the answer waits for one, and is empty \
            when the time is up. It is empty before that when this device polls again, here or \
            at another gateway, for only one poll of a device waits; and when the gateway is \
            going away, which then ends the connection: poll again, and get to another.",
        parameters: &[
            Parameter::number("wait", WAIT, "Seconds to wait for a message, 0 to 60."),
            Parameter::number("limit", LIMIT, "Most messages in the answer, 1 to 64."),
        ],
        request: None,
        answer: json::<List<server::Item>>(200, "Messages, or none."),
        own_refusals: &[Refusal::new(
            ErrorCode::Unauthorized,
            "The access token expired or was revoked during the wait.",
        )],
    },
    Operation {
        id: "ackInbox",
        method: Method::Post,
        path: "/v1/inbox/ack",
        tag: Tag::Messages,
        signed_in: true,
        summary: "Acknowledge messages",
        description: "What `ack` is on the socket: this device has safely stored everything up \
            to `seq`, which is delivered now, and the server forgets it. It covers what lies in \
            the inbox when the call arrives, and never what is stored later; without a socket \
            nobody remembers what you were sent, so name the `seq` of a message you have. The \
            same again changes nothing. After the answer a poll brings none of it again, except \
            where the server was so busy that it had not forgotten yet.",
        parameters: &[],
        request: Some(Request::of::<client::Ack>()),
        answer: nothing(204, "It is acknowledged."),
        own_refusals: &[],
    },
    Operation {
        id: "read",
        method: Method::Post,
        path: "/v1/read",
        tag: Tag::Messages,
        signed_in: true,
        summary: "Say what was read",
        description: "What `read` is on the socket. Each mark is clamped to what this user's \
            devices have acknowledged of that sender in the chat, so await the answer to the \
            acknowledgement first.",
        parameters: &[],
        request: Some(Request::of::<client::Read>()),
        answer: nothing(204, "It is noted."),
        own_refusals: &[],
    },
    Operation {
        id: "openSocket",
        method: Method::Get,
        path: "/v1/ws",
        tag: Tag::Socket,
        signed_in: false,
        summary: "Open the WebSocket",
        description: "A WebSocket handshake, best with the subprotocol `petrel.v1`. The token \
            goes into the first frame and never into the address. What is said on the socket is \
            described by the AsyncAPI document at `/asyncapi.json`.",
        parameters: &[],
        request: None,
        answer: nothing(101, "The socket is open: say `hello` within 10 s."),
        own_refusals: &[
            Refusal::new(ErrorCode::Invalid, "It is no WebSocket handshake.").with_status(426),
            Refusal::new(
                ErrorCode::Unavailable,
                "This gateway is going away: connect again, and get to another.",
            ),
            TOO_MANY,
        ],
    },
    Operation {
        id: "healthz",
        method: Method::Get,
        path: "/healthz",
        tag: Tag::Service,
        signed_in: false,
        summary: "Tell whether the gateway lives",
        description: "",
        parameters: &[],
        request: None,
        answer: nothing(200, "It answers, so it lives."),
        own_refusals: &[],
    },
    Operation {
        id: "readyz",
        method: Method::Get,
        path: "/readyz",
        tag: Tag::Service,
        signed_in: false,
        summary: "Tell whether the gateway can serve",
        description: "For load balancers.",
        parameters: &[],
        request: None,
        answer: nothing(200, "It can."),
        own_refusals: &[Refusal::new(
            ErrorCode::Unavailable,
            "It is draining, or what it needs does not answer.",
        )],
    },
    document("openapi", "/openapi.json", "application/json", "The OpenAPI document"),
    document("asyncapi", "/asyncapi.json", "application/json", "The AsyncAPI document"),
    document("docs", "/docs", "text/html", "Both documents as a page for people"),
];

const NO_SUCH_PICTURE: Refusal =
    Refusal::new(ErrorCode::NotFound, "`picture` is no media that you may read.");
const NO_PICTURE: Refusal =
    Refusal::new(ErrorCode::Invalid, "`picture` is no image, or was rejected.");
const MEDIA: Parameter = Parameter::path::<MediaId>("id", "The upload.");
const SECRET: Parameter =
    Parameter::query::<String>("token", "As the address in the answer has it.");
const TUS: Parameter = Parameter::header::<String>("Tus-Resumable", "`1.0.0`.");
const OTHER_TUS: Refusal =
    Refusal::new(ErrorCode::Invalid, "`Tus-Resumable` is not `1.0.0`.").with_status(412);
const NO_SUCH_MEDIA: Refusal =
    Refusal::new(ErrorCode::NotFound, "No such upload, or none that you may read.");
const BAD_SECRET: Refusal = Refusal::new(
    ErrorCode::Forbidden,
    "The address is not the one that was answered, or not any more.",
);
const GONE: Refusal =
    Refusal::new(ErrorCode::NotFound, "The upload was not finished in time, and is forgotten.");
const BUSY: Refusal = Refusal::new(
    ErrorCode::Conflict,
    "Another request is sending it at this moment: try again soon.",
);
const WAIT: Range = Range { least: 0, most: POLL_WAIT_MAX.as_secs(), default: POLL_WAIT.as_secs() };
const LIMIT: Range =
    Range { least: 1, most: MESSAGES_ITEMS as u64, default: MESSAGES_ITEMS as u64 };
const GROUP: Parameter = Parameter::path::<GroupId>("id", "The group.");
const NO_SUCH_GROUP: Refusal = Refusal::new(ErrorCode::NotFound, "No such group.");
const NOT_IN_IT: Refusal = Refusal::new(ErrorCode::NotMember, "You are not in that group.");
const MEMBERS_ONLY: &[Refusal] = &[NO_SUCH_GROUP, NOT_IN_IT];

const DOWNLOAD_PARAMETERS: &[Parameter] = &[
    MEDIA,
    Parameter::header::<String>("Range", "One range of bytes (RFC 9110)."),
    Parameter::header::<String>("If-Range", "The `ETag` of which it is a range."),
    Parameter::header::<String>("If-None-Match", "The `ETag` that is there already."),
];
const NO_DOWNLOAD: &[Refusal] = &[
    NO_SUCH_MEDIA,
    Refusal::new(ErrorCode::NotFound, "It was rejected, or has no small picture."),
    Refusal::new(
        ErrorCode::Conflict,
        "It is still `pending`: its owner gets an event when it is not, and others try \
                 again soon.",
    ),
    Refusal::new(ErrorCode::Invalid, "It has no such range.").with_status(416),
];

const fn download(
    id: &'static str,
    path: &'static str,
    summary: &'static str,
    description: &'static str,
) -> Operation {
    Operation {
        id,
        method: Method::Get,
        path,
        tag: Tag::Media,
        signed_in: true,
        summary,
        description,
        parameters: DOWNLOAD_PARAMETERS,
        request: None,
        answer: Answer {
            status: 200,
            description: "All of it.",
            content: Content::Bytes,
            also: &[
                (206, "The range."),
                (304, "It is that already."),
                (307, "It is to be had at `Location`, for some minutes and without a token."),
            ],
        },
        own_refusals: NO_DOWNLOAD,
    }
}

const fn document(
    id: &'static str,
    path: &'static str,
    media_type: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        id,
        method: Method::Get,
        path,
        tag: Tag::Service,
        signed_in: false,
        summary,
        description: "",
        parameters: &[],
        request: None,
        answer: Answer {
            status: 200,
            description: "The document.",
            content: Content::Document(media_type),
            also: &[],
        },
        own_refusals: &[TOO_MANY],
    }
}

const fn json<T>(status: u16, description: &'static str) -> Answer
where
    T: schemars::JsonSchema + serde::Serialize + super::examples::Example,
{
    Answer { status, description, content: Content::Json(Shape::of::<T>()), also: &[] }
}

const fn nothing(status: u16, description: &'static str) -> Answer {
    Answer { status, description, content: Content::Nothing, also: &[] }
}
