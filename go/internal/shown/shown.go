// Package shown keeps the code in texts, such as a README, to code that is compiled and runs.
package shown

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// Code reads files of code, without the indentation of lines.
func Code(t testing.TB, paths ...string) string {
	t.Helper()
	var lines []string
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(file)) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// Check fails for each block of Go code in a text that is not in the code, and if there are fewer blocks than expected.
func Check(t testing.TB, text string, atLeast int, code string) {
	t.Helper()
	blocks := strings.Split(Code(t, text), "```go\n")[1:]
	if len(blocks) < atLeast {
		t.Fatalf("there are %d examples in %s", len(blocks), text)
	}
	for _, block := range blocks {
		example, _, ended := strings.Cut(block, "\n```")
		if !ended || !strings.Contains(code, example) {
			t.Errorf("this is in no example:\n%s", example)
		}
		_, inFunction := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+example+"\n}", 0)
		_, inFile := parser.ParseFile(token.NewFileSet(), "", "package p\n"+example, 0)
		if inFunction != nil && inFile != nil {
			t.Errorf("this can stand neither in a function nor outside of one: %v, %v\n%s", inFunction, inFile, example)
		}
	}
}
