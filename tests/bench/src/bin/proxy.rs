//! How long the kernel's tables take, through the installed `nft`, in a network namespace of its own: all Services at once, a
//! restart that finds them there, and a change of one Service. Needs root, nftables, iproute2 and util-linux.
//!
//! Prints one JSON line for each size.

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use proto::core::v1 as core;
use proto::discovery::v1 as discovery;
use proxy::endpoint::Place;
use proxy::kernel::Kernel;
use proxy::nft::Nft;
use proxy::render::{NodePortAddresses, Renderer};
use proxy::ruleset::Settings;
use proxy::service::ServiceName;
use proxy::state::State;
use serde_json::{Value, json};

/// Writes the tables of many Services.
#[derive(Debug, Parser)]
struct Options {
    /// Services; several, joined by commas, are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 3000])]
    services: Vec<usize>,
    /// Endpoints of each.
    #[arg(long, default_value_t = 4)]
    endpoints: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    for services in options.services {
        println!("{}", measure(services, options.endpoints).await?);
    }
    Ok(())
}

async fn measure(services: usize, endpoints: usize) -> Result<Value> {
    ensure!(services > 7 && services * endpoints < 60_000, "between 8 Services and 60000 endpoints");
    let space = Space::make(services)?;
    let renderer = Renderer { node_ports: NodePortAddresses::All, masquerade_mark: 0x4000 };
    let kernel = Nft { program: space.enter("nft"), renderer };
    let place = Place { node: "node-1".into(), zone: None };
    let cluster_cidrs = vec!["10.244.0.0/16".parse()?];
    let mut state = State::new(Settings { place, cluster_cidrs, masquerade_all: false });
    for index in 0..services {
        let name = format!("s{index}");
        state.service_changed(ServiceName::new("n", &name), Some(&service(&name, index)));
        state.slice_changed(None, Some(Arc::new(slice(&name, index, endpoints))));
    }
    let began = Instant::now();
    kernel.apply(&state.plan().steps).await?;
    let cold = began.elapsed();
    let began = Instant::now();
    let found = kernel.read().await?;
    kernel.apply(&state.reconcile(&found).steps).await?;
    let restart = began.elapsed();
    let (before, after) = (slice("s7", 7, endpoints), slice("s7", services, 1));
    state.slice_changed(Some(&before), Some(Arc::new(after)));
    let began = Instant::now();
    kernel.apply(&state.plan().steps).await?;
    let change = began.elapsed();
    Ok(json!({
        "bench": "proxy", "services": services, "endpoints": services * endpoints,
        "cold_s": cold.as_secs_f64(), "restart_s": restart.as_secs_f64(), "change_s": change.as_secs_f64(),
    }))
}

fn service(name: &str, index: usize) -> core::Service {
    let mut service = core::Service::default();
    (service.metadata.namespace, service.metadata.name) = ("n".into(), name.into());
    service.spec.cluster_ips = vec![format!("10.97.{}.{}", index / 250, index % 250 + 1)];
    service.spec.ports = vec![core::ServicePort { port: 80, protocol: "TCP".into(), ..Default::default() }];
    service
}

fn slice(name: &str, index: usize, endpoints: usize) -> discovery::EndpointSlice {
    let mut slice = discovery::EndpointSlice { address_type: "IPv4".into(), ..Default::default() };
    (slice.metadata.namespace, slice.metadata.name) = ("n".into(), name.into());
    slice.metadata.labels.insert("kubernetes.io/service-name".into(), name.into());
    let (name, protocol) = (Some(String::new()), Some("TCP".to_owned()));
    slice.ports = vec![discovery::EndpointPort { name, protocol, port: Some(80), ..Default::default() }];
    slice.endpoints = (index * endpoints..(index + 1) * endpoints)
        .map(|number| {
            let address = format!("10.244.{}.{}", number / 250, number % 250 + 1);
            discovery::Endpoint { addresses: vec![address], node_name: Some("node-1".into()), ..Default::default() }
        })
        .collect();
    slice
}

/// A network namespace that goes with the value.
struct Space(String);

impl Space {
    fn make(number: usize) -> Result<Self> {
        let space = Self(format!("keelson-bench-{}-{number}", std::process::id()));
        ip("add", &space.0)?;
        Ok(space)
    }

    fn enter(&self, program: &str) -> Vec<String> {
        ["nsenter", &format!("--net=/run/netns/{}", self.0), "--", program].map(str::to_owned).into()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Err(error) = ip("del", &self.0) {
            eprintln!("{error}");
        }
    }
}

fn ip(verb: &str, name: &str) -> Result<()> {
    let status = Command::new("ip").args(["netns", verb, name]).status().context("running ip (Debian's iproute2)")?;
    ensure!(status.success(), "ip netns {verb} {name}: {status}");
    Ok(())
}
