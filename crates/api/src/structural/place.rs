//! Where in an object something is, as texts of refusals name it.

/// A place; its name is made only where something is said of it.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// The value itself; the text is the field that it is part of, empty for a whole object.
    Root(&'a str),
    /// A field that the schema names.
    Field(&'a Place<'a>, &'a str),
    /// A field that it does not name.
    Entry(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Root(_))
    }

    /// The place that this is within, at the top.
    pub fn top(&self) -> Self {
        match self {
            Self::Root(_) => *self,
            Self::Field(parent, _) | Self::Entry(parent, _) => parent.top(),
            Self::Item(parent, _) => parent.top(),
        }
    }

    /// The name within the value: `spec.list[0].x`; empty for the value itself.
    pub fn name(&self) -> String {
        match self {
            Self::Root(_) => String::new(),
            Self::Field(parent, name) => match parent.name() {
                above if above.is_empty() => (*name).to_owned(),
                above => format!("{above}.{name}"),
            },
            Self::Entry(parent, name) => format!("{}.{name}", parent.name()),
            Self::Item(parent, index) => format!("{}[{index}]", parent.name()),
        }
    }

    /// The field of a cause; upstream's word for a whole object is `<nil>`.
    pub fn field(&self) -> String {
        let Self::Root(base) = self.top() else { return self.name() };
        let name = self.name();
        match (base, name.trim_start_matches('.')) {
            ("", "") => "<nil>".to_owned(),
            ("", name) => name.to_owned(),
            (base, "") => base.to_owned(),
            (base, name) => format!("{base}.{name}"),
        }
    }
}
