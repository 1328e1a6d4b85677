//! What rules may not call. A verdict must follow from the input alone: engines then agree, verdicts can be remembered,
//! and nothing that an engine is told leaves the machine.

/// Namespaces of OPA's functions that reach the network, the clock, the environment or chance, or run what the input
/// says.
const FORBIDDEN: [&str; 11] =
    ["http", "net", "time", "rand", "opa", "uuid", "io", "crypto", "rego", "providers", "graphql"];

/// A function that rules may not name.
pub(crate) fn is_forbidden(function: &str) -> bool {
    function.split_once('.').is_some_and(|(space, _)| FORBIDDEN.contains(&space))
}

/// Brackets and braces that may stand inside each other: the parser takes twice as long for each.
const MAX_NESTED: u32 = 12;

/// The first thing that rules may not do, seen before they are parsed: line, from 1, and what it is. Comments and strings
/// are passed over; a field of another value (`input.time`) is no call.
pub(crate) fn refused(text: &str) -> Option<(u32, String)> {
    let called = |name: &str| format!("`{name}` may not be used: a verdict follows from the input alone");
    let bytes = text.as_bytes();
    let (mut at, mut line, mut nested) = (0, 1, 0u32);
    // Last byte of code before this, spaces left out.
    let mut before = b'\n';
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            // A call inside a template string is a call.
            b'$' if matches!(bytes.get(at + 1), Some(b'"' | b'`')) => {
                return Some((line, called("$\"...\"")));
            }
            b'#' => at = find(bytes, at, |c| c == b'\n'),
            b'"' => at = string_end(bytes, at),
            b'`' => at = find(bytes, at + 1, |c| c == b'`') + 1,
            c if c.is_ascii_alphabetic() || c == b'_' => {
                at = find(bytes, at, |c| !(c.is_ascii_alphanumeric() || c == b'_'));
                let word = &text[start..at];
                let next = bytes[at..].iter().copied().find(|c| !c.is_ascii_whitespace());
                if before != b'.' && FORBIDDEN.contains(&word) && matches!(next, Some(b'.' | b'[')) {
                    let end = find(bytes, at, |c| !(c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.')));
                    return Some((line, called(&text[start..end])));
                }
            }
            c => {
                match c {
                    b'[' | b'{' => nested += 1,
                    b']' | b'}' => nested = nested.saturating_sub(1),
                    _ => {}
                }
                at += 1;
            }
        }
        if nested > MAX_NESTED {
            let what = "brackets and braces stand inside each other: put this into a data file";
            return Some((line, format!("more than {MAX_NESTED} {what}")));
        }
        at = at.min(bytes.len());
        let lines = bytes[start..at].split(|c| *c == b'\n').count() - 1;
        line += u32::try_from(lines).unwrap_or(u32::MAX);
        if let Some(last) = bytes[start..at].iter().rev().find(|c| !c.is_ascii_whitespace())
            && bytes[start] != b'#'
        {
            before = *last;
        }
    }
    None
}

fn find(bytes: &[u8], from: usize, is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().skip(from).position(|c| is(*c)).map_or(bytes.len(), |n| from + n)
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bundles that call network, clock, environment or random functions are refused, however it is spelled; words in
    /// comments, strings and fields are none of these.
    #[test]
    fn calls_are_found() {
        for bad in [
            "x := http.send({})",
            "x if { time\n.now_ns() > 1 }",
            "x := opa.runtime().env",
            "x := rand.intn(\"a\", 2)",
            "x := http[\"send\"]({})",
            "x := [1, net.lookup_ip_addr(\"a\")]",
            "y := \"a\\\"\"; x := uuid.rfc4122(\"\")",
            "y := `raw \\`; x := io.jwt.decode(1)",
            "# fine\nx := time.now_ns()",
            "x := $`{time.now_ns()}`",
            "x := $\"{1}\"",
            "x := data.a\n.b\nz := time.clock(1)",
        ] {
            assert!(refused(bad).is_some(), "{bad}");
        }
        let (line, what) = refused("a\n\n  b := time.now_ns()").unwrap();
        assert!(line == 3 && what.starts_with("`time.now_ns`"), "{line} {what}");
        assert!(refused(&format!("x :=\n {}1{}", "[".repeat(13), "]".repeat(13))).is_some());
        assert_eq!(refused(&"x := [{\"a[[[[[[[[[[[[[\": {1}}]\n".repeat(20)), None);
        for good in [
            "x := input.time.now",
            "x := input . http.send",
            "# http.send is not for us",
            "x := \"time.now_ns()\"",
            "x := `net.cidr`",
            "x := `a\nb` ; y := 1",
            "timeline := 1",
            "x := input.a_time",
            "time := 1",
            "x := data.conductor.lib.f(1)",
        ] {
            assert_eq!(refused(good), None, "{good}");
        }
    }

    proptest! {
        /// Bad input: no text makes it panic or hang.
        #[test]
        fn any_text(text in "(?s).{0,200}") { let _ = refused(&text); }
        /// Likewise with what matters in it.
        #[test]
        fn any_rego(parts in proptest::collection::vec(proptest::sample::select(vec!["time", ".", "\"", "`", "\\", "#", "\n", "http", "[", "é", " "]), 0..40)) {
            let _ = refused(&parts.concat());
        }
    }
}
