//! Variables that a rule declares: its arguments, `some`, `every` and `:=`. They hide rules and imports of the same name.
//! They are taken to hold in the whole rule: a name that is a rule in one line of it and a variable in another is left to
//! the interpreter.

use super::parts::{of_expression, of_head};
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Ref, Rule, RuleHead};
use std::collections::BTreeSet;

/// Collects the names that a rule declares.
pub(super) fn of(rule: &Rule) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    match rule {
        Rule::Spec { head, bodies, .. } => {
            if let RuleHead::Func { args, .. } = head {
                for a in args {
                    pattern(a, &mut names);
                }
            }
            for e in of_head(head) {
                expression(e, &mut names);
            }
            for body in bodies {
                query(&body.query, &mut names);
                if let Some(a) = &body.assign {
                    expression(&a.value, &mut names);
                }
            }
        }
        Rule::Default { args, value, .. } => {
            for a in args {
                pattern(a, &mut names);
            }
            expression(value, &mut names);
        }
    }
    names
}

/// The variables of a pattern, where a value is destructured.
fn pattern(expr: &Ref<Expr>, names: &mut BTreeSet<String>) {
    match expr.as_ref() {
        Expr::Var { span, .. } => drop(names.insert(span.text().to_owned())),
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().for_each(|i| pattern(i, names)),
        Expr::Object { fields, .. } => fields.iter().for_each(|(_, _, v)| pattern(v, names)),
        _ => {}
    }
}

fn query(q: &Query, names: &mut BTreeSet<String>) {
    for LiteralStmt { literal, with_mods, .. } in &q.stmts {
        match literal {
            Literal::SomeVars { vars, .. } => names.extend(vars.iter().map(|v| v.text().to_owned())),
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value]).for_each(|p| pattern(p, names));
                expression(collection, names);
            }
            Literal::Every { key, value, domain, query: inner, .. } => {
                names.extend(key.iter().chain([value]).map(|v| v.text().to_owned()));
                expression(domain, names);
                query(inner, names);
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => expression(expr, names),
        }
        for w in with_mods {
            expression(&w.r#as, names);
        }
    }
}

fn expression(expr: &Ref<Expr>, names: &mut BTreeSet<String>) {
    if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expr.as_ref() {
        pattern(lhs, names);
    }
    let (parts, inner) = of_expression(expr);
    for p in parts {
        expression(p, names);
    }
    if let Some(q) = inner {
        query(q, names);
    }
}
