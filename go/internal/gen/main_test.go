package main

import (
	"os"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

func TestTheCommittedFileIsWhatTheHeaderGives(t *testing.T) {
	source, err := generate(read(t, "../../../include/portlease.h"))
	if err != nil {
		t.Fatal(err)
	}
	if string(source) != read(t, "../../enums.go") {
		t.Error("enums.go is not fresh; go generate writes it anew")
	}
}

func TestAnEnumThatIsMissingOrNotKnownIsAnError(t *testing.T) {
	header := read(t, "../../../include/portlease.h")
	for change, wanted := range map[string]string{
		strings.ReplaceAll(header, "enum portlease_state", "enum portlease_status"):        "no enum portlease_state",
		header + "\nenum portlease_colour {\n  PORTLEASE_COLOUR_RED = 1,\n};\n":            "no Go type for enum portlease_colour",
		strings.Replace(header, "PORTLEASE_STATE_IDLE", "PORTLEASE_CONDITION_IDLE", 1):     "PORTLEASE_CONDITION_IDLE",
		strings.Replace(header, "PORTLEASE_STATE_IDLE = 0", "PORTLEASE_STATE_IDLE = a", 1): "cannot read",
	} {
		if _, err := generate(change); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("want an error with %q, got %v", wanted, err)
		}
	}
}
