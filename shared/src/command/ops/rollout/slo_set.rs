use crate::basis_points::{BasisPoints, percent};
use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;
use crate::slo::Thresholds;

/// Sets the thresholds that a ramp must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SloSet {
    /// Which rule.
    pub selector: Selector,
    /// New thresholds.
    pub thresholds: Thresholds,
}

impl OperationSpec for SloSet {
    const NAME: &'static str = "slo.set";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const CONFIG: bool = true;
    const SAMPLES: &'static [&'static [&'static str]] = &[&["run/etl", "50", "2000000", "1000", "100"]];

    fn args(&self) -> Args {
        vec![
            ("selector", self.selector.to_string()),
            ("errors_hundredths", self.thresholds.errors_hundredths.get().to_string()),
            ("p99_us", self.thresholds.p99_us.to_string()),
            ("backlog", self.thresholds.backlog.to_string()),
            ("min_settled", self.thresholds.min_settled.to_string()),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let thresholds = Thresholds {
            errors_hundredths: v
                .hundredths(1)
                .filter(|h| *h > BasisPoints::ZERO && *h < BasisPoints::FULL)?,
            p99_us: v.number(2)?,
            backlog: v.number(3)?,
            min_settled: v.number(4).filter(|n| *n > 0)?,
        };
        Some(Self { selector: v.read(0)?, thresholds })
    }

    fn object(&self) -> String {
        format!("slo {}", self.selector)
    }

    fn sentence(&self) -> String {
        let t = &self.thresholds;
        format!(
            "Hold ramp {} to errors {}, p99 {} us and backlog {}, after {} settled runs",
            self.selector,
            percent(t.errors_hundredths),
            t.p99_us,
            t.backlog,
            t.min_settled
        )
    }
}
