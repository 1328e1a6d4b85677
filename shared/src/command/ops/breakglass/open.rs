use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::GrantId;
use crate::operator::Role;
use crate::profile::{MAX_MINUTES, is_ticket};

/// Opens break-glass for a tenant or the node: it lifts the freezes there and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlassOpen {
    /// Its id, random.
    pub grant: GrantId,
    /// What it is for; see [`crate::profile::is_ticket`].
    pub ticket: String,
    /// How long, 1 to 60.
    pub minutes: u64,
}

impl OperationSpec for BreakGlassOpen {
    const NAME: &'static str = "breakglass.open";
    const SCOPE: Scope = Scope::AnyLog;
    const ROLES: &'static [Role] = &[Role::BreakGlass];
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["01010101010101010101010101010101", "INC-7", "60"]];

    fn args(&self) -> Args {
        vec![
            ("grant", self.grant.to_string()),
            ("ticket", self.ticket.clone()),
            ("minutes", self.minutes.to_string()),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self {
            grant: v.read(0)?,
            ticket: v.text(1).filter(|t| is_ticket(t))?.to_owned(),
            minutes: v.number(2).filter(|m| (1..=MAX_MINUTES).contains(m))?,
        })
    }

    fn object(&self) -> String {
        format!("break-glass {}", self.grant)
    }

    fn sentence(&self) -> String {
        format!("Open break-glass for {} minutes, ticket {}", self.minutes, self.ticket)
    }
}
