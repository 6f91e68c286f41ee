//! Match conditions: expressions that all have to hold before a webhook or a policy is asked.

use cel::Scope;
use proto::admissionregistration::v1::MatchCondition;

use super::expression::{Budget, Expression, environment};

/// The conditions of one webhook or policy.
#[derive(Debug, Default)]
pub struct Conditions(Vec<Expression>);

impl Conditions {
    /// Reads them.
    pub fn new(conditions: &[MatchCondition]) -> Self {
        let env = environment();
        Self(conditions.iter().map(|condition| Expression::new(&env, &condition.expression)).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold. One that does not decides, whatever became of the others; else a failed one does: where
    /// failures open the way nobody is asked, where they close it the error is the answer.
    pub fn hold<'a>(&'a self, scope: &Scope<'a>, fails_open: bool) -> Result<bool, String> {
        let mut budget = Budget::WHOLE;
        let mut failures = Vec::new();
        for condition in &self.0 {
            match condition.evaluate(scope, &mut budget) {
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(_) => {}
                Err(wrong) => failures.push(wrong.to_string()),
            }
        }
        match failures.as_slice() {
            [] => Ok(true),
            _ if fails_open => Ok(false),
            [one] => Err(one.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use cel::of_json;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(expressions: &[&str], fails_open: bool, expect: Result<bool, &str>) {
        let conditions: Vec<MatchCondition> = expressions
            .iter()
            .map(|text| MatchCondition { name: "c".into(), expression: (*text).to_owned() })
            .collect();
        let object = json!({"a": 1});
        let conditions = Conditions::new(&conditions);
        let scope = Scope::new().with("object", of_json(&object, None));
        assert_eq!(conditions.hold(&scope, fails_open), expect.map_err(str::to_owned), "{expressions:?}");
    }

    #[test]
    fn what_does_not_hold_decides_before_what_fails() {
        let failed = "expression 'object.b == 1' resulted in error: no such key: b";
        check(&[], false, Ok(true));
        check(&["object.a == 1", "true"], false, Ok(true));
        check(&["object.a == 1", "false"], false, Ok(false));
        check(&["object.b == 1", "false"], false, Ok(false));
        check(&["object.b == 1", "true"], false, Err(failed));
        check(&["object.b == 1", "true"], true, Ok(false));
        check(&["object.b == 1", "object.b == 1"], false, Err(&format!("[{failed}, {failed}]")));
    }
}
