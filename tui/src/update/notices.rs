//! Results of commands, for the dialog that waits for them. Pure.

use crate::model::Model;
use crate::model::confirmation::object_words;
use crate::model::dialog::{Layer, Notice};
use crate::model::message::Refusal;
use crate::model::outgoing::Outgoing;
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{CommandOutcome, CommandStatus};

pub(crate) fn answered(m: &mut Model, ticket: u64, got: &Result<CommandOutcome, Refusal>) {
    report(m, ticket, notice(got));
}

/// All nodes answered, or it is kept for those that did not.
pub(crate) fn kept(m: &mut Model, ticket: u64, o: Outgoing) {
    let mut lines = vec![o.what.clone()];
    lines.extend(o.lines());
    if !o.waiting().is_empty() {
        lines.push(format!(
            "Kept until {}Z; delivered when they are back.",
            crate::text::format::clock(o.expires)
        ));
        lines.push("Also without the console: conductor command deliver --wait".into());
    }
    report(m, ticket, Notice { title: o.status_line.clone(), lines, good: !o.open(m.now.wall) });
    m.outgoing.retain(|x| x.id != o.id);
    m.outgoing.push(o);
}

/// Shows a notice in the dialog that waited for it, else in the line at the bottom.
fn report(m: &mut Model, ticket: u64, notice: Notice) {
    let waited = m.layers.iter().position(|l| matches!(l, Layer::Waiting(w) if w.ticket == ticket));
    m.dirty = true;
    let Some(at) = waited else {
        // The dialog was closed: use the line at the bottom.
        m.say(format!("{}: {}", notice.title, notice.lines.first().cloned().unwrap_or_default()));
        return;
    };
    m.layers.remove(at);
    m.layers.push(Layer::Notice(notice));
}

fn notice(got: &Result<CommandOutcome, Refusal>) -> Notice {
    match got {
        Ok(o) if o.status == CommandStatus::Effective => Notice {
            title: "Done".into(),
            lines: vec![
                format!("{} -> {}", object_words(&o.before), object_words(&o.after)),
                format!(
                    "{}, receipt {}{}",
                    if o.class == ChangeClass::Tighten { "tightened" } else { "loosened" },
                    o.receipt.index,
                    o.proposal.map_or(String::new(), |p| format!(", proposed in {}", p.index))
                ),
            ],
            good: true,
        },
        Ok(o) if o.status == CommandStatus::Requested => Notice {
            title: "Waits for another person".into(),
            lines: vec![
                "Nothing has changed yet. Another person approves it with:".into(),
                format!("conductor approval give {}", o.command_id),
                format!("receipt {}", o.receipt.index),
            ],
            good: true,
        },
        Ok(o) => {
            let mut lines = vec!["It was abandoned: nothing was loosened.".to_owned()];
            lines.extend(o.reasons.iter().map(|r| format!("{r}: {} {}", r.description().trim(), r.remedy())));
            lines.push(format!("receipt {}", o.receipt.index));
            Notice { title: "Not done".into(), lines, good: false }
        }
        Err(r) => Notice {
            title: if r.unknown { "No answer" } else { "Refused" }.into(),
            lines: vec![r.what.clone(), r.remedy.clone()].into_iter().filter(|l| !l.is_empty()).collect(),
            good: false,
        },
    }
}
