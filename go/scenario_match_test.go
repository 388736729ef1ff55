package portlease_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// conditions are the words of a condition, as opposed to the fields of a result.
var conditions = []string{"at_least", "at_most", "contains", "not", "one_of"}

// mismatch says why actual is not as expected, and nothing where it is. Both are as encoding/json reads them into any.
// path says which part of the result this is about.
func mismatch(path string, expected, actual any) string {
	differs := fmt.Sprintf("%s: expected %s, got %s", path, text(expected), text(actual))
	switch expected := expected.(type) {
	case map[string]any:
		if isCondition(expected) {
			for _, word := range slices.Sorted(maps.Keys(expected)) {
				if !holds(word, expected[word], actual) {
					return fmt.Sprintf("%s: expected %s %s, got %s", path, word, text(expected[word]), text(actual))
				}
			}
			return ""
		}
		found, ok := actual.(map[string]any)
		if !ok {
			return differs
		}
		for _, name := range slices.Sorted(maps.Keys(expected)) {
			value, ok := found[name]
			if !ok {
				return fmt.Sprintf("%s: there is no field %s in %s", path, name, text(actual))
			}
			if why := mismatch(path+"."+name, expected[name], value); why != "" {
				return why
			}
		}
		return ""
	case []any:
		found, ok := actual.([]any)
		if !ok || len(found) != len(expected) {
			return differs
		}
		for i, item := range expected {
			if why := mismatch(fmt.Sprintf("%s[%d]", path, i), item, found[i]); why != "" {
				return why
			}
		}
		return ""
	}
	if reflect.DeepEqual(expected, actual) {
		return ""
	}
	return differs
}

func isCondition(words map[string]any) bool {
	for word := range words {
		if !slices.Contains(conditions, word) {
			return false
		}
	}
	return len(words) > 0
}

func holds(word string, argument, actual any) bool {
	switch word {
	case "at_least", "at_most":
		limit, ok := argument.(float64)
		number, isNumber := actual.(float64)
		return ok && isNumber && (word == "at_least" && number >= limit || word == "at_most" && number <= limit)
	case "contains":
		part, ok := argument.(string)
		whole, isText := actual.(string)
		return ok && isText && strings.Contains(whole, part)
	case "not":
		return mismatch("", argument, actual) != ""
	case "one_of":
		options, _ := argument.([]any)
		return slices.ContainsFunc(options, func(option any) bool { return mismatch("", option, actual) == "" })
	}
	return false
}

// text is a value as JSON, for messages.
func text(value any) string {
	line, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(line)
}

// plain turns a value into what encoding/json makes of it, so that all numbers are of one type.
func plain(value any) any {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var result any
	if err := json.Unmarshal(line, &result); err != nil {
		panic(err)
	}
	return result
}
