//! Policy profiles, freezes and break-glass.

use crate::command::ops;
use crate::control::ControlState;
use crate::profile::{BreakGlass, Freeze};

impl ControlState {
    pub(super) fn profile_create(&mut self, op: ops::ProfileCreate) {
        self.profiles.entry(op.profile).or_default();
    }

    pub(super) fn profile_set(&mut self, op: ops::ProfileSet) {
        self.profiles.entry(op.profile).or_default().set(op.setting);
    }

    pub(super) fn profile_window(&mut self, op: ops::ProfileWindow) {
        let windows = &mut self.profiles.entry(op.profile.clone()).or_default().windows;
        if windows.get(&op.window) != Some(&op.when) {
            windows.insert(op.window.clone(), op.when);
            // Whether the new one is open is for the next fact to say.
            self.window_closed(&op.profile, &op.window);
        }
    }

    pub(super) fn profile_unwindow(&mut self, op: &ops::ProfileUnwindow) {
        if let Some(p) = self.profiles.get_mut(&op.profile) {
            p.windows.remove(&op.window);
        }
        self.window_closed(&op.profile, &op.window);
    }

    pub(super) fn profile_assign(&mut self, op: ops::ProfileAssign) {
        self.profile = Some(op.profile);
    }

    pub(super) fn freeze_set(&mut self, op: ops::FreezeSet) {
        let new = Freeze { until_us: op.until_us };
        let f = self.freezes.entry(op.freeze).or_insert(new);
        if new.lasts(*f) {
            *f = new;
        }
    }

    pub(super) fn freeze_clear(&mut self, op: &ops::FreezeClear) {
        self.freezes.remove(&op.freeze);
    }

    pub(super) fn break_glass_open(&mut self, op: ops::BreakGlassOpen) {
        // It is never prolonged: while one is open no other opens.
        self.break_glass.get_or_insert(BreakGlass {
            grant: op.grant,
            ticket: op.ticket,
            minutes: op.minutes,
            person: None,
            alone: false,
            opened_us: 0,
            used: 0,
        });
    }

    pub(super) fn break_glass_close(&mut self, op: &ops::BreakGlassClose) {
        self.break_glass.take_if(|g| g.grant == op.grant);
    }
}
