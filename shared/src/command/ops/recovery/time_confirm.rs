use crate::clock::WallTime;
use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::hex;
use crate::operator::Role;
use crate::time_range::rfc3339;

/// Confirms that the node's clock is right, after it was stepped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeConfirm {
    /// The incident that the step opened.
    pub incident: [u8; 16],
    /// What the node's clock says, microseconds since the Unix epoch: this is what is confirmed.
    pub now_us: u64,
}

impl OperationSpec for TimeConfirm {
    const NAME: &'static str = "time.confirm";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["01010101010101010101010101010101", "1793182800000000"]];

    fn args(&self) -> Args {
        vec![("incident", hex(&self.incident)), ("now_us", self.now_us.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { incident: v.hex(0)?, now_us: v.number(1)? })
    }

    fn object(&self) -> String {
        "clock".to_owned()
    }

    fn sentence(&self) -> String {
        format!("Confirm that the node's clock is right: {}", rfc3339(WallTime::from_micros(self.now_us)))
    }
}
