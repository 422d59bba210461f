package compose

import (
	"fmt"
	"maps"
	"strconv"
	"time"
)

// ExtensionKey is the key of devstack's own settings, of a service or of a
// project.
const ExtensionKey = "x-devstack"

// Hold says what becomes of connections to a service's published ports while
// it restarts: x-devstack.hold. The zero value is the default.
type Hold struct {
	Off         bool          // `hold: false`: they are refused, and a stop does not wait for requests
	Timeout     time.Duration // how long one is held; 0: the default
	Connections int           // how many are held at a time, more wait in the kernel's queue; 0: the default
	Drain       time.Duration // how long a restart waits for requests under way; negative: not at all; 0: the default
}

// Hold reads x-devstack.hold:
//
//	x-devstack:
//	  hold: {timeout: 30s, connections: 1024, drain: 1s}    or: hold: false
func (s *Service) Hold() (Hold, error) {
	var h Hold
	own, err := section(s.Extensions, ExtensionKey)
	if err != nil {
		return h, err
	}
	switch v := own["hold"].(type) {
	case nil:
		return h, nil
	case bool:
		h.Off = !v
		return h, nil
	case map[string]any:
		for key, value := range v {
			if err := h.set(key, value); err != nil {
				return h, fmt.Errorf("hold.%s: %w", key, err)
			}
		}
		return h, nil
	}
	return h, fmt.Errorf("hold must be true, false or a mapping")
}

func (h *Hold) set(key string, value any) error {
	switch key {
	case "timeout", "drain":
		text, ok := value.(string)
		d, err := time.ParseDuration(text)
		if !ok || err != nil || d < 0 || d == 0 && key == "timeout" {
			return fmt.Errorf("%v is not a duration such as 30s", value)
		}
		if key == "timeout" {
			h.Timeout = d
		} else if h.Drain = d; d == 0 {
			h.Drain = -1
		}
	case "connections":
		// JSON has carried it to the engine as another type than YAML's.
		n, err := strconv.Atoi(fmt.Sprint(value))
		if err != nil || n < 1 {
			return fmt.Errorf("%v is not a number of connections", value)
		}
		h.Connections = n
	default:
		return fmt.Errorf("unknown key; known are timeout, connections and drain")
	}
	return nil
}

// AutoPorts says that a published port which is taken gives way to another:
// x-devstack.ports is auto.
func (s *Service) AutoPorts() bool { return portsChoice(s.Extensions) == "auto" }

// SpreadAutoPorts gives what the project says of its ports to those services
// that say nothing.
func (p *Project) SpreadAutoPorts() {
	choice := portsChoice(p.Extensions)
	if choice == "" {
		return
	}
	for name, s := range p.Services {
		if portsChoice(s.Extensions) == "" {
			s.Extensions = withChoice(s.Extensions, choice)
			p.Services[name] = s
		}
	}
}

// SetAutoPorts is x-devstack.ports: auto for services that say nothing else.
func (p *Project) SetAutoPorts() { p.Extensions = withChoice(p.Extensions, "auto") }

func portsChoice(e Extensions) string {
	own, _ := section(e, ExtensionKey) // one that is no mapping is refused elsewhere
	choice, _ := own["ports"].(string)
	return choice
}

// withChoice leaves the given mappings as they are: others may share them.
func withChoice(e Extensions, choice string) Extensions {
	own, _ := section(e, ExtensionKey)
	out, inner := maps.Clone(e), maps.Clone(own)
	if out == nil {
		out = Extensions{}
	}
	if inner == nil {
		inner = map[string]any{}
	}
	inner["ports"] = choice
	out[ExtensionKey] = inner
	return out
}

// section is a mapping among extensions; nil where it is not set.
func section(e Extensions, key string) (map[string]any, error) {
	switch v := e[key].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	return nil, fmt.Errorf("%s must be a mapping", key)
}
