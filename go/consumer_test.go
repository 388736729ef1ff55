package portlease_test

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// consumer is a program of somebody else, in a module of its own.
const consumer = `package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	portlease "github.com/portlease/portlease/go"
)

func main() {
	pcp, err := strconv.ParseUint(os.Args[2], 10, 16)
	if err != nil {
		panic(err)
	}
	config := portlease.Config{
		Gateway: netip.MustParseAddr(os.Args[1]), PCPPort: uint16(pcp), SSDPAddress: netip.MustParseAddrPort(os.Args[3]),
	}
	port, err := portlease.Open(context.Background(), portlease.Request{Port: 4000, Transport: portlease.UDP}, config)
	if err != nil {
		panic(err)
	}
	defer port.Close()
	fmt.Println(port.Snapshot().External)
}
`

// TestAnotherModuleBuildsAgainstWhatIsInstalled builds a program outside of this checkout, with nothing but the module
// and an installed library that pkg-config finds, and runs it.
func TestAnotherModuleBuildsAgainstWhatIsInstalled(t *testing.T) {
	t.Parallel()
	checkout, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	libraries := command(t, ".", nil, "pkg-config", "--variable=libdir", "portlease")
	for name, linked := range map[string]struct {
		flags  []string
		shared bool
	}{
		"shared": {nil, true},
		"static": {[]string{"-tags", "portlease_static"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for file, content := range map[string]string{
				"main.go": consumer,
				"go.mod": "module example.org/consumer\n\ngo 1.24.0\n\n" +
					"require github.com/portlease/portlease/go v0.0.0\n\n" +
					"replace github.com/portlease/portlease/go => " + checkout + "\n",
			} {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			build := append([]string{"build", "-o", "consumer"}, linked.flags...)
			command(t, folder, []string{"GOFLAGS=", "GOWORK=off", "GOPROXY=off"}, "go", build...)
			program := filepath.Join(folder, "consumer")
			if runtime.GOOS == "linux" {
				if needed := imported(t, program); needed != linked.shared {
					t.Errorf("the shared library is wanted at run time: %v", needed)
				}
			}
			g := startGateway(t, map[string]any{"external_address": "192.0.1.1"})
			var environment []string
			if linked.shared {
				environment = append(environment, "LD_LIBRARY_PATH="+libraries)
			}
			said := command(t, folder, environment, program, g.gateway.String(), fmt.Sprint(g.pcpPort), g.ssdp.String())
			if said != "192.0.1.1:4000" {
				t.Errorf("it says %q", said)
			}
			g.waitForMappings(t, 0)
		})
	}
}

func TestABuildWithoutCgoSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	build := exec.Command("go", "build", "-o", os.DevNull, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err == nil || !strings.Contains(string(out), "needs cgo") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheModuleHasTheLicencesOfTheRepository(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"LICENSE-APACHE", "LICENSE-MIT"} {
		own, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// What is published as a module is this folder alone.
		if theirs, err := os.ReadFile(filepath.Join("..", name)); err != nil || string(own) != string(theirs) {
			t.Errorf("%s is another: %v", name, err)
		}
	}
}

// imported says whether a program wants the shared library.
func imported(t *testing.T, program string) bool {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	names, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "libportlease.so") })
}

func command(t *testing.T, folder string, environment []string, name string, arguments ...string) string {
	t.Helper()
	c := exec.Command(name, arguments...)
	c.Dir = folder
	c.Env = append(os.Environ(), environment...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", c, err, out)
	}
	return strings.TrimSpace(string(out))
}
