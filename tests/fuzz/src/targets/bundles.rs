//! Policy bundles: the archive, the files in it, their rules and their data.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use conductor_policies::{Bundle, Engine, on_own_stack, revision};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::KIB_8;
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// Unfolded, an archive has at most 8 MiB, kept twice, with the parser's tables beside it. Rules are evaluated on a
/// thread of their own, whose memory is not counted here.
const BUNDLES_TAKE: Memory = Memory { base: 64 << 20, each: 64 };
const SMALL_RULES: &str = "package conductor\n\ndefault allow := false\n\nallow if {\n\tinput.class == \"admit\"\n\tsome tier in data.conductor.tiers\n\ttier.name == input.work.workflow\n\tcount([x | some x in [1, 2]; x > 1]) == 1\n}\n\nreasons contains sprintf(\"no %s\", [input.class]) if not allow\n";
const SMALL_DATA: &str = "{\"conductor\": {\"tiers\": [{\"name\": \"etl\", \"limit\": 1.5}], \"on\": true}}";
const INPUT: &str = r#"{"version":1,"class":"admit","operation":"run.start","tenant":"acme","profile":"default","principal":"workload","scope":{"proven":true},"work":{"action":"run","workflow":"etl","env":"production","actor":"service"},"freeze":{"active":false,"break_glass":false}}"#;

fn bundle(rules: &str, data: &str) -> Option<Bundle> {
    let files = [("site.rego", rules), ("data.json", data)];
    Bundle::from_files(files.map(|(name, text)| (name.to_owned(), text.to_owned()))).ok()
}

/// A bundle is the same after it was packed, and its engine answers or says why not.
fn hold(bundle: &Bundle) -> Outcome {
    let packed = bundle.pack(7).expect("it is within its bounds");
    assert_eq!(Bundle::unpack(&packed).as_ref(), Ok(bundle));
    assert_eq!(revision(&packed), Ok(7));
    let asked = on_own_stack(|| {
        let mut engine = Engine::prepare(bundle.files()).expect("it was prepared before");
        (engine.allows(INPUT), engine.allows(INPUT), engine.reasons(INPUT))
    });
    let (first, again, _) = asked.expect("a panic of the engine is caught within");
    // One bundle, one meaning; how long it takes is the machine's.
    assert!(first == again || first.is_err() || again.is_err());
    Outcome::Read
}

fn packed() -> Vec<u8> {
    bundle(SMALL_RULES, SMALL_DATA).expect("a bundle").pack(3).expect("an archive")
}

pub(super) const ARCHIVES: Target = Target {
    name: "bundle_archives",
    reads: "archives of bundles, compressed: `policies/src/archive.rs`",
    law: "an edited archive is refused, or still holds the same files",
    max_len: 64 << 10,
    memory: BUNDLES_TAKE,
    inputs: 100,
    examples: || {
        vec![
            Example::new("small", packed()),
            Example::new("built-in", Bundle::built_in().pack(1).expect("an archive")),
        ]
    },
    read: |bytes| Bundle::unpack(bytes).map_or(Outcome::Refused, |b| hold(&b)),
};

fn unfolded(archive: &[u8]) -> Vec<u8> {
    let mut tar = vec![];
    GzDecoder::new(archive).read_to_end(&mut tar).expect("an archive");
    tar
}

fn folded(tar: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(tar).and_then(|()| gz.finish()).expect("memory to write to")
}

/// The tar itself, which the target compresses, so that its checksum holds.
pub(super) const CONTENTS: Target = Target {
    name: "bundle_contents",
    reads: "archives of bundles, their tar: `policies/src/archive.rs`",
    law: "what is read survives being packed",
    max_len: 64 << 10,
    memory: BUNDLES_TAKE,
    inputs: 40,
    examples: || vec![Example::new("small", unfolded(&packed()))],
    read: |bytes| Bundle::unpack(&folded(bytes)).map_or(Outcome::Refused, |b| hold(&b)),
};

pub(super) const RULES: Target = Target {
    name: "rules",
    reads: "Rego rules: `policies/src/engine.rs`, `resolve`, `scan`",
    law: "what is read is prepared, packed and asked without harm, and answers the same twice",
    max_len: KIB_8,
    memory: BUNDLES_TAKE,
    inputs: 40,
    examples: || {
        let built_in = Bundle::built_in();
        let whole = |text: &&str| bundle(text, SMALL_DATA).is_some();
        let mut all = vec![Example::new("small", SMALL_RULES)];
        all.extend(
            built_in.rules().filter(|(_, text)| whole(text)).map(|(name, text)| Example::new(name, text)),
        );
        all
    },
    read: |bytes| {
        let bundle = std::str::from_utf8(bytes).ok().and_then(|text| bundle(text, SMALL_DATA));
        bundle.map_or(Outcome::Refused, |b| hold(&b))
    },
};

/// The first line names the file, the rest is its text.
pub(super) const DATA: Target = Target {
    name: "bundle_data",
    reads: "data files of bundles, JSON and YAML: `policies/src/data.rs`",
    law: "what is read is JSON, and survives being packed",
    max_len: KIB_8,
    memory: BUNDLES_TAKE,
    inputs: 40,
    examples: || {
        let yaml = "data.yaml\nconductor:\n  tiers: &t\n  - name: etl\n    limit: 0x10\n  again: *t\n  text: |\n    a\n    b\n";
        let nested =
            "conductor/tiers/data.json\n[]".replace("[]", "{\"a\": {\"b\": [null, -1e3, \"\\u00e9\"]}}");
        vec![
            Example::new("json", format!("data.json\n{SMALL_DATA}")),
            Example::new("yaml", yaml),
            Example::new("nested", nested),
        ]
    },
    read: |bytes| {
        let Some((name, text)) = std::str::from_utf8(bytes).ok().and_then(|t| t.split_once('\n')) else {
            return Outcome::Refused;
        };
        let rules = "package conductor\n\ndefault allow := false\n\nallow if input.class == \"admit\"\n\nreasons contains \"no\" if not allow\n";
        let files =
            BTreeMap::from([("a.rego".to_owned(), rules.to_owned()), (name.to_owned(), text.to_owned())]);
        if files.len() < 2 {
            return Outcome::Refused;
        }
        let Ok(bundle) = Bundle::from_files(files) else { return Outcome::Refused };
        let data = bundle.data().expect("it was read before");
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&data).expect("an object");
        hold(&bundle)
    },
};
