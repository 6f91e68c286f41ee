//! Requests whose body nobody wants: they are answered, and the connection goes on.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::harness::{Cluster, Engine};
use crate::rest_client::Caller;

/// More than a client has sent by the time it could be answered, less than is read in vain.
const LENGTH: usize = 200 << 10;

fn request(method: Method, path: &str, length: usize) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("host", "api.example");
    request.header("content-type", "application/json").body(Full::new(vec![b' '; length].into())).expect("a request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_before_the_body_was_read_keeps_the_connection() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for (who, path, code) in [
        ("admin", format!("{maps}?dryRun=Some"), StatusCode::UNPROCESSABLE_ENTITY),
        ("admin", "/apis/example.com/v1/things".to_owned(), StatusCode::NOT_FOUND),
        ("", maps.to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        let mut connection = Caller::new(&cluster.pki, server.address, who).connect().await;
        for _ in 0..3 {
            let answer = connection.send_request(request(Method::POST, &path, LENGTH)).await.expect("an answer");
            assert_eq!(answer.status(), code, "{who:?} {path}");
            answer.into_body().collect().await.expect("a whole answer");
            connection.ready().await.expect("the connection goes on");
        }
    }
    server.stop().await;
}
