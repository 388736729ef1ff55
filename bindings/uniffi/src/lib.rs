//! portlease for Kotlin and Swift, by UniFFI.
