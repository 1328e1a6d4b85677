//! Policy bundles: built, signed, tested, loaded, explained.

mod folder;

use super::args::{ExplainArgs, PolicyCommand};
use super::change::{Change, carry_out};
use super::context::Context;
use super::output::{CliError, EXIT_FAILED, Output, time};
use crate::client::clock::SystemClock;
use crate::client::decode;
use crate::client::http::From;
use crate::client::keys::{KeyError, KeyFile, write_new};
use crate::client::resolve::{self, Found};
use crate::client::session::ReadSession;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_policies::{Bundle, MAX_ARCHIVE, TestOutcome, revision, run_tests};
use conductor_shared::checkpoint::{key_id, verify_minisign};
use conductor_shared::clock::Clock as _;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::profiles::name_of;
use conductor_shared::fact::{Fact, TrafficFact};
use conductor_shared::http::{BundleFiles, ExplainRequest};
use conductor_shared::ids::{TenantUid, hex};
use conductor_shared::policy::{BUNDLE_LINE, Freeze, Input, Ramp, Scope, Statement, Within, Work, Workflow};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::escape;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DAY_S: u64 = 24 * 3600;

pub async fn policy(context: &Context, command: PolicyCommand) -> Result<Output, CliError> {
    match command {
        PolicyCommand::Show => show(context).await,
        PolicyCommand::Test { folder } => test(&folder),
        PolicyCommand::Build { folder, revision, out } => build(&folder, revision, &out),
        PolicyCommand::Sign { bundle, days } => sign(context, &bundle, days).await,
        PolicyCommand::Trust { public_key, change } => {
            context.may_change()?;
            let session = context.session().await?;
            let public_key = public_key_of(&public_key)?;
            let confirm = key_id(&public_key).map_or_else(String::new, |id| id.to_string());
            let operation = Operation::PolicyTrust(ops::PolicyTrust { public_key });
            let loosening = Change { tenant: Found::node(), confirm, operation, tightens: false };
            carry_out(context, &session, loosening, &change).await
        }
        PolicyCommand::Load { bundle, change } => {
            context.may_change()?;
            let (archive, statement, signature) = signed_bundle(&bundle)?;
            let session = context.session().await?;
            if !change.dry_run {
                let files = BundleFiles { archive: STANDARD.encode(&archive) };
                let kept = session.agent().policy_upload(&session.bearer().await?, &files).await?;
                if kept.digest != hex(&statement.digest) {
                    return Err(CliError::Failed("the agent has other files than were sent to it".into()));
                }
            }
            let operation =
                Operation::PolicyLoad(ops::PolicyLoad { statement, signature: STANDARD.encode(signature) });
            let confirm = format!("revision-{}", statement.revision);
            let loosening = Change { tenant: Found::node(), confirm, operation, tightens: false };
            carry_out(context, &session, loosening, &change).await
        }
        PolicyCommand::Fetch { digest, out } => {
            let session = context.session().await?;
            let files = session.agent().policy_bundle(&session.bearer().await?, &digest).await?;
            let bytes = STANDARD.decode(&files.archive).map_err(|e| CliError::Failed(e.to_string()))?;
            let bundle = Bundle::unpack(&bytes).map_err(|e| CliError::Failed(escape(&e.to_string(), 300)))?;
            if hex(&bundle.digest()) != digest {
                return Err(CliError::Failed("the agent sent the files of another bundle".into()));
            }
            write_new(&out, 0o644, &bytes)?;
            let place = place(&out);
            let names: Vec<String> = bundle.files().keys().map(|n| escape(n, 200)).collect();
            let text = format!("{}\nwritten to {place}", names.join("\n"));
            Ok(Output::ok(text, json!({ "file": place, "digest": digest, "files": names })))
        }
        PolicyCommand::Explain(args) => explain(context, args).await,
    }
}

fn place(path: &Path) -> String {
    escape(&path.to_string_lossy(), 200)
}

async fn show(context: &Context) -> Result<Output, CliError> {
    let session = context.session().await?;
    let p = session.agent().policy(&session.bearer().await?).await?;
    let what =
        if p.revision == 0 { "the one built in".to_owned() } else { format!("revision {}", p.revision) };
    let mut text = format!("bundle     {what}\ndigest     {}\n", escape(&p.digest, 64));
    let _ = writeln!(text, "expires    {}", p.expires_at_us.map_or("never".to_owned(), time));
    let _ = writeln!(text, "engine     {}", escape(&p.engine, 20));
    let state = match (p.trouble.is_empty(), p.down) {
        (true, _) => "answers".to_owned(),
        (false, true) => format!("DOWN: {}", escape(&p.trouble, 300)),
        (false, false) => format!("BROKEN: {}", escape(&p.trouble, 300)),
    };
    let _ = writeln!(text, "state      {state}");
    let last = p.evaluated_at_us.map_or("nothing yet".to_owned(), time);
    let _ = writeln!(text, "evaluated  {last}");
    let lost = if p.given_up == 0 { String::new() } else { format!(", {} given up", p.given_up) };
    let _ = writeln!(text, "workers    {}{lost}", p.workers);
    let key =
        p.trusted_key.as_deref().and_then(key_id).map_or_else(|| "no key yet".into(), |id| id.to_string());
    let _ = writeln!(text, "trusts     {key}");
    Ok(Output::ok(text, json!(p)))
}

fn bundle_of(folder: &Path, files: Vec<(String, String)>) -> Result<Bundle, CliError> {
    Bundle::from_files(files)
        .map_err(|e| CliError::Input(format!("{}: {}", place(folder), escape(&e.to_string(), 500))))
}

fn test(folder: &Path) -> Result<Output, CliError> {
    let files = folder::read(folder)?.files;
    let outcomes = run_tests(&files)
        .map_err(|e| CliError::Input(format!("{}: {}", place(folder), escape(&e.to_string(), 500))))?;
    if outcomes.is_empty() {
        return Err(CliError::Input(format!("{}: no rule in it begins with test_", place(folder))));
    }
    // A bundle that the agent would refuse fails too.
    bundle_of(folder, files)?;
    let failed: Vec<&TestOutcome> = outcomes.iter().filter(|t| t.passed.is_err()).collect();
    let mut text = String::new();
    for t in &failed {
        let why = t.passed.as_ref().err().map_or("", String::as_str);
        let _ =
            writeln!(text, "FAILED {}: {}: {}", escape(&t.file, 200), escape(&t.name, 200), escape(why, 500));
    }
    let _ = write!(text, "{} passed, {} failed", outcomes.len() - failed.len(), failed.len());
    let rows: Vec<Value> = outcomes
        .iter()
        .map(|t| json!({ "file": escape(&t.file, 200), "test": escape(&t.name, 200), "passed": t.passed.is_ok() }))
        .collect();
    let code = if failed.is_empty() { 0 } else { EXIT_FAILED };
    Ok(Output { text, json: json!({ "tests": rows, "failed": failed.len() }), code })
}

fn build(folder: &Path, revision: u64, out: &Path) -> Result<Output, CliError> {
    let found = folder::read(folder)?;
    let bundle = bundle_of(folder, found.files)?;
    let bytes = bundle.pack(revision).map_err(|e| CliError::Input(e.to_string()))?;
    write_new(out, 0o644, &bytes)?;
    let (file, digest) = (place(out), hex(&bundle.digest()));
    let mut text = format!("bundle     {file}, {} files, {} bytes\n", bundle.files().len(), bytes.len());
    let passed_over: Vec<String> = found.passed_over.iter().map(|n| escape(n, 200)).collect();
    if !passed_over.is_empty() {
        let _ = writeln!(text, "not in it  {}", passed_over.join(", "));
    }
    let _ = write!(
        text,
        "revision   {revision}\ndigest     {digest}\nnext       conductor --key POLICY-KEY policy sign {file}"
    );
    let json = json!({
        "file": file, "revision": revision, "digest": digest, "files": bundle.files().len(),
        "not_in_it": passed_over,
    });
    Ok(Output::ok(text, json))
}

fn beside(bundle: &Path, what: &str) -> PathBuf {
    let mut p = bundle.as_os_str().to_owned();
    p.push(what);
    p.into()
}

pub(super) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, CliError> {
    let bad = |e: &dyn std::fmt::Display| CliError::Input(format!("{}: {e}", place(path)));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| bad(&e))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| bad(&e))?;
    if bytes.len() as u64 > most {
        return Err(bad(&format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

async fn sign(context: &Context, path: &Path, days: u64) -> Result<Output, CliError> {
    let bytes = read_file(path, MAX_ARCHIVE as u64)?;
    let bad = |e: &dyn std::fmt::Display| {
        CliError::Input(format!("{}: {}", place(path), escape(&e.to_string(), 500)))
    };
    let bundle = Bundle::unpack(&bytes).map_err(|e| bad(&e))?;
    let revision = revision(&bytes).map_err(|e| bad(&e))?;
    let key = context.key.as_ref().ok_or(KeyError::Missing)?;
    let key = KeyFile::load(key)?.unlock_at_terminal().await?;
    let built_at = SystemClock.now().wall;
    let expires_at = built_at + Duration::from_secs(days.saturating_mul(DAY_S));
    let (built_at_us, expires_at_us) = (built_at.as_micros(), expires_at.as_micros());
    let s = Statement { revision, digest: bundle.digest(), built_at_us, expires_at_us };
    let signed = key.sign(&s.text(), BUNDLE_LINE)?;
    let (statement, signature) = (beside(path, ".statement"), beside(path, ".statement.minisig"));
    write_new(&statement, 0o644, signed.text.as_bytes())?;
    write_new(&signature, 0o644, signed.signature.as_bytes())?;
    let text = format!(
        "statement  {}\nsignature  {}\nkey        {}\nexpires    {}\nnext       conductor policy load {}",
        place(&statement),
        place(&signature),
        key.id(),
        time(expires_at_us),
        place(path)
    );
    let json = json!({
        "statement": place(&statement), "signature": place(&signature), "revision": revision,
        "digest": hex(&s.digest), "expires_at_us": expires_at_us, "key": key.id(),
    });
    Ok(Output::ok(text, json))
}

/// Archive, statement and minisign file, checked against each other. The agent knows the public key.
fn signed_bundle(path: &Path) -> Result<(Vec<u8>, Statement, String), CliError> {
    let archive = read_file(path, MAX_ARCHIVE as u64)?;
    let (at, signed_at) = (beside(path, ".statement"), beside(path, ".statement.minisig"));
    let statement = Statement::parse(&read_file(&at, 1024)?).ok_or_else(|| {
        CliError::Input(format!("{}: not a bundle's statement (conductor policy sign)", place(&at)))
    })?;
    let signature = String::from_utf8(read_file(&signed_at, 1024)?)
        .map_err(|_| CliError::Input(format!("{}: not a minisign file", place(&signed_at))))?;
    let bundle = Bundle::unpack(&archive)
        .map_err(|e| CliError::Input(format!("{}: {}", place(path), escape(&e.to_string(), 500))))?;
    if bundle.digest() != statement.digest {
        return Err(CliError::Input(format!(
            "{}: these are not the files that were signed; sign it again (conductor policy sign)",
            place(path)
        )));
    }
    Ok((archive, statement, signature))
}

/// From a minisign `.pub` file, or the bare base64.
pub(super) fn public_key_of(path: &Path) -> Result<String, CliError> {
    let bytes = read_file(path, 4096)?;
    let text = String::from_utf8_lossy(&bytes);
    let key = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("untrusted comment:"));
    let key = key.filter(|k| key_id(k).is_some() && verify_minisign(k, b"", "").is_err());
    key.map(str::to_owned)
        .ok_or_else(|| CliError::Input(format!("{}: no minisign public key in it", place(path))))
}

async fn explain(context: &Context, args: ExplainArgs) -> Result<Output, CliError> {
    let session = context.session().await?;
    let (about, input) = match (args.input, args.tenant, args.receipt) {
        (Some(file), None, None) => {
            let bytes = read_file(&file, 64 << 10)?;
            let input: Value = serde_json::from_slice(&bytes)
                .map_err(|e| CliError::Input(format!("{}: {e}", place(&file))))?;
            (String::new(), input)
        }
        (None, Some(tenant), Some(index)) => {
            let found = resolve::tenant(&session, &tenant).await?;
            let bearer = session.bearer().await?;
            let page = session.agent().receipts(&bearer, found.uid, From::Index(index), 1).await?;
            let receipt = page.receipts.first().filter(|r| r.index == index).ok_or_else(|| {
                CliError::Input(format!(
                    "{} has {} receipts, and none at index {index}",
                    page.origin, page.size
                ))
            })?;
            let fact = decode::fact(receipt);
            let profile = profile_at(&session, found.uid, index).await?;
            let (about, input) = of_receipt(fact.as_ref(), &found.name, &profile).ok_or_else(|| {
                CliError::Input(format!(
                    "receipt {index} ({}) is no decision about a run or step",
                    escape(&receipt.kind_name, 40)
                ))
            })?;
            (format!("receipt    {index}: {}\n{about}", escape(&receipt.summary, 200)), input)
        }
        _ => return Err(CliError::Input("give --tenant and --receipt, or --input".into())),
    };
    let e = session.agent().policy_explain(&session.bearer().await?, &ExplainRequest { input }).await?;
    let mut text = about;
    let _ = writeln!(
        text,
        "policy     {} (bundle {})",
        if e.allow { "allows it" } else { "denies it" },
        e.revision
    );
    for r in &e.reasons {
        let _ = writeln!(text, "           {}", escape(r, 300));
    }
    Ok(Output::ok(text, json!(e)))
}

/// The profile that governed a tenant when a receipt was written: that of the newest revision before it.
async fn profile_at(session: &ReadSession, tenant: TenantUid, index: u64) -> Result<String, CliError> {
    let mut before = None;
    loop {
        let bearer = session.bearer().await?;
        let page = session.agent().config_history(&bearer, tenant, 100, before).await?;
        if let Some(row) = page.rows.iter().filter(|r| r.index < index).max_by_key(|r| r.revision) {
            let then = session.agent().config_revision(&bearer, tenant, row.revision).await?;
            return Ok(name_of(&then.control).to_owned());
        }
        // Without an older page the tenant is as it was created.
        match page.next.filter(|n| before.is_none_or(|b| *n < b)) {
            Some(next) => before = Some(next),
            None => return Ok(conductor_shared::profile::DEFAULT.to_owned()),
        }
    }
}

/// What the built-in rules said, in words, and what policy is asked about such a request.
fn of_receipt(fact: Option<&Fact>, tenant: &str, profile: &str) -> Option<(String, Value)> {
    let (operation, action, workflow, env, actor, reasons) = match fact? {
        Fact::Traffic(TrafficFact::RunDecided(f)) => {
            ("run.start", f.action.as_str(), &f.workflow, f.env, f.actor, &f.reasons.0)
        }
        // The action of a step is that of its run, which this receipt does not repeat.
        Fact::Traffic(TrafficFact::StepDecided(f)) => {
            ("step.start", "run", &f.workflow, f.env, f.actor, &f.reasons.0)
        }
        _ => return None,
    };
    let has = |r: Reason| reasons.iter().any(|c| c == r.code());
    let input = Input {
        version: 1,
        class: "admit",
        operation,
        tenant,
        profile,
        principal: "workload",
        scope: Scope { proven: !has(Reason::ScopeMismatch) },
        work: Some(Work { action, workflow: workflow.as_str(), env: env.as_str(), actor: actor.as_str() }),
        workflow: Some(Workflow {
            registered: !has(Reason::WorkflowUnknown),
            prompt_fits: !has(Reason::PromptMismatch),
        }),
        within: Some(Within {
            concurrent_runs: !has(Reason::QuotaConcurrentRuns),
            step_rate: !has(Reason::QuotaStepRate),
            receipt_backlog: !has(Reason::QuotaReceiptBacklog),
        }),
        ramp: Some(Ramp {
            included: !has(Reason::RampExcluded),
            killed: has(Reason::Killed) || has(Reason::KilledDraining),
        }),
        freeze: Freeze { active: false, break_glass: false },
        role: None,
        approvals: None,
    };
    let mut about = String::new();
    if reasons.is_empty() {
        about.push_str("rules      the built-in rules allowed it\n");
    }
    for code in reasons {
        let words = Reason::from_code(code)
            .map_or_else(String::new, |r| format!(": {} {}", r.description().trim(), r.remedy()));
        let _ = writeln!(about, "rules      {}{words}", escape(code, 40));
    }
    Some((about, serde_json::to_value(input).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use conductor_shared::codec::Listed;
    use conductor_shared::fact::{ActorType, Env, RunDecided, Verdict};
    use conductor_shared::ids::{Ident, RunId};
    use conductor_shared::untrusted::UntrustedText;

    /// Issue 3, Policy: `explain` says which rule denied, in words, and asks policy about that very request.
    #[test]
    fn a_receipt_in_words() {
        let fact: Fact = RunDecided {
            principal: "token:00".into(),
            run: RunId([0; 16]),
            workflow: Ident::new("etl").unwrap(),
            env: Env::Production,
            actor: ActorType::Service,
            action: Ident::new("run").unwrap(),
            subject: UntrustedText::new("s"),
            verdict: Verdict::Deny,
            reasons: Listed(vec!["quota_concurrent_runs".into(), "killed".into(), "new_\u{1b}[31m".into()]),
            rule: String::new(),
            bucket: 0,
            ramp: 10_000,
            lease_us: 0,
        }
        .into();
        let (about, input) = of_receipt(Some(&fact), "acme", "default").unwrap();
        insta::assert_snapshot!("explained", format!("{about}{input:#}"));
        assert!(of_receipt(None, "acme", "default").is_none());
    }

    /// Bad input: of a file that has no end so much is read as it may have, and no more.
    #[test]
    fn a_file_is_read_so_far() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_file(&path, 5).unwrap(), b"12345");
        let refused = |path: &Path, most| read_file(path, most).unwrap_err().to_string();
        assert!(refused(&path, 4).contains("more than 4 bytes"), "{}", refused(&path, 4));
        assert!(refused(Path::new("/dev/zero"), 1 << 10).contains("more than 1024 bytes"));
    }

    /// Issue 3, Policy: what is built, signed and read back is one bundle; other files under the statement, another
    /// statement, or none are told apart before anything is sent.
    #[tokio::test]
    async fn built_and_signed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |n: &str| folder.path().join(n);
        let rules = at("rules");
        std::fs::create_dir_all(rules.join("more")).unwrap();
        let main = "package conductor\n\ndefault allow := false\n\nallow if input.class == \"admit\"\n\nreasons contains \"no\" if not allow\n";
        std::fs::write(rules.join("main.rego"), main).unwrap();
        std::fs::write(rules.join("more/site.rego"), "package conductor.site\n\nx := 1\n").unwrap();
        std::fs::write(rules.join("main_test.rego"), "package conductor_test\n\nimport data.conductor\n\ntest_no if not conductor.allow with input as {}\n").unwrap();
        std::fs::write(rules.join("README.md"), "not Rego").unwrap();
        assert_eq!(test(&rules).unwrap().code, 0);
        let b = at("b.tar.gz");
        build(&rules, 3, &b).unwrap();
        assert!(build(&rules, 3, &b).is_err(), "it writes over nothing");
        assert!(signed_bundle(&b).is_err(), "not signed yet");
        let key = crate::client::keys::create(&at("policy.key"), None).unwrap();
        let secret = key.secret_file.to_string_lossy().into_owned();
        let cli = super::super::args::Cli::try_parse_from(["conductor", "--key", &secret, "policy", "show"]);
        let context = Context::new(cli.unwrap().global).unwrap();
        sign(&context, &b, 30).await.unwrap();
        let (archive, statement, signature) = signed_bundle(&b).unwrap();
        assert_eq!(
            (statement.revision, statement.expires_at_us - statement.built_at_us),
            (3, 30 * DAY_S * 1_000_000)
        );
        let text = statement.text();
        verify_minisign(&key.public_key, text.as_bytes(), &signature).unwrap();
        assert_eq!(Bundle::unpack(&archive).unwrap().digest(), statement.digest);
        assert_eq!(public_key_of(&key.public_file).unwrap(), key.public_key);
        assert!(public_key_of(&key.secret_file).is_err());
        // The same files under another name are not what was signed.
        std::fs::rename(rules.join("more/site.rego"), rules.join("site.rego")).unwrap();
        std::fs::remove_file(&b).unwrap();
        build(&rules, 3, &b).unwrap();
        let e = signed_bundle(&b).unwrap_err().to_string();
        assert!(e.contains("not the files that were signed"), "{e}");
        // A test that fails, and a rule that the agent would refuse, are failures.
        std::fs::write(rules.join("site.rego"), "package conductor.site\n\nx := time.now_ns()\n").unwrap();
        assert!(test(&rules).unwrap_err().to_string().contains("time.now_ns"));
        std::fs::write(rules.join("site.rego"), "package conductor\n\nallow if true\n").unwrap();
        assert!(test(&rules).is_err());
        // So is a name that is nowhere, with its line; a test may not stand in for it.
        let typo = "package conductor.site\n\nx if {\n\tinput.never\n\tstartwith(input.tenant, \"a\")\n}\n";
        std::fs::write(rules.join("site.rego"), typo).unwrap();
        for refused in [test(&rules).map(drop), build(&rules, 4, &at("typo.tar.gz")).map(drop)] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("site.rego:5: `startwith`") && said.contains("`startswith`"), "{said}");
        }
        // Data is in the bundle: another value is another bundle.
        let by_data = "package conductor.site\n\nx if data.conductor.limits[input.tenant] > 1\n";
        std::fs::write(rules.join("site.rego"), by_data).unwrap();
        let with = |limit: u32, out: &str| {
            std::fs::write(
                rules.join("data.json"),
                format!("{{\"conductor\": {{\"limits\": {{\"a\": {limit}}}}}}}"),
            )
            .unwrap();
            build(&rules, 4, &at(out)).unwrap();
            Bundle::unpack(&std::fs::read(at(out)).unwrap()).unwrap().digest()
        };
        assert_ne!(with(1, "one.tar.gz"), with(2, "two.tar.gz"));
    }
}
