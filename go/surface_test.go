package portlease_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	portlease "github.com/portlease/portlease/go"
)

// surface is tests/surface.json: what every language has, no less and no more.
func surface(t *testing.T) map[string]any {
	t.Helper()
	file, err := os.ReadFile("../tests/surface.json")
	if err != nil {
		t.Fatal(err)
	}
	var lists map[string]any
	if err := json.Unmarshal(file, &lists); err != nil {
		t.Fatal(err)
	}
	return lists
}

// sameNames fails for a name that the file has and Go has not, the other way round, and for one that comes twice.
func sameNames(t *testing.T, what string, listed any, ours []string) {
	t.Helper()
	items, ok := listed.([]any)
	if !ok {
		t.Fatalf("surface.json has no list %s", what)
	}
	wanted := make([]string, len(items))
	for i, item := range items {
		wanted[i] = fmt.Sprint(item)
	}
	slices.Sort(wanted)
	slices.Sort(ours)
	if !slices.Equal(wanted, ours) {
		t.Errorf("%s: the file has %v, Go has %v", what, wanted, ours)
	}
}

// snake writes a Go name as the other languages do: PCPPort is pcp_port.
func snake(name string) string {
	letters := []rune(name)
	var out strings.Builder
	for i, letter := range letters {
		begins := i > 0 && unicode.IsUpper(letter) &&
			(unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(letter))
	}
	return out.String()
}

// enumNames are the strings of all values of an enum; a value that is none says so with its number in brackets.
func enumNames[E ~uint8](name func(E) string) []string {
	var names []string
	for number := range 256 {
		if text := name(E(number)); text != "" && !strings.Contains(text, "(") {
			names = append(names, text)
		}
	}
	return names
}

func TestNamesAreThoseOfEveryLanguage(t *testing.T) {
	lists := surface(t)
	sameNames(t, "kinds", lists["kinds"], enumNames(portlease.Kind.String))
	sameNames(t, "states", lists["states"], enumNames(portlease.LeaseState.String))
	sameNames(t, "events", lists["events"], enumNames(portlease.EventKind.String))
	sameNames(t, "protocols_of_mappings", lists["protocols_of_mappings"], enumNames(portlease.Protocol.String))
	sameNames(t, "transports", lists["transports"], enumNames(portlease.Transport.String))
	sameNames(t, "nat_classes", lists["nat_classes"], enumNames(portlease.NATClass.String))
	sameNames(t, "address_classes", lists["address_classes"], enumNames(portlease.AddressClass.String))
	sameNames(t, "releases", lists["releases"], enumNames(portlease.Release.String))
	// Go has them as those of slog, with one below its last.
	sameNames(t, "log_levels", lists["log_levels"], []string{"error", "warn", "info", "debug", "trace"})
	sameNames(t, "families", lists["families"], enumNames(portlease.AddressFamily.String))
}

// A mapper may be told to use these protocols, and no others.
func TestTheProtocolsThatCanBeAskedForAreThoseOfEveryLanguage(t *testing.T) {
	var accepted []string
	for number := range 16 {
		protocol := portlease.Protocol(number)
		if mapper, err := portlease.Start(portlease.Config{Protocols: []portlease.Protocol{protocol}}); err == nil {
			mapper.Close()
			accepted = append(accepted, protocol.String())
		}
	}
	sameNames(t, "protocols", surface(t)["protocols"], accepted)
}

func TestThisFileKnowsEveryListOfTheSurface(t *testing.T) {
	var lists []string
	for name := range surface(t) {
		lists = append(lists, name)
	}
	sameNames(t, "the lists", []any{
		"kinds", "states", "events", "protocols", "protocols_of_mappings", "transports", "families", "nat_classes",
		"address_classes", "releases", "config", "request", "lease_snapshot", "mapper_snapshot", "event", "gateway_report", "protocol_report", "error",
		"error_detail", "table_entry", "log_levels", "methods",
	}, lists)
}

func TestEveryNameReadsBackFromItsText(t *testing.T) {
	lists := surface(t)
	for what, value := range map[string]interface {
		encoding.TextUnmarshaler
		fmt.Stringer
	}{
		"kinds": new(portlease.Kind), "states": new(portlease.LeaseState), "events": new(portlease.EventKind),
		"protocols_of_mappings": new(portlease.Protocol), "transports": new(portlease.Transport), "families": new(portlease.AddressFamily),
		"nat_classes": new(portlease.NATClass), "address_classes": new(portlease.AddressClass), "releases": new(portlease.Release),
	} {
		for _, name := range lists[what].([]any) {
			if err := value.UnmarshalText([]byte(name.(string))); err != nil || value.String() != name {
				t.Errorf("%s: %v reads back as %v, %v", what, name, value, err)
			}
		}
		if err := value.UnmarshalText([]byte("nope")); err == nil || !strings.Contains(err.Error(), "`nope` is not one of") {
			t.Errorf("%s: `nope` gives %v", what, err)
		}
	}
}

func TestStructsHaveTheFieldsOfEveryLanguage(t *testing.T) {
	lists := surface(t)
	for what, of := range map[string]reflect.Type{
		"config":          reflect.TypeFor[portlease.Config](),
		"request":         reflect.TypeFor[portlease.Request](),
		"lease_snapshot":  reflect.TypeFor[portlease.LeaseSnapshot](),
		"mapper_snapshot": reflect.TypeFor[portlease.MapperSnapshot](),
		"event":           reflect.TypeFor[portlease.Event](),
		"gateway_report":  reflect.TypeFor[portlease.GatewayReport](),
		"protocol_report": reflect.TypeFor[portlease.ProtocolReport](),
		"error":           reflect.TypeFor[portlease.Error](),
		"error_detail":    reflect.TypeFor[portlease.ErrorDetail](),
		"table_entry":     reflect.TypeFor[portlease.TableEntry](),
	} {
		var names []string
		for i := range of.NumField() {
			field := of.Field(i)
			name := snake(field.Name)
			// The request's own port needs no longer name.
			if what == "request" && name == "port" {
				name = "internal_port"
			}
			if field.IsExported() && !slices.Contains(goOnly, name) {
				names = append(names, name)
			}
		}
		sameNames(t, what, lists[what], names)
	}
}

// goOnly are the methods and settings that are Go's own idiom.
// A probe of one family is an argument elsewhere.
var goOnly = []string{"close", "events", "logger", "probe_family"}

func TestHandlesHaveTheMethodsOfEveryLanguage(t *testing.T) {
	methods := func(of reflect.Type) []string {
		var names []string
		for i := range of.NumMethod() {
			if name := snake(of.Method(i).Name); !slices.Contains(goOnly, name) {
				names = append(names, name)
			}
		}
		return names
	}
	listed := surface(t)["methods"].(map[string]any)
	if len(listed) != 3 {
		t.Errorf("there are handles that this test does not know: %v", listed)
	}
	// A mapper is started by a function of the package.
	sameNames(t, "mapper", listed["mapper"], append(methods(reflect.TypeFor[*portlease.Mapper]()), "start"))
	sameNames(t, "lease", listed["lease"], methods(reflect.TypeFor[*portlease.Lease]()))
	sameNames(t, "module", append(listed["module"].([]any), "start"), packageFunctions(t))
}

// packageFunctions are the exported functions of the package that are no methods, from its source.
func packageFunctions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source", err)
	}
	var names []string
	for _, path := range files {
		// The build without cgo has a test of its own.
		if strings.HasSuffix(path, "_test.go") || path == "nocgo.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.IsExported() && !slices.Contains(goOnly, snake(f.Name.Name)) {
				names = append(names, snake(f.Name.Name))
			}
		}
	}
	return names
}
