//! All functions and operators: their names, what they take and give, what they cost, and what does them.
//!
//! A library is a table of [`Row`]s. What a function takes is written as text, one form beside the other:
//! `list<A>.indexOf` is `list<A>.(A) -> int`, `size` is `(string) -> int | string.() -> int`.

mod signature;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::cost::Cost;
use crate::error::Error;
use crate::eval::Vm;
use crate::library;
use crate::types::Type;
use crate::value::Value;

/// What does a function. A value that it is called on is the first of the arguments.
pub type Implementation = for<'a> fn(&mut Vm<'a, '_>, &[Value<'a>]) -> Result<Value<'a>, Error>;

/// A function in a library.
pub struct Row {
    pub name: &'static str,
    pub forms: &'static str,
    pub cost: Cost,
    pub call: Implementation,
}

/// A function as expressions find it.
pub struct Function {
    pub name: &'static str,
    pub overloads: Vec<Overload>,
}

/// One form of a function.
#[derive(Debug)]
pub struct Overload {
    /// The first argument stands before a dot.
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
    /// How many type variables it has.
    pub variables: u32,
    pub cost: Cost,
    pub call: Call,
}

/// An implementation, told apart by nothing.
#[derive(Clone, Copy)]
pub struct Call(pub Implementation);

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    /// What does the function for so many arguments, and what that costs. The forms of one number of arguments that differ
    /// by their types share an implementation where they are of one library; else the value decides ([`Self::candidates`]).
    pub fn candidates(&self, member: bool, args: usize) -> impl Iterator<Item = &Overload> {
        self.overloads.iter().filter(move |overload| overload.member == member && overload.args.len() == args)
    }
}

static ALL: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let mut all: HashMap<&'static str, Function> = HashMap::new();
    for row in library::rows() {
        let function = all.entry(row.name).or_insert_with(|| Function { name: row.name, overloads: Vec::new() });
        for form in row.forms.split(" | ") {
            let (member, args, result, variables) = signature::read(form);
            let (cost, call) = (row.cost, Call(row.call));
            function.overloads.push(Overload { member, args, result, variables, cost, call });
        }
    }
    all
});

/// The function of a name, operators among them: `_+_`, `!_`, `_[_]`.
pub fn find(name: &str) -> Option<&'static Function> {
    ALL.get(name)
}
