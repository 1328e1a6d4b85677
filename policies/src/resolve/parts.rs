//! Sub-expressions of rules and expressions, for the passes that traverse them.

use super::{Reference, Step};
use regorus::unstable::{Expr, Query, Ref, RuleHead};

/// Expressions of a rule's head that are evaluated.
pub(super) fn of_head(head: &RuleHead) -> Vec<&Ref<Expr>> {
    let (refr, more) = match head {
        RuleHead::Compr { refr, assign, .. } => (refr, assign.as_ref().map(|a| &a.value)),
        RuleHead::Set { refr, key, .. } => (refr, key.as_ref()),
        RuleHead::Func { refr, assign, .. } => (refr, assign.as_ref().map(|a| &a.value)),
    };
    let open = Reference::of(refr).steps.into_iter().filter_map(|s| match s {
        Step::Open(index) => Some(index),
        Step::Named(_) => None,
    });
    open.chain(more).collect()
}

/// Direct sub-expressions, and the query of a comprehension or `every`.
pub(super) fn of_expression(expr: &Ref<Expr>) -> (Vec<&Ref<Expr>>, Option<&Query>) {
    match expr.as_ref() {
        Expr::Array { items, .. } | Expr::Set { items, .. } => (items.iter().collect(), None),
        Expr::Object { fields, .. } => (fields.iter().flat_map(|(_, k, v)| [k, v]).collect(), None),
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            (vec![term], Some(query))
        }
        Expr::ObjectCompr { key, value, query, .. } => (vec![key, value], Some(query)),
        Expr::Call { params, .. } => (params.iter().collect(), None),
        Expr::UnaryExpr { expr, .. } => (vec![expr], None),
        Expr::RefDot { refr, .. } => (vec![refr], None),
        Expr::RefBrack { refr, index, .. } => (vec![refr, index], None),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => (vec![lhs, rhs], None),
        Expr::Membership { key, value, collection, .. } => {
            (key.iter().chain([value, collection]).collect(), None)
        }
        _ => (vec![], None),
    }
}
