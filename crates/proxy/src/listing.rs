//! What `nft -j list table` printed, to what the proxy needs to know of it.
//!
//! Read as plain JSON: a listing may hold forms that typed readers do not know.

use serde_json::Value;

use crate::diff::Found;
use crate::render::base::chain_names;
use crate::render::read_key;
use crate::table::{DROP_CHAIN, Family, Map, Target};

/// Adds the table of one family to `found`. Elements that cannot be read (they are not ours) are an error: the caller
/// then makes the table anew.
pub fn read(family: Family, text: &[u8], found: &mut Found) -> Result<(), String> {
    let all: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    found.families.insert(family);
    for object in all["nftables"].as_array().into_iter().flatten() {
        if let Some(chain) = object.get("chain") {
            let name = name(chain)?;
            if !chain_names().any(|base| base == name) {
                found.chains.insert((family, name.to_owned()));
            }
        }
        for set in ["set", "map"].iter().filter_map(|kind| object.get(kind)) {
            read_set(family, set, found)?;
        }
    }
    Ok(())
}

fn read_set(family: Family, set: &Value, found: &mut Found) -> Result<(), String> {
    let name = name(set)?;
    let Some(map) = Map::from_name(name) else {
        let timeout_s = set["timeout"].as_u64().and_then(|s| u32::try_from(s).ok()).unwrap_or_default();
        found.sets.insert((family, name.to_owned()), timeout_s);
        return Ok(());
    };
    for element in set["elem"].as_array().into_iter().flatten() {
        let (key, target) = match (map.is_set(), element.as_array()) {
            (true, _) => (element, Target::Member),
            (false, Some(pair)) if pair.len() == 2 => (&pair[0], target(&pair[1])?),
            _ => return Err(format!("element {element} of {name} has no verdict")),
        };
        let one = std::slice::from_ref(key);
        let parts = key["concat"].as_array().map_or(one, Vec::as_slice);
        let key = read_key(map, parts).ok_or_else(|| format!("element {element} of {name} is not ours"))?;
        found.elements.insert((family, map, key), target);
    }
    Ok(())
}

fn target(verdict: &Value) -> Result<Target, String> {
    match verdict["goto"]["target"].as_str() {
        Some(DROP_CHAIN) => Ok(Target::Drop),
        Some(chain) => Ok(Target::Goto(chain.to_owned())),
        None => Err(format!("verdict {verdict} is not ours")),
    }
}

fn name(object: &Value) -> Result<&str, String> {
    object["name"].as_str().ok_or_else(|| format!("{object} has no name"))
}
