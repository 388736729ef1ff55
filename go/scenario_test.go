package portlease_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// atOneTime is how many tests run at once: scenarios mostly wait for lifetimes to run out.
const atOneTime = "12"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", atOneTime); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

const scenarios = "../tests/scenarios"

// scenarioFiles are the JSON files of a folder, at least so many.
func scenarioFiles(t *testing.T, folder string, atLeast int) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) < atLeast {
		t.Fatalf("found %d scenarios in %s, %v; want at least %d", len(files), folder, err, atLeast)
	}
	return files
}

func readScenario(path string) (*scenario, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseScenario(file)
}

func title(path string) string {
	return strings.TrimSuffix(filepath.Base(path), ".json")
}

// TestScenarios plays every scenario of tests/scenarios, each against a gateway of its own.
func TestScenarios(t *testing.T) {
	for _, path := range scenarioFiles(t, scenarios, 25) {
		t.Run(title(path), func(t *testing.T) {
			t.Parallel()
			s, err := readScenario(path)
			if err != nil {
				t.Fatal(err)
			}
			if failed := play(s); failed != nil {
				t.Fatalf("%s: %v", s.name, failed)
			}
		})
	}
}

// TestWrongScenariosAreNoticed plays those that say something wrong: the runner must notice, and at the right place.
func TestWrongScenariosAreNoticed(t *testing.T) {
	for _, path := range scenarioFiles(t, filepath.Join(scenarios, "must_fail"), 5) {
		t.Run(title(path), func(t *testing.T) {
			t.Parallel()
			s, err := readScenario(path)
			if err != nil {
				// What cannot even be read is noticed already, so it names no place.
				t.Logf("noticed: %v", err)
				return
			}
			failed := play(s)
			switch {
			case failed == nil:
				t.Fatal("this scenario is wrong, and the runner did not notice")
			case s.failsAt != nil && !reflect.DeepEqual(s.failsAt, failed.at):
				t.Fatalf("it should fail at %v, not at %v: %v", s.failsAt, failed.at, failed)
			}
			t.Logf("noticed: %v", failed)
		})
	}
}
