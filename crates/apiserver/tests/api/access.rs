//! Who may do what, and tokens.

use client::ListParams;
use client::config::{Credentials, Data};
use proto::authentication::v1::{BoundObjectReference, TokenRequest};
use proto::core::v1::{ConfigMap, Node, Pod, Secret, ServiceAccount};

use daemon::tls::ClientIdentity;
use testkit::pki::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Apiserver, Cluster, Engine, config_map, pod, service_account, until};
use crate::on_each_store;

on_each_store! {
    identities_may_do_what_their_role_says
    tokens_name_their_account_and_end_with_their_pod
    tokens_end_with_the_secret_or_node_they_are_bound_to
    rest_answers_health_version_metrics_and_objects
    reflection_lists_the_api_to_callers_with_a_certificate
}

async fn identities_may_do_what_their_role_says(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let node = cluster.client(&server, "node");
    let mut own = Node::default();
    own.metadata.name = "n1".into();
    let made = node.api::<Node>().create(&own).await.expect("its own node");
    assert_eq!(made.spec.taints[0].key, "node.kubernetes.io/not-ready");
    own.metadata.name = "n2".into();
    assert!(node.api::<Node>().create(&own).await.expect_err("another's").is_forbidden());
    assert!(
        node.api::<ConfigMap>().create(&config_map("default", "a", &[])).await.expect_err("no role").is_forbidden()
    );
    let scheduler = cluster.client(&server, "scheduler");
    assert!(scheduler.api::<Secret>().list(&ListParams::default()).await.expect_err("no role").is_forbidden());
    scheduler.api::<Pod>().list(&ListParams::default()).await.expect("its role");
    let stranger = cluster.client(&server, "stranger");
    let refused = stranger.api::<Pod>().list(&ListParams::default()).await.expect_err("nobody");
    assert!(
        refused
            .to_string()
            .contains("User \"mallory\" cannot list resource \"pods\" in API group \"\" at the cluster scope"),
        "{refused}"
    );
    assert_eq!(stranger.who_am_i().await.expect("may ask who it is").username, "mallory");
    let nobody = cluster.client_with(&server, Credentials::Anonymous);
    let refused = nobody.who_am_i().await.expect_err("nothing is anonymous");
    assert_eq!(refused.status().map(|status| status.code), Some(401), "{refused}");
    server.stop().await;
}

async fn tokens_name_their_account_and_end_with_their_pod(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let accounts = admin.api::<ServiceAccount>();
    accounts.create(&service_account("default", "default")).await.expect("created");
    let made = admin.api::<Pod>().create(&pod("default", "p")).await.expect("created");
    let mut request = TokenRequest::default();
    request.spec.expiration_seconds = Some(600);
    request.spec.bound_object_ref = Some(BoundObjectReference {
        kind: "Pod".into(),
        api_version: "v1".into(),
        name: "p".into(),
        u_id: made.metadata.uid.clone(),
    });
    let answer = accounts.create_subresource("default", "default", "token", &request).await.expect("issued");
    let issued: TokenRequest = proto::any::unpack(&answer).expect("a TokenRequest");
    assert!(issued.status.expiration_timestamp.seconds > issued.metadata.creation_timestamp.seconds);
    let token = Credentials::Token(Data::Inline(issued.status.token.into_bytes()));
    let pod_client = cluster.client_with(&server, token);
    let who = pod_client.who_am_i().await.expect("a valid token");
    assert_eq!(who.username, "system:serviceaccount:default:default");
    assert!(who.groups.contains(&"system:serviceaccounts:default".to_owned()));
    assert!(pod_client.api::<Pod>().list(&ListParams::default()).await.expect_err("no role").is_forbidden());
    request.spec.expiration_seconds = Some(5);
    let short = accounts.create_subresource("default", "default", "token", &request).await.expect_err("too short");
    assert_eq!(short.status().map(|status| status.code), Some(422), "{short}");

    admin.api::<Pod>().delete("default", "p", &client::DeleteParams::default()).await.expect("deleted");
    let begin = std::time::Instant::now();
    while pod_client.who_am_i().await.is_ok() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "the token outlives its pod");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}

async fn tokens_end_with_the_secret_or_node_they_are_bound_to(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let accounts = admin.api::<ServiceAccount>();
    accounts.create(&service_account("default", "default")).await.expect("created");
    let mut secret = Secret::default();
    secret.metadata.name = "s".into();
    secret.metadata.namespace = "default".into();
    admin.api::<Secret>().create(&secret).await.expect("created");
    let mut node = Node::default();
    node.metadata.name = "n1".into();
    admin.api::<Node>().create(&node).await.expect("created");
    let mut clients = Vec::new();
    for (kind, name) in [("Secret", "s"), ("Node", "n1")] {
        let mut request = TokenRequest::default();
        request.spec.bound_object_ref =
            Some(BoundObjectReference { kind: kind.into(), name: name.into(), ..Default::default() });
        let answer = accounts.create_subresource("default", "default", "token", &request).await.expect("issued");
        let issued: TokenRequest = proto::any::unpack(&answer).expect("a TokenRequest");
        let token = Credentials::Token(Data::Inline(issued.status.token.into_bytes()));
        let client = cluster.client_with(&server, token);
        client.who_am_i().await.expect("a valid token");
        clients.push(client);
    }
    // A successor of the same name is another object.
    admin.api::<Secret>().delete("default", "s", &client::DeleteParams::default()).await.expect("deleted");
    admin.api::<Secret>().create(&secret).await.expect("created");
    admin.api::<Node>().delete("", "n1", &client::DeleteParams::default()).await.expect("deleted");
    for client in clients {
        let refused = until("the end of the token", || async { client.who_am_i().await.err() }).await;
        assert_eq!(refused.status().map(|status| status.code), Some(401), "{refused}");
    }
    server.stop().await;
}

/// One request of HTTP/1.1 over TLS.
async fn http(cluster: &Cluster, server: &Apiserver, who: Option<&str>, request: &str) -> String {
    let pair = who.map(|who| (cluster.pki.certificate(who), cluster.pki.key(who)));
    let identity = ClientIdentity::load(cluster.pki.authority(Authority::Cluster), pair).expect("good files");
    let mut config = (*identity.config()).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    let name = "localhost".try_into().expect("a name");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect(name, stream).await.expect("tls");
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

async fn rest_answers_health_version_metrics_and_objects(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    // As upstream gives them to everybody.
    for path in ["/healthz", "/livez", "/readyz"] {
        until(path, || async {
            let answer = http(&cluster, &server, None, &format!("GET {path}")).await;
            (answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok")).then_some(())
        })
        .await;
    }
    let version = http(&cluster, &server, None, "GET /version").await;
    assert!(version.starts_with("HTTP/1.1 200") && version.contains("\"gitVersion\""), "{version}");
    let metrics = http(&cluster, &server, None, "GET /metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 401"), "{metrics}");
    let pods = http(&cluster, &server, Some("admin"), "GET /api/v1/pods").await;
    assert!(pods.starts_with("HTTP/1.1 200") && pods.contains("\"kind\":\"PodList\""), "{pods}");
    let nobody = http(&cluster, &server, None, "GET /api/v1/pods").await;
    assert!(nobody.starts_with("HTTP/1.1 401") && nobody.contains("\"kind\":\"Status\""), "{nobody}");
    let stranger = http(&cluster, &server, Some("stranger"), "GET /metrics").await;
    assert!(stranger.starts_with("HTTP/1.1 403"), "{stranger}");

    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let _ = maps.get("default", "none").await.expect_err("no such object");
    let metrics = http(&cluster, &server, Some("admin"), "GET /metrics").await;
    let counted = metrics.lines().any(|line| {
        line.starts_with("apiserver_request_total{")
            && ["verb=\"GET\"", "resource=\"configmaps\"", "code=\"404\""].iter().all(|part| line.contains(part))
    });
    assert!(counted, "{metrics}");
    server.stop().await;
}

async fn reflection_lists_the_api_to_callers_with_a_certificate(engine: Engine) {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let ask = |question: MessageRequest, who: Option<&str>| {
        let pair = who.map(|who| (cluster.pki.certificate(who), cluster.pki.key(who)));
        let identity = ClientIdentity::load(cluster.pki.authority(Authority::Cluster), pair).expect("good files");
        let channel = identity.channel(&format!("https://{}", server.address), None).expect("a channel");
        let request =
            tonic_reflection::pb::v1::ServerReflectionRequest { message_request: Some(question), ..Default::default() };
        async move {
            let mut client = ServerReflectionClient::new(channel).max_decoding_message_size(64 << 20);
            let mut answers = client.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
            answers.message().await
        }
    };
    let list = MessageRequest::ListServices(String::new());
    let answer = ask(list.clone(), Some("admin")).await.expect("answered").expect("one").message_response;
    let Some(MessageResponse::ListServicesResponse(services)) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    for name in apiserver::grpc::SERVICES.iter().chain(&["grpc.health.v1.Health"]) {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    let symbol = MessageRequest::FileContainingSymbol("k8s.io.api.core.v1.Pod".into());
    let answer = ask(symbol, Some("admin")).await.expect("answered").expect("one").message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "objects are described, too");
    let refused = ask(list, None).await.expect_err("anonymous callers are told of health only");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_bad_files_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let start = |certificate: &str| {
        let flags = format!(
            "keelson-apiserver --etcd-servers=http://127.0.0.1:1 --bind-address=127.0.0.1 --secure-port={} \
             --tls-cert-file={} --tls-private-key-file=none.key",
            if certificate.is_empty() { port } else { 0 },
            folder.path().join(certificate).display()
        );
        let config = clap::Parser::try_parse_from(flags.split_whitespace()).expect("good flags");
        apiserver::run::run(config, daemon::shutdown::Shutdown::default())
    };
    let refused = format!("{:#}", start("").await.expect_err("taken"));
    for part in [&format!("127.0.0.1:{port}"), "in use", "--secure-port"] {
        assert!(refused.contains(part), "{part:?} in {refused:?}");
    }
    let refused = format!("{:#}", start("gone.crt").await.expect_err("no such file"));
    assert!(refused.contains("gone.crt"), "{refused}");
}
