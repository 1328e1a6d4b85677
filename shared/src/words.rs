//! Closed lists of public words: what strum's derives do not give by themselves.

/// Adds all variants, the word of each, and the way back to enums that derive `VariantArray`, `IntoStaticStr` and
/// `EnumString`.
macro_rules! words {
    ($($name:ident),+) => {$(
        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
            /// The public word.
            pub fn as_str(self) -> &'static str {
                self.into()
            }
            /// From the public word.
            pub fn from_word(word: &str) -> Option<Self> {
                word.parse().ok()
            }
            fn unknown(_: &str) -> String {
                let known: Vec<&str> = Self::ALL.iter().map(Into::into).collect();
                format!("expected one of: {}", known.join(" "))
            }
        }
    )+};
}
pub(crate) use words;

/// Says in the document of the API what a type looks like that is written as text of its own form.
macro_rules! text_schema {
    ($name:ident, $pattern:expr, $description:literal) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": $pattern, "description": $description})
            }
        }
    };
}
pub(crate) use text_schema;
