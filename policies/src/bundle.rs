//! A bundle: files of rules and data by name, checked before anything is evaluated.

use crate::data::Data;
use crate::engine::Engine;
use crate::error::{BundleError, MAX_CONTENT, MAX_FILES};
use crate::guard::on_own_stack;
use crate::{archive, names};
use conductor_shared::ids::hex;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Begins what a bundle's digest hashes.
const FILES_TAG: &[u8] = b"conductor/bundle-files/v1\0";

/// Files of rules and data, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, String>,
    digest: [u8; 32],
}

macro_rules! built_in {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("../", $name)))),*] };
}

impl Bundle {
    /// The rules that every agent has, revision 0.
    #[must_use]
    pub fn built_in() -> Self {
        let files = built_in!(
            "main.rego",
            "isolation.rego",
            "quotas.rego",
            "ramps.rego",
            "freeze.rego",
            "dual_control.rego",
            "site.rego"
        );
        Self::of(files.map(|(n, t)| (n.to_owned(), t.to_owned())).into())
    }

    fn of(files: BTreeMap<String, String>) -> Self {
        let mut h = Sha256::new_with_prefix(FILES_TAG);
        for part in files.iter().flat_map(|(n, t)| [n, t]) {
            h.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            h.update(part.as_bytes());
        }
        let digest = h.finalize().into();
        Self { files, digest }
    }

    /// A bundle of files, tests left out: bounds, names, calls and Rego are checked, and that it can be asked.
    pub fn from_files(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, BundleError> {
        let mut kept = BTreeMap::new();
        let mut bytes = 0usize;
        for (name, text) in files {
            if !names::good(&name) {
                return Err(BundleError::Name(name.chars().take(names::MAX_NAME).collect()));
            }
            bytes = bytes.saturating_add(name.len()).saturating_add(text.len());
            if bytes > MAX_CONTENT || kept.len() == MAX_FILES {
                return Err(BundleError::Large);
            }
            if names::is_test(&name) {
                continue;
            }
            if kept.insert(name.clone(), text).is_some() {
                return Err(BundleError::Archive(format!("{name} is in it twice")));
            }
        }
        let bundle = Self::of(kept);
        let checked = on_own_stack(|| Engine::prepare(&bundle.files)?.can_be_asked());
        checked.map_err(BundleError::Senseless)??;
        Ok(bundle)
    }

    /// Reads an archive as [`Bundle::pack`] or OPA's own build makes it.
    pub fn unpack(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::from_files(archive::unpack(bytes)?)
    }

    /// A gzipped tar that OPA takes as a bundle. The same files and revision give the same bytes from the same program.
    pub fn pack(&self, revision: u64) -> Result<Vec<u8>, BundleError> {
        archive::pack(&self.files, revision, &hex(&self.digest))
    }

    /// SHA-256 over names and texts: what a statement names. How they are packed makes no difference.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Its rules, by file.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter(|(n, _)| names::is_rego(n)).map(|(n, t)| (n.as_str(), t.as_str()))
    }

    /// All of its data, as what stands under `data.conductor`, in JSON.
    pub fn data(&self) -> Result<String, BundleError> {
        Data::of(&self.files)?.in_root()
    }

    /// Its files, of rules and of data.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const SMALL: &str = "package conductor\n\ndefault allow := false\n\nallow if input.class == \"admit\"\n\nreasons contains \"no\" if not allow\n";

    fn of(files: &[(&str, &str)]) -> Result<Bundle, BundleError> {
        Bundle::from_files(files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())))
    }

    /// The built-in rules are a bundle like any other, and packing changes nothing in it.
    #[test]
    fn built_in_is_a_bundle() {
        let b = Bundle::built_in();
        let again = Bundle::from_files(b.files().clone()).unwrap();
        assert_eq!(again, b);
        let packed = b.pack(7).unwrap();
        assert_eq!(Bundle::unpack(&packed).unwrap(), b);
        assert_eq!(packed, b.pack(7).unwrap());
        assert!(packed.len() < MAX_CONTENT / 4);
    }

    /// One changed letter, name or border between files is another digest.
    #[test]
    fn every_byte_counts() {
        let a = of(&[("a.rego", SMALL)]).unwrap();
        let b = of(&[("b.rego", SMALL)]).unwrap();
        let c = of(&[("a.rego", &SMALL.replace("admit", "admin"))]);
        assert_ne!(a.digest(), b.digest());
        assert_ne!(c.map(|c| c.digest()), Ok(a.digest()));
        assert_eq!(of(&[("a.rego", SMALL), ("a_test.rego", "package a_test\n")]).unwrap(), a);
    }

    /// Bad input: what is not a bundle that can be asked is refused with the file and what is wrong.
    #[test]
    fn bad_bundles() {
        let many: Vec<_> = (0..300).map(|n| (format!("f{n}.rego"), SMALL.to_owned())).collect();
        assert_eq!(Bundle::from_files(many), Err(BundleError::Large));
        assert_eq!(of(&[("a.rego", &"#".repeat(MAX_CONTENT))]), Err(BundleError::Large));
        for name in ["", "a", "../a.rego", "/a.rego", "a//b.rego", "./a.rego", "\u{1b}.rego", "input.json"] {
            assert!(matches!(of(&[(name, SMALL)]), Err(BundleError::Name(_))), "{name:?}");
        }
        let mut said = String::new();
        for (what, text) in [
            ("no Rego", "package conductor\nallow if {"),
            ("another package", "package other\nallow := true"),
            ("nothing to ask", "package conductor\nx := 1"),
            ("allows everything", "package conductor\nallow := true\nreasons := set()"),
            ("a clock", "package conductor\nallow if time.now_ns() > 0\n"),
            (
                "a call that is nowhere",
                "package conductor\nallow if frobnicate(input)\nreasons contains \"x\"",
            ),
        ] {
            said += &format!("{what}: {}\n", of(&[("a.rego", text)]).unwrap_err());
        }
        insta::assert_snapshot!("bad-bundles", said);
    }
}
