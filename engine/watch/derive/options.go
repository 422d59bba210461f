package derive

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Options are what x-devstack.watch says.
//
//	x-devstack:
//	  watch: auto
//
//	x-devstack:
//	  watch:
//	    auto: true            # the default if anything is here
//	    rebuild_on: [package.json, "requirements*.txt"]
//	    ignore: [tests/]
//	    action: sync          # or sync+restart: for what is copied
type Options struct {
	Auto      bool
	RebuildOn []string // patterns as in .dockerignore, from the context
	Ignore    []string // likewise
	Action    string   // "sync", "sync+restart"; "" is guessed from the command
}

// ParseOptions reads the value of x-devstack.watch.
func ParseOptions(v any) (Options, error) {
	switch v := v.(type) {
	case nil:
		return Options{}, nil
	case bool:
		return Options{Auto: v}, nil
	case string:
		if v == "auto" {
			return Options{Auto: true}, nil
		}
		return Options{}, fmt.Errorf("x-devstack.watch: %q is not known: write auto, or a mapping with auto, rebuild_on, ignore, action", v)
	case map[string]any:
		return parseMapping(v)
	}
	return Options{}, fmt.Errorf("x-devstack.watch: write auto, or a mapping with auto, rebuild_on, ignore, action")
}

func parseMapping(m map[string]any) (Options, error) {
	o := Options{Auto: true}
	var err error
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch v := m[k]; k {
		case "auto":
			b, ok := v.(bool)
			if !ok {
				return o, fmt.Errorf("x-devstack.watch.auto: %v is not true or false", v)
			}
			o.Auto = b
		case "rebuild_on":
			o.RebuildOn, err = words(k, v)
		case "ignore":
			o.Ignore, err = words(k, v)
		case "action":
			o.Action, _ = v.(string)
			if o.Action != "sync" && o.Action != "sync+restart" {
				return o, fmt.Errorf("x-devstack.watch.action: %v is neither sync nor sync+restart", v)
			}
		default:
			if strings.HasPrefix(k, "x-") {
				continue
			}
			return o, fmt.Errorf("x-devstack.watch.%s is not known: there are auto, rebuild_on, ignore, action", k)
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func words(key string, v any) ([]string, error) {
	if s, ok := v.(string); ok {
		return []string{s}, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("x-devstack.watch.%s: %v is not a list of patterns", key, v)
	}
	var out []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("x-devstack.watch.%s: %v is not a pattern", key, e)
		}
		out = append(out, s)
	}
	return out, nil
}
