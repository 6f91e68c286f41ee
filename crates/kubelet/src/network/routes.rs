//! Routes to the pods of other nodes, kept equal to what the Node objects say.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::Error;

/// Marks our routes in the kernel's table, so that a restarted kubelet knows them.
const PROTOCOL: u8 = 75;

/// Makes the routes be exactly these: range of pods -> address of their node.
pub async fn sync(handle: &Handle, wanted: &BTreeMap<Ipv4Net, Ipv4Addr>) -> Result<(), Error> {
    let present = present(handle).await?;
    for (range, message) in &present {
        if !wanted.contains_key(range) {
            let removed = handle.route().del(message.clone()).execute().await;
            removed.map_err(Error::netlink("remove route to", range))?;
        }
    }
    for (range, node) in wanted {
        let same = present.get(range).is_some_and(|route| gateway(route) == Some(*node));
        if same {
            continue;
        }
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range.network(), range.prefix_len())
            .gateway(*node)
            .protocol(RouteProtocol::Other(PROTOCOL))
            .build();
        let added = handle.route().add(route).replace().execute().await;
        added.map_err(Error::netlink("add route to", range))?;
    }
    Ok(())
}

async fn present(handle: &Handle) -> Result<BTreeMap<Ipv4Net, RouteMessage>, Error> {
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let routes = handle.route().get(all).execute().try_collect::<Vec<_>>().await;
    let routes = routes.map_err(Error::netlink("list", "routes"))?;
    let ours = routes.into_iter().filter(|route| u8::from(route.header.protocol) == PROTOCOL);
    Ok(ours.filter_map(|route| Some((destination(&route)?, route))).collect())
}

fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    Ipv4Net::new(address, route.header.destination_prefix_length).ok()
}

fn gateway(route: &RouteMessage) -> Option<Ipv4Addr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

/// The index of the link by which this node reaches the world.
pub async fn default_link(handle: &Handle) -> Option<u32> {
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let routes = handle.route().get(all).execute().try_collect::<Vec<_>>().await.ok()?;
    let default = routes.into_iter().find(|route| route.header.destination_prefix_length == 0)?;
    default.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// The address under which this node reaches the world, or the first that is not loopback.
pub async fn node_address(handle: &Handle) -> Option<IpAddr> {
    use rtnetlink::packet_route::address::AddressAttribute;
    let link = default_link(handle).await;
    let addresses = handle.address().get().execute().try_collect::<Vec<_>>().await.ok()?;
    let mut found: Vec<(bool, IpAddr)> = addresses
        .into_iter()
        .filter_map(|message| {
            let chosen = link.is_some_and(|link| link == message.header.index);
            message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address @ IpAddr::V4(v4)) if !v4.is_loopback() => Some((!chosen, *address)),
                _ => None,
            })
        })
        .collect();
    found.sort();
    found.first().map(|(_, address)| *address)
}
