//! `docs/reference/fuzzing.md`, from the table of targets.

use std::fmt::Write as _;

use crate::targets::ALL;

const HEAD: &str = "# Fuzz targets

Made from the table in `tests/fuzz/src/targets.rs`; a test keeps it so (`UPDATE_REFERENCE=1 make test` writes it anew).

Each target is one reader of bytes from outside. It gets its examples (`tests/fuzz/corpus/<target>`), whole and edited: bits
flipped, numbers at the ends of their range, lines and pieces left out, doubled, swapped with those of other examples,
words that readers stumble over, up to the longest input and beyond. For all of them holds: no panic, no more memory at a time than
stated, and the law of the target.

- `make test` reads every example and a few hundred edited ones a target.
- `make fuzz` goes on for a minute a target (`FUZZ_SECONDS`), one after the other; `make fuzz ARGS=commands` runs one.
- What is found is printed, with the number to see it again (`BOLERO_RANDOM_SEED`), and left in a file in the folder for temporary
  files. It goes into the corpus under a name that begins with `kept-`, in the change that mends the reader.
- Examples are made from the types of today. After a change of a format: `UPDATE_CORPUS=1 make test ARGS='--test fuzz'`.

**What kind of fuzzing this is.** The engine is bolero's random one, on stable Rust: inputs are edits of valid examples, chosen
by chance, and nothing tells the engine which of them reached new code. The targets are bolero's, so that `cargo bolero test`
can run the same ones with coverage guidance (libFuzzer, nightly Rust); the project does not install or rely on it.

What stands at rest under the agent's own keys (receipts and rows in RocksDB) is authenticated before it is read; its readers
are here all the same. CloudEvents are only written.

";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    page +=
        "| target | reads | law | longest input, bytes | memory: base + each byte |\n|---|---|---|---|---|\n";
    for t in ALL {
        let (base, each) = (t.memory.base >> 10, t.memory.each);
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {base} KiB + {each} |",
            t.name, t.reads, t.law, t.max_len
        );
    }
    page
}
