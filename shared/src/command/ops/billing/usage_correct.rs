use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::meter::Adjustment;
use crate::operator::Role;

/// Corrects metered usage by compensating events. They count in the periods they correct, backfill included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageCorrect {
    /// Each an event. At least one.
    pub adjustments: Vec<Adjustment>,
}

impl OperationSpec for UsageCorrect {
    const NAME: &'static str = "usage.correct";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&[
        "step_executed 900000000 production service etl -1 -7",
        "run_started 900000000 production service etl 2 2",
    ]];

    fn args(&self) -> Args {
        self.adjustments.iter().map(|a| ("adjustment", a.to_string())).collect()
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let adjustments: Vec<Adjustment> = v.rest(0).iter().map(|a| a.parse().ok()).collect::<Option<_>>()?;
        (!adjustments.is_empty()).then_some(Self { adjustments })
    }

    fn object(&self) -> String {
        "usage".to_owned()
    }

    fn sentence(&self) -> String {
        format!("Correct metered usage by {} events", self.adjustments.len())
    }
}
