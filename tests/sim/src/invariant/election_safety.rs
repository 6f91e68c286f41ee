//! Election safety: a term has one leader at most.

use std::collections::BTreeMap;

#[derive(Default)]
pub struct Elections {
    leaders: BTreeMap<u64, u64>,
}

impl Elections {
    /// A member leads in a term; whether that is news.
    pub fn leads(&mut self, term: u64, member: u64) -> Result<bool, String> {
        match self.leaders.insert(term, member) {
            None => Ok(true),
            Some(before) if before == member => Ok(false),
            Some(before) => Err(format!("members {before} and {member} both lead in term {term}")),
        }
    }

    pub fn terms(&self) -> u64 {
        self.leaders.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leaders_in_one_term_are_objected_to() {
        let mut elections = Elections::default();
        assert_eq!(elections.leads(1, 1), Ok(true));
        assert_eq!(elections.leads(2, 2), Ok(true));
        assert_eq!(elections.leads(1, 1), Ok(false));
        assert!(elections.leads(2, 1).is_err());
    }
}
