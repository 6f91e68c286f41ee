//! What is kept from pods: `cpu=100m,memory=256Mi,ephemeral-storage=1Gi`.

/// Amounts that pods do not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    pub cpu_m: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

impl Reserved {
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu_m: self.cpu_m.saturating_add(other.cpu_m),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }
}

impl std::str::FromStr for Reserved {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reserved = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("{part:?} is not like cpu=100m or memory=256Mi");
            let (name, amount) = part.split_once('=').ok_or_else(wrong)?;
            let amount: api::quantity::Amount = amount.trim().parse().map_err(|_| wrong())?;
            let positive = |number: i64| u64::try_from(number).map_err(|_| wrong());
            match name.trim() {
                "cpu" => reserved.cpu_m = positive(amount.milli())?,
                "memory" => reserved.memory_bytes = positive(amount.value())?,
                "ephemeral-storage" => reserved.disk_bytes = positive(amount.value())?,
                other => return Err(format!("{other:?} cannot be reserved; cpu, memory, ephemeral-storage can")),
            }
        }
        Ok(reserved)
    }
}
