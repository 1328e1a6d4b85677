use crate::clock::WallTime;
use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::{Ident, parse_decimal};
use crate::operator::Role;
use crate::time_range::rfc3339;

/// How no end is written.
const NO_END: &str = "none";

/// Freezes a tenant now. If a freeze of that name exists, the later end counts, so it never loosens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeSet {
    /// Its name.
    pub freeze: Ident,
    /// When it ends by itself, microseconds since the Unix epoch; `None` when somebody has to clear it.
    pub until_us: Option<u64>,
}

impl OperationSpec for FreezeSet {
    const NAME: &'static str = "freeze.set";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["now", "none"], &["now", "1793182800000000"]];

    fn args(&self) -> Args {
        vec![
            ("freeze", self.freeze.to_string()),
            ("until_us", self.until_us.map_or(NO_END.to_owned(), |u| u.to_string())),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let until_us = match v.text(1)? {
            NO_END => None,
            us => Some(parse_decimal(us)?),
        };
        Some(Self { freeze: v.ident(0)?, until_us })
    }

    fn object(&self) -> String {
        format!("freeze {}", self.freeze)
    }

    fn sentence(&self) -> String {
        let end =
            self.until_us.map_or("somebody lifts it".to_owned(), |us| rfc3339(WallTime::from_micros(us)));
        format!("Freeze ({}): loosen nothing until {end}", self.freeze)
    }

    fn is_absolute(&self) -> bool {
        true
    }

    fn names(&self) -> Option<&Ident> {
        Some(&self.freeze)
    }
}
