use apiserver::{
    discovery::{Catalog, Discovery, Form},
    openapi::{Answer, OpenApi, Request},
    registry::Registry,
};
use std::sync::Arc;
use std::time::Instant;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let registry = Registry::new();
    let t = Instant::now();
    let discovery = Discovery::new(&registry, "1.2.3.4:6443".into());
    let catalog: Arc<Catalog> = discovery.catalog();
    println!("catalog {:?}", t.elapsed());
    let t = Instant::now();
    let d = discovery.document("/apis", Form::AggregatedJson).unwrap();
    println!("aggregated {:?} {}", t.elapsed(), d.body.len());
    let api = OpenApi::new(catalog);
    let get = |path: &str, accept: &str, gzip| {
        let t = Instant::now();
        let Answer::Document(d) = api.answer(Request { path, accept, gzip, hash: None }).unwrap() else {
            panic!("{path}")
        };
        println!("{path} {accept} gzip={gzip} {:?} {}", t.elapsed(), d.body.len());
        d.body
    };
    let index = get("/openapi/v3", "", false);
    get("/openapi/v2", "", true);
    let pb = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    get("/openapi/v2", pb, true);
    std::fs::create_dir_all(&dir).unwrap();
    let w = |name: String, body: &[u8]| {
        let p = format!("{dir}/{name}");
        std::fs::create_dir_all(std::path::Path::new(&p).parent().unwrap()).unwrap();
        std::fs::write(p, body).unwrap()
    };
    w("v3.json".into(), &index);
    w("v2.json".into(), &get("/openapi/v2", "", false));
    w("v2.pb".into(), &get("/openapi/v2", pb, false));
    let v: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut gz = 0;
    for k in v["paths"].as_object().unwrap().keys() {
        gz += get(&format!("/openapi/v3/{k}"), "", true).len();
        w(format!("v3/{}.json", k.replace('/', "__")), &get(&format!("/openapi/v3/{k}"), "", false));
    }
    println!("gz total {gz}");
}
