//! A source as a flat list of tokens, for patterns that must hold inside macros as well.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A word or a mark. Two colons are one mark; the text of a literal is not code and is marked as such.
#[derive(Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
    pub is_literal: bool,
}

/// The tokens of a stream; groups are opened and closed by their brackets.
pub fn tokens(stream: TokenStream) -> Vec<Token> {
    let mut found = Vec::new();
    collect(stream, &mut found);
    found
}

fn collect(stream: TokenStream, found: &mut Vec<Token>) {
    let mut first_colon = false;
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |text: String, line| found.push(Token { text, line, is_literal: false });
        match tree {
            TokenTree::Ident(ident) => push(ident.to_string(), line),
            TokenTree::Punct(mark) if mark.as_char() == ':' && first_colon => {
                first_colon = false;
                push("::".to_owned(), line);
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' && mark.spacing() == Spacing::Joint => {
                first_colon = true;
            }
            TokenTree::Punct(mark) => push(mark.as_char().to_string(), line),
            TokenTree::Literal(text) => {
                found.push(Token { text: text.to_string(), line, is_literal: true });
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), line);
                let end = group.span_close().start().line;
                collect(group.stream(), found);
                found.push(Token { text: close.to_owned(), line: end, is_literal: false });
            }
        }
    }
}
