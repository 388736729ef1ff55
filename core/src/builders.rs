//! Builder methods for the structs that callers fill: such a struct can grow without breaking them.

/// One method for each field, named like it. `text(impl Into<String>)` stands for a field `text: String`.
macro_rules! builders {
    ($($field:ident($argument:ty)),+ $(,)?) => {$(
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $argument) -> Self {
            self.$field = $field.into();
            self
        }
    )+};
}
pub(crate) use builders;
