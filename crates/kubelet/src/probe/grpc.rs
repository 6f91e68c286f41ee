//! The gRPC health check of a probe: `grpc.health.v1.Health/Check`, spoken with a message of our own.

use std::net::IpAddr;
use std::time::Duration;

use tonic::transport::Endpoint;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

/// Ok when the service serves; otherwise why not.
pub async fn check(ip: IpAddr, port: u16, service: &str, timeout: Duration) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| crate::images::chain(error);
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}")).map_err(|error| failed(&error))?;
    let call = async {
        let channel = endpoint.connect().await.map_err(|error| failed(&error))?;
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.map_err(|error| failed(&error))?;
        let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let request = HealthCheckRequest { service: service.into() };
        let answer = client.unary(tonic::Request::new(request), path, codec).await;
        match answer {
            Ok(answer) if answer.get_ref().status == SERVING => Ok(()),
            Ok(answer) => {
                let name = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
                let status = name.get(answer.get_ref().status as usize).copied().unwrap_or("UNKNOWN");
                Err(format!("service unhealthy (responded with \"{status}\")"))
            }
            Err(status) => Err(format!("error: health rpc failed: {}", status.message())),
        }
    };
    match tokio::time::timeout(timeout, call).await {
        Ok(result) => result,
        Err(_) => Err(format!(
            "timeout: failed to connect service \"{host}:{port}\" within {}s: context deadline exceeded",
            timeout.as_secs()
        )),
    }
}
