//! Log macros: to defmt or to the log crate, whichever the board has chosen.
//!
//! Arguments have to be formattable by both; with neither they are only
//! borrowed.

/// What happened.
macro_rules! info {
    ($($arg:tt)*) => { log_at!(info, $($arg)*) };
}

/// What went wrong, and goes on all the same.
macro_rules! warning {
    ($($arg:tt)*) => { log_at!(warn, $($arg)*) };
}

macro_rules! log_at {
    ($level:ident, $text:literal $(, $arg:expr)* $(,)?) => {{
        #[cfg(feature = "defmt")]
        ::defmt::$level!($text $(, $arg)*);
        #[cfg(all(feature = "log", not(feature = "defmt")))]
        ::log::$level!($text $(, $arg)*);
        #[cfg(not(any(feature = "defmt", feature = "log")))]
        let _ = ($(&$arg,)*);
    }};
}
