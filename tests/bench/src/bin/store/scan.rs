//! Counts the fields of a message without decoding it. Pure.

use anyhow::{Result, bail};

/// The events of a WatchResponse.
pub const WATCH_EVENTS: u64 = 11;

/// How often a field stands at a message's top.
pub fn count(mut message: &[u8], field: u64) -> Result<u64> {
    let mut found = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        found += u64::from(tag >> 3 == field);
        match tag & 7 {
            0 => drop(varint(&mut message)?),
            2 => {
                let len = varint(&mut message)? as usize;
                let Some(rest) = message.get(len..) else { bail!("a field is cut off") };
                message = rest;
            }
            other => bail!("wire type {other}"),
        }
    }
    Ok(found)
}

fn varint(message: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((byte, rest)) = message.split_first() else { bail!("a number is cut off") };
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number is too long")
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::etcdserverpb::{ResponseHeader, WatchResponse};
    use proto::mvccpb::Event;

    use super::*;

    #[test]
    fn events_are_counted() {
        let events = vec![Event::default(); 3];
        let header = Some(ResponseHeader { revision: 300, ..Default::default() });
        let message = WatchResponse { header, watch_id: 5, events, ..Default::default() }.encode_to_vec();
        assert_eq!(count(&message, WATCH_EVENTS).unwrap(), 3);
        assert!(count(&message[..message.len() - 1], WATCH_EVENTS).is_err());
    }
}
