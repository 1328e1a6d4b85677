//! What regorus does stays in here: a panic is an error, and its recursion has the room that it needs.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of stack of a thread that evaluates: regorus recurses for each nested expression and each call, and both have
/// a bound (`resolve`). Only what is used becomes memory.
pub const STACK: usize = 64 << 20;

/// Runs something of regorus. A panic comes back in words; whatever was touched is thrown away then.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|p| in_words(&*p))
}

/// The same, on a stack of its own, and waits for it.
pub fn on_own_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|s| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(s, || caught(run));
        let thread = thread.map_err(|e| format!("no thread for it: {e}"))?;
        thread.join().unwrap_or_else(|p| Err(in_words(&*p)))
    })
}

fn in_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no words").chars().take(300).collect()
}
