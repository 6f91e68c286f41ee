//! What a member says of its resident memory in its /metrics.

use anyhow::{Context, bail};

use crate::command::store::remote::Remote;

const NAME: &str = "process_resident_memory_bytes";

/// Bytes, of the first endpoint.
pub async fn resident(remote: &Remote) -> anyhow::Result<u64> {
    let endpoint = remote.endpoints().into_iter().next().context("--endpoints names nobody")?;
    let text = remote.get(&endpoint, "/metrics").await?;
    let Some(bytes) = find(&text) else { bail!("the metrics of {endpoint} do not hold {NAME}") };
    Ok(bytes)
}

fn find(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(NAME))?;
    // Go writes large numbers as 4.5e+07.
    Some(line.trim().parse::<f64>().ok()? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_number_are_read() {
        let text =
            "# HELP process_resident_memory_bytes Resident\nprocess_resident_memory_bytes 4.5379584e+07\nother 1\n";
        assert_eq!(find(text), Some(45_379_584));
        assert_eq!(find("process_resident_memory_bytes 12345678\n"), Some(12_345_678));
        assert_eq!(find("nothing 1"), None);
    }
}
