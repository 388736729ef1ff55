package portlease_test

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestTheReadmeShowsWhatTheExamplesDo: its code is that of the examples, which run; only their router is simulated.
func TestTheReadmeShowsWhatTheExamplesDo(t *testing.T) {
	read := func(path string) string {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(file)) {
			lines = append(lines, strings.TrimSpace(line))
		}
		return strings.Join(lines, "\n")
	}
	examples := strings.NewReplacer(", config)", ")", "Start(config)", "Start(portlease.Config{})").Replace(read("example_test.go"))
	blocks := strings.Split(read("README.md"), "```go\n")[1:]
	if len(blocks) < 3 {
		t.Fatalf("there are %d examples in the README", len(blocks))
	}
	for _, block := range blocks {
		code, _, ended := strings.Cut(block, "\n```")
		if !ended || !strings.Contains(examples, code) {
			t.Errorf("this is in no example:\n%s", code)
		}
		if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+code+"\n}", 0); err != nil {
			t.Errorf("this cannot stand in a function: %v\n%s", err, code)
		}
	}
}
