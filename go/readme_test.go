package portlease_test

import (
	"strings"
	"testing"

	"github.com/portlease/portlease/go/internal/shown"
)

// TestTheReadmeShowsWhatTheExamplesDo: its code is that of the examples, which run; only their router is simulated.
func TestTheReadmeShowsWhatTheExamplesDo(t *testing.T) {
	shown.Check(t, "README.md", 3, atHome(shown.Code(t, "example_test.go")))
}

// atHome is the code of examples without their simulated router.
func atHome(code string) string {
	return strings.NewReplacer(", config)", ")", "Start(config)", "Start(portlease.Config{})").Replace(code)
}
