//! How answers come: compressed, in time, and told to the audit log.

use std::io::Read;
use std::time::{Duration, Instant};

use proto::core::v1::ConfigMap;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::harness::{Cluster, Engine, config_map};
use crate::on_each_store;
use crate::raw::{Caller, read};

on_each_store! {
    long_answers_are_compressed_for_who_takes_it
    requests_end_in_time
    every_request_is_told_to_the_audit_log
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn long_answers_are_compressed_for_who_takes_it(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let text = "a word or two ".repeat(1000);
    for at in 0..12 {
        maps.create(&config_map("default", &format!("m{at:02}"), &[("k", &text)])).await.expect("created");
    }
    let admin = Caller::new(&cluster, server.address, "admin");
    let plain = admin.get(MAPS).await;
    assert_eq!((plain.code, plain.header("content-encoding")), (200, None));
    for accept in ["", "Accept: application/vnd.kubernetes.protobuf\r\n"] {
        let plain = admin.ask("GET", MAPS, accept, b"").await;
        let packed = admin.ask("GET", MAPS, &format!("{accept}Accept-Encoding: gzip\r\n"), b"").await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{}", packed.head);
        assert_eq!(packed.header("vary"), Some("accept-encoding"));
        assert!(packed.body.len() < plain.body.len() / 5, "{} of {}", packed.body.len(), plain.body.len());
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut read).expect("gzip");
        assert!(read == plain.body, "it is the same answer");
    }
    let short = admin.ask("GET", &format!("{MAPS}/m00"), "Accept-Encoding: gzip\r\n", b"").await;
    assert_eq!((short.code, short.header("content-encoding")), (200, None));
    server.stop().await;
}

async fn requests_end_in_time(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver_with(&["--request-timeout=5s"]).await;
    let admin = Caller::new(&cluster, server.address, "admin");
    let wrong = admin.get(&format!("{MAPS}?timeout=soon")).await;
    assert_eq!(wrong.code, 400);
    let message = "invalid timeout specified in the request URL - time: invalid duration \"soon\"";
    assert_eq!(wrong.json()["message"], message);

    // A body that does not come, of who says how long it may take and of who does not.
    for (query, most) in [("", 12), ("?timeout=300ms", 4)] {
        let begin = Instant::now();
        let mut stream = admin.h1().await;
        let head = format!("POST {MAPS}{query} HTTP/1.0\r\nHost: l\r\nContent-Length: 100\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let late = read(&mut stream).await;
        assert!(begin.elapsed() < Duration::from_secs(most), "{:?}", begin.elapsed());
        let status = late.json();
        assert_eq!((late.code, &status["reason"]), (504, &Value::from("Timeout")), "{status}");
        let message = "Timeout: request did not complete within requested timeout - context deadline exceeded";
        assert_eq!(status["message"], message);
    }

    // A watch lasts as long as it says.
    let begin = Instant::now();
    let watched = admin.get(&format!("{MAPS}?watch=1&timeoutSeconds=6")).await;
    assert_eq!(watched.code, 200);
    assert!(begin.elapsed() > Duration::from_millis(5900), "{:?}", begin.elapsed());
    server.stop().await;
}

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver"]}
- {level: RequestResponse, namespaces: [default], resources: [{group: "", resources: [configmaps]}], omitManagedFields: true}
- {level: Metadata, userGroups: [devs]}
- {level: Metadata, nonResourceURLs: ["/apis*"]}
"#;

async fn every_request_is_told_to_the_audit_log(engine: Engine) {
    let cluster = Cluster::start(engine);
    let folder = tempfile::tempdir().expect("a folder");
    let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
    std::fs::write(&policy, POLICY).expect("written");
    let flags = [format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", log.display())];
    let server = cluster.apiserver_with(&flags.each_ref().map(String::as_str)).await;
    let (admin, alice) =
        (Caller::new(&cluster, server.address, "admin"), Caller::new(&cluster, server.address, "alice"));
    let made = admin
        .ask(
            "POST",
            MAPS,
            "Audit-Id: made\r\nUser-Agent: tester/1\r\nX-Forwarded-For: 192.0.2.7\r\n",
            br#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#,
        )
        .await;
    assert_eq!((made.code, made.header("audit-id")), (201, Some("made")));
    assert_eq!(admin.ask("GET", &format!("{MAPS}/none"), "Audit-Id: missing\r\n", b"").await.code, 404);
    assert_eq!(alice.ask("GET", "/api/v1/secrets", "Audit-Id: refused\r\n", b"").await.code, 403);
    let as_alice = "Audit-Id: other\r\nImpersonate-User: alice\r\nImpersonate-Group: devs\r\n";
    assert_eq!(admin.ask("GET", "/api/v1/nodes", as_alice, b"").await.code, 403);
    assert_eq!(admin.ask("GET", "/apis", "Audit-Id: path\r\n", b"").await.code, 200);
    let watch = format!("{MAPS}?watch=1&timeoutSeconds=1");
    assert_eq!(admin.ask("GET", &watch, "Audit-Id: watch\r\n", b"").await.code, 200);
    let alices = cluster.client(&server, "alice").api::<proto::core::v1::Node>();
    alices.get("", "n").await.expect_err("she may not");
    server.stop().await;

    let text = std::fs::read_to_string(&log).expect("a log");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let of = |id: &str| -> Vec<&Value> { events.iter().filter(|event| event["auditID"] == id).collect() };
    let [made] = of("made")[..] else { panic!("{text}") };
    assert_eq!((&made["kind"], &made["apiVersion"]), (&"Event".into(), &"audit.k8s.io/v1".into()));
    assert_eq!((&made["level"], &made["stage"]), (&"RequestResponse".into(), &"ResponseComplete".into()));
    assert_eq!((&made["verb"], &made["requestURI"]), (&"create".into(), &MAPS.into()));
    assert_eq!(made["user"]["username"], "kubernetes-admin");
    assert_eq!(made["userAgent"], "tester/1");
    assert_eq!(made["sourceIPs"], serde_json::json!(["192.0.2.7", "127.0.0.1"]));
    assert_eq!(
        made["objectRef"],
        serde_json::json!({"resource": "configmaps", "namespace": "default", "apiVersion": "v1"})
    );
    assert_eq!(made["requestObject"]["data"]["k"], "v");
    assert_eq!(made["responseObject"]["metadata"]["name"], "a");
    assert!(made["responseObject"]["metadata"].get("managedFields").is_none());
    assert_eq!(made["responseStatus"]["code"], 201);
    assert_eq!(made["annotations"]["authorization.k8s.io/decision"], "allow");
    let [missing] = of("missing")[..] else { panic!("{text}") };
    assert_eq!(
        (&missing["responseStatus"]["code"], &missing["responseStatus"]["reason"]),
        (&404.into(), &"NotFound".into())
    );
    let [refused] = of("refused")[..] else { panic!("{text}") };
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert!(refused.get("responseObject").is_none(), "{refused}");
    let [other] = of("other")[..] else { panic!("{text}") };
    assert_eq!(
        (&other["user"]["username"], &other["impersonatedUser"]["username"]),
        (&"kubernetes-admin".into(), &"alice".into())
    );
    assert_eq!(of("path").len(), 1);
    let stages: Vec<&Value> = of("watch").iter().map(|event| &event["stage"]).collect();
    assert_eq!(stages, ["ResponseStarted", "ResponseComplete"]);
    let by_grpc = events.iter().find(|event| event["requestURI"] == "/keelson.api.v1.Resources/Get");
    let by_grpc = by_grpc.unwrap_or_else(|| panic!("{text}"));
    assert_eq!((&by_grpc["verb"], &by_grpc["responseStatus"]["code"]), (&"get".into(), &403.into()));
    assert_eq!((&by_grpc["user"]["username"], &by_grpc["objectRef"]["resource"]), (&"alice".into(), &"nodes".into()));
}
