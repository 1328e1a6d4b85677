//! Verifies exact bytes under an enrolled key, off the writer, before anything in them is parsed.

use crate::intake::request::{Signed, SignedApproval, Verified};
use conductor_shared::checkpoint::{key_id, verify_minisign};
use conductor_shared::command::{Command, CommandError, MAX_TEXT};
use conductor_shared::control::ControlState;
use conductor_shared::http::SignedText;
use conductor_shared::operator::Approval;

/// Why a signed text is not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Too long to look at.
    #[error("a command has at most {MAX_TEXT} bytes")]
    Long,
    /// Not signed by an enrolled key.
    #[error("the text is not signed by an enrolled operator's key")]
    Signature,
    /// Signed, but not a command.
    #[error("the text is signed, but is not a command: {0}")]
    Text(#[from] CommandError),
    /// Signed, but not an approval.
    #[error("the text is signed, but is not an approval (expected conductor/approval/v1)")]
    Approval,
}

/// A command. `local`: it came over the agent's own unix socket.
pub fn verify(signed: &SignedText, node: &ControlState, local: bool) -> Result<Signed, VerifyError> {
    verified(signed, node, local, |text| Ok(Command::parse(text)?))
}

/// An approval; `local` likewise.
pub fn verify_approval(
    signed: &SignedText,
    node: &ControlState,
    local: bool,
) -> Result<SignedApproval, VerifyError> {
    verified(signed, node, local, |text| Approval::parse(text).ok_or(VerifyError::Approval))
}

fn verified<T>(
    signed: &SignedText,
    node: &ControlState,
    local: bool,
    parse: impl FnOnce(&[u8]) -> Result<T, VerifyError>,
) -> Result<Verified<T>, VerifyError> {
    if signed.text.len() > MAX_TEXT {
        return Err(VerifyError::Long);
    }
    let key_id = key_id(&signed.public_key).ok_or(VerifyError::Signature)?;
    // The key that comes with the text only tells which enrolled one to try.
    let key = node.operator(key_id).ok_or(VerifyError::Signature)?;
    verify_minisign(&key.public_key, signed.text.as_bytes(), &signed.signature)
        .map_err(|_| VerifyError::Signature)?;
    Ok(Verified {
        content: parse(signed.text.as_bytes())?,
        text: signed.text.clone().into_bytes(),
        signature: signed.signature.clone(),
        person: key.person,
        key_id,
        local,
    })
}
