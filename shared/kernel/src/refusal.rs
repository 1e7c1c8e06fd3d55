//! Refusals: small enums of why a rule says no, with codes that never change.

/// Makes such enums: a variant, its code and a sentence for a person. Each turns into `kernel::Error::Refused`.
#[macro_export]
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $code:literal: $detail:literal;)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum $name {
            $($(#[$case_doc])* #[error($detail)] $case,)+
        }

        impl $name {
            /// A stable name.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$case => $code,)+
                }
            }
        }

        impl From<$name> for $crate::Error {
            fn from(refusal: $name) -> Self {
                Self::refused(refusal.code(), refusal.to_string())
            }
        }
    )+};
}
