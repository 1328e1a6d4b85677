//! The list of screens.

/// A main screen or what was opened from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Screen {
    /// Nodes, and what needs attention.
    Overview,
    Tenants,
    /// Receipts of one log.
    Receipts,
    /// What waits for a second person.
    Approvals,
    Incidents,
    /// Ramp rules of the selected tenant, and their SLO status.
    Ramps,
    /// Freeze windows on a calendar, and what is frozen.
    Freezes,
    /// Persons, their keys and roles; tokens.
    Admin,
    /// What the selected tenant used.
    Usage,
    Cost,
    /// What happened around an incident.
    Timeline,
    Tenant,
    Receipt,
}

impl Screen {
    /// Its word in the tabs.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// Lists that are polled while shown; they share one cursor and one filter.
    pub(crate) fn is_polled(self) -> bool {
        matches!(
            self,
            Self::Incidents
                | Self::Timeline
                | Self::Ramps
                | Self::Freezes
                | Self::Admin
                | Self::Usage
                | Self::Cost
        )
    }

    /// Screens with a number key.
    pub(crate) const MAIN: [Screen; 10] = [
        Self::Overview,
        Self::Tenants,
        Self::Receipts,
        Self::Approvals,
        Self::Incidents,
        Self::Ramps,
        Self::Freezes,
        Self::Admin,
        Self::Usage,
        Self::Cost,
    ];
}
