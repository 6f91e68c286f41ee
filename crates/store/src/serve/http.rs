//! What etcd answers over plain HTTP beside what every daemon does: `/health`.

use daemon::serve::Body;
use http::{Request, Response, StatusCode};

use crate::member::Member;

/// What etcd's /version says.
pub const VERSION: &str = r#"{"etcdserver":"3.6.0","etcdcluster":"3.6.0"}"#;

/// Answers a request that is neither gRPC nor built in.
pub async fn answer<B>(member: &Member, request: &Request<B>) -> Response<Body> {
    match request.uri().path() {
        "/health" => health(member, request.uri().query().unwrap_or_default()).await,
        _ => respond(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    }
}

/// As etcd: healthy when a linearizable read works (with `serializable=true`: when the member answers at all) and no
/// alarm is raised that `exclude` does not name.
async fn health(member: &Member, query: &str) -> Response<Body> {
    let serializable = query.split('&').any(|pair| pair == "serializable=true");
    let excluded: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("exclude=")).collect();
    let alarm = {
        let held = member.shared.held.read();
        held.state.alarms.iter().find_map(|(_, alarm)| {
            let name = proto::etcdserverpb::AlarmType::try_from(*alarm).map_or("UNKNOWN", |alarm| alarm.as_str_name());
            (!excluded.contains(&name)).then(|| format!("ALARM {name}"))
        })
    };
    let reason = match alarm {
        Some(alarm) => Some(alarm),
        None if serializable => None,
        None => member.linearize().await.err().map(|refused| format!("RAFT NO LEADER: {refused}")),
    };
    match reason {
        None => respond(StatusCode::OK, r#"{"health":"true","reason":""}"#.to_owned()),
        Some(reason) => {
            let text = serde_json::json!({ "health": "false", "reason": reason }).to_string();
            respond(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

fn respond(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::new(bytes::Bytes::from(text))));
    *response.status_mut() = status;
    response
}
