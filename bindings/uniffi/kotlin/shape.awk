# What UniFFI's Kotlin lacks. It makes its machinery public: users see records, enums, the exception and the hand-written
# classes, and all else is internal. Java cannot name a getter of a `Duration`, so records have one for Java too. A call's
# status comes from where JNA is prepared first.

# The functions that Java gets for the durations of a record, and then the end of its body.
function java_durations(indent,    number) {
  for (number = 1; number <= durations; number++) {
    name = duration[number]
    print indent "/** [" name "] for Java. */"
    print indent "@JvmName(\"get" toupper(substr(name, 1, 1)) substr(name, 2) "\")"
    print indent "public fun java" toupper(substr(name, 1, 1)) substr(name, 2) "(): java.time.Duration" \
      (optional[number] ? "? = `" name "`?." : " = `" name "`.") "toJavaDuration()"
    print ""
  }
  durations = 0
}

NR == 1 { print "@file:JvmSynthetic" }

/^import kotlin.time.Duration.Companion.seconds/ { print "import kotlin.time.toJavaDuration\nimport kotlin.time.toKotlinDuration" }

# --- Machinery ---
/^(internal |public )?((open )?class|interface|object|fun|inline fun) / || /^internal / || /^data class Simulated/ {
  sub(/^(public )?/, "internal "); sub(/^internal internal /, "internal ")
}
/^private fun findLibraryName/ { sub(/^private/, "internal") }
/fun `(startMapper|beginOpen|stopAll)`/ { sub(/(suspend )?fun/, "internal &") }
/^    var status = UniffiRustCallStatus\(\)$/ { print "    val status = newCallStatus()"; next }

# --- What users see ---
/^(data|enum|sealed) class [A-Z]/ {
  users = ($3 ~ /\(/) ? substr($3, 1, index($3, "(") - 1) : $3
  durations = 0
}
/^public typealias/ { sub(/public/, "internal") }
/^internal / { users = "" }

# A name is written as in every language, without a call of the native library.
users != "" && /The local Rust `Display`/ {
  print "    override fun toString(): String = name.lowercase().replace('_', '-')"
  text = 1
  next
}
text { if ($0 == "    }") text = 0; next }

users != "" && /^ *val `[a-zA-Z]*`: (io\.portlease\.)?Seconds/ {
  split($0, parts, "`")
  duration[++durations] = parts[2]
  optional[durations] = $0 ~ /Seconds\?/
}
users != "" && /^        companion object$/ { java_durations("        "); next }
users != "" && /^    companion object$/ {
  java_durations("    ")
  if (users == "Config") {
    print "    public companion object {"
    print "        /** A builder, for Java. */"
    print "        @JvmStatic public fun builder(): ConfigBuilder = ConfigBuilder()"
    print "    }"
  } else if (users == "MapRequest") {
    print "    public companion object {"
    print "        /** A builder, for Java. */"
    print "        @JvmStatic public fun builder(port: Int, transport: Transport): MapRequestBuilder = MapRequestBuilder(port, transport)"
    print "    }"
  } else if (users == "RetryPolicy") {
    print "    public companion object {"
    print "        /** [Never], for Java. */"
    print "        @JvmStatic public fun never(): RetryPolicy = Never"
    print ""
    print "        /** [Backoff], for Java; null is the default. */"
    print "        @JvmStatic public fun backoff(min: java.time.Duration?, max: java.time.Duration?): RetryPolicy ="
    print "            Backoff(min?.toKotlinDuration(), max?.toKotlinDuration())"
    print "    }"
  }
  next
}
users == "PortLeaseException" && /companion object ErrorHandler/ {
  print "    /** The stable kind, the same in every language; for `when`, the subclasses do as well. */"
  print "    public val kind: ErrorKind get() = kindOf(this)"
  print ""
  sub(/companion/, "internal companion"); sub(/internal internal/, "internal")
}
{ print }
