// Gen writes enums.go out of the C header, so that there is one list of names and numbers.
//
//	go run ./internal/gen < ../include/portlease.h > enums.go
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// enum says how one of the header's enums is called in Go.
type enum struct {
	// c is its name in the header without `portlease_`, and word what its constants have before their own name.
	c, word string
	// name is the Go type, prefix what its constants begin with.
	name, prefix string
	doc          string
}

var enums = []enum{
	{"kind", "", "Kind", "Kind", "Kind is the stable name of what went wrong."},
	{"state", "STATE_", "LeaseState", "State", "LeaseState is where a lease stands."},
	{"event_kind", "EVENT_", "EventKind", "Event", "EventKind is what happened."},
	{"protocol", "PROTOCOL_", "Protocol", "", "Protocol is what made a mapping. The zero value means that there is none."},
	{"transport", "TRANSPORT_", "Transport", "", "Transport is the transport protocol of a port. The zero value is neither."},
	{"family", "FAMILY_", "AddressFamily", "", "AddressFamily is the address family of a mapping."},
	{"nat_class", "NAT_", "NATClass", "NAT", "NATClass says whether the port can be assumed open to the other side of the NAT."},
	{"address_class", "ADDRESS_", "AddressClass", "Address", "AddressClass says whether the internet can reach an address."},
}

// absent are constants that stand for no value; in Go that is the zero value, or no error, or the context's own error.
var absent = []string{"OK", "ABSENT", "CANCELLED"}

// words are those that Go does not write as a capital and small letters.
var words = map[string]string{
	"UDP": "UDP", "TCP": "TCP", "PCP": "PCP", "NAT": "NAT", "PMP": "PMP", "UPNP": "UPnP", "IPV4": "IPv4", "CGNAT": "CGNAT",
}

// constant is one value of an enum, as the header has it.
type constant struct {
	name, number string
	doc          []string
}

var (
	head  = regexp.MustCompile(`^(?:typedef )?enum portlease_(\w+)`)
	value = regexp.MustCompile(`^PORTLEASE_(\w+) = (\d+),?(?:\s*///< (.*))?$`)
)

func main() {
	header, err := io.ReadAll(os.Stdin)
	if err == nil {
		var source []byte
		if source, err = generate(string(header)); err == nil {
			_, err = os.Stdout.Write(source)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// generate is the Go source of all enums of a header. It fails where one is missing or not known here.
func generate(header string) ([]byte, error) {
	found, err := parse(header)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	fmt.Fprint(&out, "// Code generated from include/portlease.h by internal/gen; DO NOT EDIT.\n\npackage portlease\n\n")
	fmt.Fprint(&out, "import \"strconv\"\n")
	for _, e := range enums {
		constants := found[e.c]
		if len(constants) == 0 {
			return nil, fmt.Errorf("the header has no enum portlease_%s", e.c)
		}
		delete(found, e.c)
		if err := e.write(&out, constants); err != nil {
			return nil, err
		}
	}
	for name := range found {
		return nil, fmt.Errorf("there is no Go type for enum portlease_%s", name)
	}
	return format.Source(out.Bytes())
}

// parse gives the constants of each enum.
func parse(header string) (map[string][]constant, error) {
	found := map[string][]constant{}
	inside := ""
	var doc []string
	for line := range strings.Lines(header) {
		line = strings.TrimSpace(line)
		switch match := head.FindStringSubmatch(line); {
		case match != nil && strings.HasSuffix(line, "{"):
			inside = match[1]
			doc = nil
		case inside == "":
		case strings.HasPrefix(line, "}"):
			inside = ""
		case strings.HasPrefix(line, "//"):
			if comment := strings.TrimSpace(strings.TrimLeft(line, "/")); comment != "" {
				doc = append(doc, comment)
			}
		case value.MatchString(line):
			match := value.FindStringSubmatch(line)
			if match[3] != "" {
				doc = append(doc, match[3])
			}
			found[inside] = append(found[inside], constant{match[1], match[2], doc})
			doc = nil
		case line != "":
			return nil, fmt.Errorf("enum portlease_%s: cannot read `%s`", inside, line)
		}
	}
	if inside != "" {
		return nil, errors.New("the header ends inside an enum")
	}
	return found, nil
}

func goName(name string) string {
	var out strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		if special, ok := words[part]; ok {
			out.WriteString(special)
		} else {
			out.WriteString(part[:1] + strings.ToLower(part[1:]))
		}
	}
	return out.String()
}

// write writes the type, its constants and its methods.
func (e enum) write(out *bytes.Buffer, constants []constant) error {
	fmt.Fprintf(out, "\n// %s\ntype %s uint8\n\nconst (\n", e.doc, e.name)
	var texts, names []string
	zero := false
	for _, c := range constants {
		own, ok := strings.CutPrefix(c.name, e.word)
		if !ok {
			return fmt.Errorf("enum portlease_%s has a constant PORTLEASE_%s", e.c, c.name)
		}
		if slices.Contains(absent, own) {
			continue
		}
		prefix := e.prefix
		if own == "NONE" {
			prefix = e.name
		}
		for _, line := range c.doc {
			fmt.Fprintf(out, "\t// %s\n", line)
		}
		fmt.Fprintf(out, "\t%s%s %s = %s\n", prefix, goName(own), e.name, c.number)
		names = append(names, prefix+goName(own))
		texts = append(texts, strings.ToLower(strings.ReplaceAll(own, "_", "-")))
		zero = zero || c.number == "0"
	}
	fmt.Fprint(out, ")\n")
	if e.name == "Kind" {
		fmt.Fprint(out, "\n// One sentinel for each kind, for errors.Is.\nvar (\n")
		for _, name := range names {
			fmt.Fprintf(out, "\tErr%s error = sentinel(%s)\n", strings.TrimPrefix(name, e.prefix), name)
		}
		fmt.Fprint(out, ")\n")
	}
	fmt.Fprintf(out, "\n// String is the stable string, the same in every language.\n")
	fmt.Fprintf(out, "func (v %s) String() string {\n\tswitch v {\n", e.name)
	if !zero {
		fmt.Fprint(out, "\tcase 0:\n\t\treturn \"\"\n")
	}
	for i, name := range names {
		fmt.Fprintf(out, "\tcase %s:\n\t\treturn %q\n", name, texts[i])
	}
	fmt.Fprintf(out, "\t}\n\treturn \"%s(\" + strconv.Itoa(int(v)) + \")\"\n}\n", e.name)
	fmt.Fprint(out, "\n// MarshalText gives the stable string.\n")
	fmt.Fprintf(out, "func (v %s) MarshalText() ([]byte, error) { return []byte(v.String()), nil }\n", e.name)
	fmt.Fprintf(out, "\n// UnmarshalText reads a stable string. Any other text is [ErrInvalid].\n")
	fmt.Fprintf(out, "func (v *%s) UnmarshalText(text []byte) error {\n\tswitch string(text) {\n", e.name)
	if !zero {
		fmt.Fprint(out, "\tcase \"\":\n\t\t*v = 0\n")
	}
	for i, name := range names {
		fmt.Fprintf(out, "\tcase %q:\n\t\t*v = %s\n", texts[i], name)
	}
	fmt.Fprintf(out, "\tdefault:\n\t\treturn invalid(%q, \"`%%s` is not one of %s\", text)\n\t}\n\treturn nil\n}\n",
		e.c, strings.Join(texts, ", "))
	return nil
}
