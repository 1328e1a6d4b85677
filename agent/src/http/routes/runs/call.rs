//! The mutation that a path names.

use conductor_shared::routes::Name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    RunStart,
    StepStart(&'a str),
    StepFinish(&'a str, &'a str),
    Heartbeat(&'a str),
    Approve(&'a str),
    RunFinish(&'a str),
    RunCancel(&'a str),
}

impl<'a> Call<'a> {
    /// `None` if the path is none of these; the router then decides.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/runs")?;
        if rest.is_empty() {
            return Some(Self::RunStart);
        }
        let (run, rest) = rest.strip_prefix('/')?.split_once('/')?;
        match rest {
            "steps" => Some(Self::StepStart(run)),
            "heartbeat" => Some(Self::Heartbeat(run)),
            "approvals" => Some(Self::Approve(run)),
            "finish" => Some(Self::RunFinish(run)),
            "cancel" => Some(Self::RunCancel(run)),
            _ => {
                let step = rest.strip_prefix("steps/")?.strip_suffix("/finish")?;
                (!step.contains('/')).then_some(Self::StepFinish(run, step))
            }
        }
    }

    /// Name in the table of routes.
    pub(crate) fn name(self) -> Name {
        match self {
            Self::RunStart => Name::RunStart,
            Self::StepStart(_) => Name::StepStart,
            Self::StepFinish(..) => Name::StepFinish,
            Self::Heartbeat(_) => Name::RunHeartbeat,
            Self::Approve(_) => Name::ApprovalDecide,
            Self::RunFinish(_) => Name::RunFinish,
            Self::RunCancel(_) => Name::RunCancel,
        }
    }

    /// The object, to which an idempotency key is bound.
    pub(super) fn object(self) -> String {
        match self {
            Self::RunStart => String::new(),
            Self::StepFinish(run, step) => format!("{run}/{step}"),
            Self::StepStart(run)
            | Self::Heartbeat(run)
            | Self::Approve(run)
            | Self::RunFinish(run)
            | Self::RunCancel(run) => run.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::routes::ROUTES;

    /// SPEC 1.2: each mutation of workloads in the table of routes is one of these, and nothing else is.
    #[test]
    fn calls_are_those_of_the_table() {
        let mut found = 0;
        for route in ROUTES {
            let path = route.path.replace("{run}", "0a").replace("{step}", "7");
            let call = Call::of(&path).map(Call::name);
            let changes = route.mutates();
            assert_eq!(call, changes.then_some(route.name), "{path}");
            found += usize::from(changes);
        }
        assert_eq!(found, 7);
        assert_eq!(Call::of("/v1/runs/0a/steps/7/finish"), Some(Call::StepFinish("0a", "7")));
        for other in [
            "/v1/runs/",
            "/v1/runsx",
            "/v1/runs//",
            "/v1/runs/a",
            "/v1/runs/a/",
            "/v1/runs/a/steps/",
            "/v1/runs/a/steps/7",
            "/v1/runs/a/steps/7/8/finish",
            "/v1/runs/a/steps/7/finish/",
            "/v1/runs/a/finish/",
            "/v1",
            "",
        ] {
            assert_eq!(Call::of(other), None, "{other}");
        }
    }
}
