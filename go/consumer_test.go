package portlease_test

import (
	"debug/elf"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
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
	libraries := command(t, ".", nil, "pkg-config", "--variable=libdir", "portlease")
	for name, linked := range map[string]struct {
		flags  []string
		shared bool
	}{
		"shared":  {[]string{"-tags", "portlease_shared"}, true},
		"archive": {[]string{"-tags", "portlease_pkgconfig"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := consumerModule(t, map[string]string{"main.go": consumer})
			build := append([]string{"build", "-o", "consumer"}, linked.flags...)
			command(t, folder, alone, "go", build...)
			program := filepath.Join(folder, "consumer")
			if runtime.GOOS == "linux" {
				if needed := imported(t, program, "libportlease.so"); needed != linked.shared {
					t.Errorf("the shared library is needed at run time: %v", needed)
				}
				if !linked.shared && imported(t, program, "libgcc_s.so") {
					t.Error("the compiler's shared library is needed at run time")
				}
			}
			g := startGateway(t, map[string]any{"external_address": "192.0.1.1"})
			var environment []string
			if linked.shared {
				environment = append(environment, "LD_LIBRARY_PATH="+libraries)
			}
			said := command(t, folder, environment, program, g.Address.String(), fmt.Sprint(g.PCPPort), g.SSDP.String())
			if said != "192.0.1.1:4000" {
				t.Errorf("it says %q", said)
			}
			g.waitForMappings(t, 0)
		})
	}
}

// TestAnotherModuleFindsTheCheckoutByTheReadmesWorkspace follows the README of an adapter, as long as nothing is published.
func TestAnotherModuleFindsTheCheckoutByTheReadmesWorkspace(t *testing.T) {
	t.Parallel()
	folder, checkout := t.TempDir(), filepath.Dir(command(t, ".", nil, "go", "env", "GOMOD"))
	for file, content := range map[string]string{
		"go.mod":  "module example.org/consumer\n\ngo 1.24\n",
		"main.go": "package main\n\nimport _ \"github.com/portlease/portlease/go/adapters/ethereum\"\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	readme, err := os.ReadFile("adapters/ethereum/README.md")
	if err != nil {
		t.Fatal(err)
	}
	const line = "go work init . PATH/go PATH/go/adapters/ethereum"
	if !strings.Contains(string(readme), "\n"+line+"\n") {
		t.Fatalf("the README does not say %q", line)
	}
	words := strings.Fields(strings.ReplaceAll(line, "PATH/go", checkout))
	environment := []string{"GOFLAGS=", "GOWORK=", "GOPROXY=off", "GOTOOLCHAIN=local"}
	command(t, folder, environment, words[0], words[1:]...)
	command(t, folder, environment, "go", "vet", "-tags", "portlease_pkgconfig", ".")
}

// alone are the variables of a build that takes nothing from elsewhere, also no other version of Go.
var alone = []string{"GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local"}

// consumerModule is the folder of somebody else's module, whose go.mod says what those of most modules say.
func consumerModule(t *testing.T, files map[string]string) string {
	t.Helper()
	checkout, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	files["go.mod"] = "module example.org/consumer\n\ngo 1.24\n\n" +
		"require github.com/portlease/portlease/go v0.0.0\n\n" +
		"replace github.com/portlease/portlease/go => " + checkout + "\n"
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// consumerTest is a test of somebody else's program, which is built without cgo.
const consumerTest = `package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	portlease "github.com/portlease/portlease/go"
)

func TestWithoutCgo(t *testing.T) {
	request := portlease.Request{Port: 4000, Transport: portlease.UDP}
	_, onStart := portlease.Start(portlease.Config{})
	_, onOpen := portlease.Open(context.Background(), request)
	var mapper portlease.Mapper
	_, onMap := mapper.Map(request)
	for _, err := range []error{onStart, onOpen, onMap} {
		if !errors.Is(err, portlease.ErrUnavailable) || !strings.Contains(err.Error(), "CGO_ENABLED=1") {
			t.Error(err)
		}
		var failed *portlease.Error
		if !errors.As(err, &failed) || failed.Advice == "" {
			t.Errorf("no advice: %+v", failed)
		}
	}
	if err := mapper.Close(); err != nil {
		t.Error(err)
	}
}
`

func TestAProgramBuildsForEverySystemWithoutCgoAndIsToldThatItCannotMap(t *testing.T) {
	t.Parallel()
	folder := consumerModule(t, map[string]string{"main.go": consumer, "main_test.go": consumerTest})
	withoutCgo := append([]string{"CGO_ENABLED=0"}, alone...)
	for _, system := range []string{"windows", "darwin"} {
		command(t, folder, append([]string{"GOOS=" + system}, withoutCgo...), "go", "build", "-o", os.DevNull, ".")
	}
	command(t, folder, withoutCgo, "go", "vet", "./...")
	command(t, folder, withoutCgo, "go", "test", "./...")
}

// platforms are those with a prebuilt library.
var platforms = []string{"linux/amd64", "linux/arm64", "windows/amd64", "darwin/amd64", "darwin/arm64"}

// linking are the files that say what is linked, in a build for a platform with some tags, and the modules that they import.
func linking(t *testing.T, platform string, tags ...string) (files, modules []string) {
	t.Helper()
	context := build.Default
	context.CgoEnabled, context.BuildTags = true, tags
	context.GOOS, context.GOARCH, _ = strings.Cut(platform, "/")
	pkg, err := context.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Concat(pkg.GoFiles, pkg.CgoFiles) {
		if strings.HasPrefix(file, "link_") {
			files = append(files, file)
		}
	}
	for _, path := range pkg.Imports {
		if _, module, found := strings.Cut(path, "portlease/go/lib/"); found {
			modules = append(modules, module)
		}
	}
	return files, modules
}

func TestEachPlatformLinksItsOwnLibraryUnlessATagTakesTheInstalledOne(t *testing.T) {
	t.Parallel()
	for _, platform := range platforms {
		name := strings.ReplaceAll(platform, "/", "-")
		if _, modules := linking(t, platform); !slices.Equal(modules, []string{name}) {
			t.Errorf("%s links %v", platform, modules)
		}
		if _, err := os.Stat(filepath.Join("lib", name, "go.mod")); err != nil {
			t.Error(err)
		}
		for _, tag := range []string{"portlease_pkgconfig", "portlease_shared"} {
			wanted := "link_" + strings.TrimPrefix(tag, "portlease_") + ".go"
			if files, _ := linking(t, platform, tag); !slices.Equal(files, []string{wanted}) {
				t.Errorf("%s with %s links by %v", platform, tag, files)
			}
		}
	}
}

func TestAPlatformWithoutALibraryIsToldInOneLineWhatToDo(t *testing.T) {
	t.Parallel()
	for _, platform := range []string{"linux/386", "windows/arm64", "freebsd/amd64", "android/arm64", "ios/arm64"} {
		if files, _ := linking(t, platform); !slices.Equal(files, []string{"link_none.go"}) {
			t.Errorf("%s links by %v", platform, files)
		}
	}
	cgo := exec.Command("go", "tool", "cgo", "-objdir", t.TempDir(), "link_none.go")
	cgo.Env = append(os.Environ(), alone...)
	out, err := cgo.CombinedOutput()
	if err == nil || strings.Count(string(out), "error:") != 1 || !strings.Contains(string(out), "-tags portlease_pkgconfig") {
		t.Errorf("it says: %s", out)
	}
}

// declarations are the exported functions and methods of this package, with their types.
func declarations(t *testing.T, cgo bool) map[string]string {
	t.Helper()
	context := build.Default
	context.CgoEnabled = cgo
	pkg, err := context.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	found, files := map[string]string{}, token.NewFileSet()
	for _, path := range slices.Concat(pkg.GoFiles, pkg.CgoFiles) {
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				name = types.ExprString(f.Recv.List[0].Type) + "." + name
			}
			var of []string
			for _, fields := range []*ast.FieldList{f.Type.Params, f.Type.Results} {
				for _, field := range fields.List {
					of = append(of, types.ExprString(field.Type))
				}
				of = append(of, ";")
				if f.Type.Results == nil {
					break
				}
			}
			found[name] = strings.Join(of, " ")
		}
	}
	return found
}

func TestABuildWithoutCgoHasTheSameFunctions(t *testing.T) {
	t.Parallel()
	with, without := declarations(t, true), declarations(t, false)
	if !maps.Equal(with, without) {
		t.Errorf("with cgo: %v\nwithout: %v", with, without)
	}
	if len(with) < 50 {
		t.Errorf("these are not all: %v", with)
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

// imported says whether a program wants a shared library.
func imported(t *testing.T, program, library string) bool {
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
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, library) })
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
