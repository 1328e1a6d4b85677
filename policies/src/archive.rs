//! The archive of a bundle: a gzipped tar as OPA reads it. Reading is bounded and trusts no size or count in the archive.

use crate::error::{BundleError, MAX_CONTENT};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::io::Read;

/// Maximum length of an archive, bytes.
pub const MAX_ARCHIVE: usize = 1 << 20;
/// Manifest file of a bundle, as OPA names it.
const MANIFEST: &str = ".manifest";
/// What else OPA's own build may put into a bundle, and what to do.
const STRANGE: [(&str, &str); 4] = [
    (".signatures.json", "conductor policy sign signs bundles: build it without a signing key"),
    ("policy.wasm", "rules are evaluated as Rego: build it for the target rego"),
    ("plan.json", "rules are evaluated as Rego: build it for the target rego"),
    ("patch.json", "a bundle is loaded as a whole: build a snapshot bundle"),
];

pub(crate) fn pack(
    files: &BTreeMap<String, String>,
    revision: u64,
    digest: &str,
) -> Result<Vec<u8>, BundleError> {
    let failed = |e: std::io::Error| BundleError::Archive(e.to_string());
    let manifest = serde_json::json!({
        "revision": revision.to_string(),
        "roots": ["conductor"],
        "rego_version": 1,
        "metadata": { "conductor_digest": digest },
    });
    // No time, name or owner, so that equal files give equal bytes.
    let mut tar = tar::Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::best()));
    let manifest = (MANIFEST.to_owned(), manifest.to_string());
    for (name, text) in std::iter::once((&manifest.0, &manifest.1)).chain(files) {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, name, text.as_bytes()).map_err(failed)?;
    }
    let bytes = tar.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(failed)?;
    if bytes.len() > MAX_ARCHIVE { Err(BundleError::Large) } else { Ok(bytes) }
}

/// The fields of a manifest that are used; others are ignored.
#[derive(serde::Deserialize)]
struct Manifest {
    #[serde(default)]
    revision: String,
    #[serde(default = "current")]
    rego_version: u8,
    #[serde(default)]
    file_rego_versions: BTreeMap<String, u8>,
}

/// Rego version of a manifest that names none.
fn current() -> u8 {
    1
}

impl Manifest {
    fn read(content: &[u8]) -> Result<Self, BundleError> {
        serde_json::from_slice(content).map_err(|e| BundleError::Archive(format!("{MANIFEST}: {e}")))
    }

    fn is_current(&self) -> Result<(), BundleError> {
        let old = self.rego_version != 1 || self.file_rego_versions.values().any(|v| *v != 1);
        let detail = format!(
            "{MANIFEST}: rules are written in Rego v1, and these are in an older one: build it with OPA 1 (opa fmt --rego-v1 rewrites rules)"
        );
        if old { Err(BundleError::Archive(detail)) } else { Ok(()) }
    }
}

/// The revision that an archive claims. The signed statement must name the same one, or people would be misled.
pub fn revision(bytes: &[u8]) -> Result<u64, BundleError> {
    let manifest = files(bytes)?.into_iter().find(|(n, _)| n == MANIFEST).map(|(_, c)| c);
    let manifest = manifest.ok_or_else(|| BundleError::Archive("it has no .manifest".into()))?;
    let number = Manifest::read(&manifest)?.revision.parse().ok().filter(|r| *r > 0);
    let detail = format!("{MANIFEST}: its revision is no number above 0: build it with --revision N");
    number.ok_or(BundleError::Archive(detail))
}

/// Names and contents in archive order. `opa build` writes names with a leading slash.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<(String, String)>, BundleError> {
    let mut rules = Vec::new();
    for (name, content) in files(bytes)? {
        if name == MANIFEST {
            Manifest::read(&content)?.is_current()?;
            continue;
        }
        if let Some((_, remedy)) = STRANGE.iter().find(|(n, _)| *n == name) {
            return Err(BundleError::Archive(format!("{name}: {remedy}")));
        }
        let text = String::from_utf8(content).map_err(|_| BundleError::Name(name.clone()))?;
        rules.push((name, text));
    }
    Ok(rules)
}

fn files(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    if bytes.len() > MAX_ARCHIVE {
        return Err(BundleError::Large);
    }
    let bad = |e: std::io::Error| BundleError::Archive(e.to_string());
    // A small archive may decompress to any length, so the output is bounded. Reads to the end, where the checksum is verified.
    let most = 2 * MAX_CONTENT as u64;
    let mut plain = Vec::new();
    GzDecoder::new(bytes).take(most + 1).read_to_end(&mut plain).map_err(bad)?;
    if plain.len() as u64 > most {
        return Err(BundleError::Large);
    }
    let mut tar = tar::Archive::new(&plain[..]);
    let mut out = Vec::new();
    let mut total = 0;
    for entry in tar.entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.strip_prefix('/').unwrap_or(&name).to_owned();
        if !entry.header().entry_type().is_file() {
            return Err(BundleError::Archive("it holds something that is not a file".into()));
        }
        let mut content = Vec::new();
        let room = MAX_CONTENT.saturating_sub(total) as u64;
        let read = entry.by_ref().take(room + 1).read_to_end(&mut content).map_err(bad)?;
        total += read;
        if total > MAX_CONTENT {
            return Err(BundleError::Large);
        }
        out.push((name, content));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bundle;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut z = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
        z.write_all(bytes).unwrap();
        z.finish().unwrap()
    }

    /// Bad input: truncated, foreign, swollen and crooked archives are refused, and none panics.
    #[test]
    fn hostile_archives() {
        let good = Bundle::built_in().pack(1).unwrap();
        for cut in 0..good.len() {
            assert!(Bundle::unpack(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Bundle::unpack(b"").is_err());
        assert!(Bundle::unpack(&gzip(b"not a tar, and long enough to be looked at")).is_err());
        let swollen = gzip(&vec![0x61; 64 << 20]);
        assert!(swollen.len() < MAX_ARCHIVE && Bundle::unpack(&swollen).is_err());
        assert_eq!(Bundle::unpack(&vec![0; MAX_ARCHIVE + 1]), Err(BundleError::Large));
        let crooked = |name: &str, kind: tar::EntryType| {
            let mut tar = tar::Builder::new(Vec::new());
            let mut h = tar::Header::new_ustar();
            h.set_size(0);
            h.set_entry_type(kind);
            // Past the checks of the library, as a hostile archive would be.
            h.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            h.set_cksum();
            tar.append(&h, std::io::empty()).unwrap();
            gzip(&tar.into_inner().unwrap())
        };
        for (name, kind) in [
            ("../../etc/x.rego", tar::EntryType::Regular),
            ("a.rego", tar::EntryType::Symlink),
            ("a.rego", tar::EntryType::Link),
            ("d/", tar::EntryType::Directory),
            ("a.sh", tar::EntryType::Regular),
        ] {
            assert!(Bundle::unpack(&crooked(name, kind)).is_err(), "{name}");
        }
    }

    /// Bad input: no byte of an archive can be changed without its being refused, or being the same files.
    #[test]
    fn flipped_bytes() {
        let b = Bundle::built_in();
        let good = b.pack(1).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            if let Ok(other) = Bundle::unpack(&bad) {
                assert_eq!(other.digest(), b.digest(), "byte {at}");
            }
        }
    }
}
