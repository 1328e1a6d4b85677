//! One reader, and how it is run: over its stored examples, then over edited ones.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use bolero::{BorrowedInput, ByteSliceGenerator, DefaultEngine, TestTarget, produce};

use crate::corpus::{self, Example, KEPT};
use crate::edit::{Choice, Editor};

/// Edits of one example at most.
const MAX_EDITS: usize = 6;

/// What a reader made of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It read them, and the law holds for what it read.
    Read,
    Refused,
}

impl Outcome {
    #[allow(clippy::needless_pass_by_value, reason = "callers give what a reader gave them")]
    pub fn of<T>(read: Option<T>) -> Self {
        if read.is_some() { Self::Read } else { Self::Refused }
    }
}

/// The most memory that reading may take at a time: bytes whatever comes, and bytes for each one that came.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub base: u64,
    pub each: u64,
}

/// A reader of bytes from outside.
#[derive(Debug)]
pub struct Target {
    /// Of its test and of the folder of its examples.
    pub name: &'static str,
    pub reads: &'static str,
    /// What must hold for all bytes, beside that nothing panics.
    pub law: &'static str,
    /// Longest input, bytes.
    pub max_len: usize,
    pub memory: Memory,
    /// Edited examples in a run of `make test`.
    pub inputs: usize,
    /// Made by code from the types of today.
    pub examples: fn() -> Vec<Example>,
    /// Reads bytes; panics where the law is broken.
    pub read: fn(&[u8]) -> Outcome,
}

/// As `bolero::check!` gives it.
pub type Engine = TestTarget<ByteSliceGenerator, DefaultEngine, BorrowedInput>;

impl Target {
    /// Reads the stored examples, then as many edited ones as the engine is told to make.
    pub fn check(&self, engine: Engine) {
        let examples = corpus::stored(self.name);
        for example in &examples {
            // Tables that are made when first asked are no memory of a reader.
            let outcome = self.judge(&example.bytes, |bytes| (self.read)(bytes));
            let stale = outcome == Outcome::Refused && !example.name.starts_with(KEPT);
            assert!(!stale, "{}/{} is refused; UPDATE_CORPUS=1 writes it anew", self.name, example.name);
        }
        let editor = Editor::new(&examples, self.max_len);
        let edits = produce::<Vec<Choice>>().with().len(1_usize..=MAX_EDITS);
        let (all, read) = (AtomicU64::new(0), AtomicU64::new(0));
        engine.with_iterations(self.inputs).with_generator((produce::<u16>(), edits)).for_each(
            |(example, edits)| {
                let outcome = self.judge(&editor.apply(*example, edits), |bytes| self.measured(bytes));
                all.fetch_add(1, Ordering::Relaxed);
                read.fetch_add(u64::from(outcome == Outcome::Read), Ordering::Relaxed);
            },
        );
        println!("{}: {} edited inputs, {} of them read", self.name, all.into_inner(), read.into_inner());
    }

    fn measured(&self, bytes: &[u8]) -> Outcome {
        let mut outcome = Outcome::Refused;
        let used = allocation_counter::measure(|| outcome = (self.read)(bytes));
        let bound = self.memory.base + self.memory.each * bytes.len() as u64;
        assert!(used.bytes_max <= bound, "it took {} bytes of memory, and may take {bound}", used.bytes_max);
        outcome
    }

    /// A panic is told with the bytes that it came from, which are also left in a file.
    fn judge(&self, bytes: &[u8], read: impl Fn(&[u8]) -> Outcome) -> Outcome {
        catch_unwind(AssertUnwindSafe(|| read(bytes))).unwrap_or_else(|panic| {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            let kept = std::env::temp_dir().join(format!("conductor-fuzz-{}", self.name));
            let written = std::fs::write(&kept, bytes);
            let shown: String = bytes.escape_ascii().to_string().chars().take(2_000).collect();
            panic!(
                "{}: {why}\n{} bytes, in {} ({written:?}): {shown}",
                self.name,
                bytes.len(),
                kept.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAREFUL: Target = Target {
        name: "of-the-judge",
        reads: "",
        law: "",
        max_len: 64,
        memory: Memory { base: 1 << 10, each: 2 },
        inputs: 1,
        examples: Vec::new,
        read: |bytes| {
            assert!(bytes != b"broken", "the law");
            let kept = vec![0_u8; usize::from(bytes[0])];
            Outcome::of(kept.first())
        },
    };

    fn told(bytes: &[u8]) -> Option<String> {
        let panic = catch_unwind(|| CAREFUL.judge(bytes, |bytes| CAREFUL.measured(bytes)).eq(&Outcome::Read))
            .err()?;
        panic.downcast_ref::<String>().cloned()
    }

    /// Else targets would pass whatever their readers do.
    #[test]
    fn a_broken_law_and_too_much_memory_are_told_with_the_bytes() {
        assert_eq!(told(&[1]), None);
        let why = told(b"broken").expect("a broken law");
        assert!(why.contains("of-the-judge: the law") && why.contains("broken"), "{why}");
        let small = Target { memory: Memory { base: 64, each: 1 }, ..CAREFUL };
        let why = catch_unwind(|| small.judge(&[255], |bytes| small.measured(bytes)));
        let why = why.expect_err("too much memory").downcast_ref::<String>().cloned();
        assert!(why.is_some_and(|w| w.contains("bytes of memory, and may take 65")));
    }
}
