//! Reads what a function takes and gives: `list<A>.(A) -> int`.

use crate::types::Type;

/// Whether it is called on a value, what it takes, what it gives, and how many type variables it has.
///
/// # Panics
/// Where a library's table is wrong, which the first use of any function shows.
pub fn read(form: &str) -> (bool, Vec<Type>, Type, u32) {
    let mut reader = Reader { rest: form.trim(), variables: 0 };
    let mut args = Vec::new();
    let member = !reader.rest.starts_with('(');
    if member {
        args.push(reader.one());
        reader.take(".");
    }
    reader.take("(");
    while !reader.rest.starts_with(')') {
        args.push(reader.one());
        if reader.rest.starts_with(',') {
            reader.take(",");
        }
    }
    reader.take(")");
    reader.take("->");
    let result = reader.one();
    assert!(reader.rest.is_empty(), "a library's table: {form} has something after its end");
    (member, args, result, reader.variables)
}

struct Reader<'t> {
    rest: &'t str,
    variables: u32,
}

impl Reader<'_> {
    fn take(&mut self, sign: &str) {
        let rest = self.rest.trim_start();
        self.rest =
            rest.strip_prefix(sign).unwrap_or_else(|| panic!("a library's table: {sign} before {rest}")).trim_start();
    }

    fn inner(&mut self) -> Type {
        self.take("<");
        let inner = self.one();
        self.take(">");
        inner
    }

    fn one(&mut self) -> Type {
        let end = self.rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        let found = match word {
            "dyn" => Type::Dyn,
            "null" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "duration" => Type::Duration,
            "timestamp" => Type::Timestamp,
            "A" => Type::Var(0),
            "B" => Type::Var(1),
            "list" => Type::list(self.inner()),
            "optional" => Type::optional(self.inner()),
            "type" => Type::TypeOf(self.inner().into()),
            "map" => {
                self.take("<");
                let keys = self.one();
                self.take(",");
                let values = self.one();
                self.take(">");
                Type::map(keys, values)
            }
            other => crate::library::opaque(other).unwrap_or_else(|| panic!("a library's table: no type {other}")),
        };
        if let Type::Var(number) = found {
            self.variables = self.variables.max(number + 1);
        }
        found
    }
}
