# What UniFFI's Kotlin lacks. It makes its machinery public: users see records, enums, the exception and the hand-written
# classes, and all else is internal. Java cannot name a getter of a `Duration`, so records have one for Java too. A call's
# status comes from where JNA is prepared first, and the native library's name from where it is chosen.

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
/^(internal |public )?((open )?class|interface|object|fun|inline fun) / || /^internal / || /^data class (Simulated|LogRecord)/ || /^enum class LogLevel/ {
  sub(/^(public )?/, "internal "); sub(/^internal internal /, "internal ")
}
/^private fun findLibraryName/ { sub(/^private/, "internal") }
/^    return "portlease_uniffi"$/ { sub(/".*"/, "libraryName") }
/fun `(startMapper|beginOpen|stopAll)`/ { sub(/(suspend )?fun/, "internal &") }
/^    var status = UniffiRustCallStatus\(\)$/ { print "    val status = newCallStatus()"; next }

# --- What users see ---
/^(data|enum|sealed) class [A-Z]/ {
  users = $3
  sub(/[^A-Za-z].*/, "", users)
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
# Each exception has its report; what that says can be asked of the exception.
users == "PortLeaseException" && /^ *val `report`:/ { sub(/val/, "override val") }
users == "PortLeaseException" && /get\(\) = "report=/ { sub(/get\(\).*/, "get() = report.message") }
users == "PortLeaseException" && /companion object ErrorHandler/ {
  print "    /** What has failed, and why. */"
  print "    public abstract val report: ErrorReport"
  print ""
  print "    /** The stable kind, the same in every language; for `when`, the subclasses do as well. */"
  print "    public val kind: ErrorKind get() = report.kind"
  print ""
  print "    /** What each protocol that was tried has answered, in the order of preference; empty if no protocol was asked. */"
  print "    public val details: List<ErrorDetail> get() = report.details"
  print ""
  print "    /** One sentence for people about what to do now; null if there is nothing to do. */"
  print "    public val advice: String? get() = report.advice"
  print ""
  print "    /** How long it is useless to try again, if that is known. */"
  print "    public val retryAfter: kotlin.time.Duration? get() = report.retryAfter"
  print ""
  print "    /** [retryAfter] for Java. */"
  print "    @JvmName(\"getRetryAfter\")"
  print "    public fun javaRetryAfter(): java.time.Duration? = report.javaRetryAfter()"
  print ""
  sub(/companion/, "internal companion"); sub(/internal internal/, "internal")
}
{ print }
