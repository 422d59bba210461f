package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// JSON renders the description as a JSON Schema (draft 2020-12), the form that
// editors read.
func JSON() ([]byte, error) {
	w := writer{defs: map[*Value]string{
		&ServiceValue: "service", &job: "job", &preStart: "pre_start", &network: "network", &volume: "volume",
		&secret: "secret", &config: "config", &model: "model", &include: "include", &build: "build", &deploy: "deploy",
		&develop: "develop", &mount: "mount", &serviceNetwork: "service_network", &blkio: "blkio_config", &hook: "hook",
		&pairs: "pairs", &hosts: "hosts", &command: "command", &ulimits: "ulimits", &update: "update_config",
		&fileReference: "file_reference", &deviceRequest: "device_request", &extends: "extends",
	}}
	top := w.body(&Project)
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "Compose project file"
	defs := object{}
	for v, name := range w.defs {
		defs[name] = w.body(v)
	}
	top["$defs"] = defs
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(top); err != nil {
		return nil, fmt.Errorf("write JSON schema: %w", err)
	}
	return b.Bytes(), nil
}

type object map[string]any

type writer struct{ defs map[*Value]string }

// ref renders a value, or a reference to where it is rendered.
func (w *writer) ref(v *Value) object {
	if name, ok := w.defs[v]; ok {
		return object{"$ref": "#/$defs/" + name}
	}
	return w.body(v)
}

func (w *writer) body(v *Value) object {
	var types []string
	o := object{}
	for _, s := range []struct {
		bit  Scalar
		name string
	}{{Text, "string"}, {Int, "integer"}, {Number, "number"}, {Bool, "boolean"}, {Null, "null"}} {
		if v.Scalar&s.bit != 0 && (s.bit != Int || v.Scalar&Number == 0) {
			types = append(types, s.name)
		}
	}
	if v.Enum != nil {
		if v.List == nil && !v.IsMapping() {
			o["enum"] = v.Enum
		} else {
			o["if"], o["then"] = object{"type": "string"}, object{"enum": v.Enum}
		}
	}
	if v.Max != 0 {
		o["minimum"] = v.Min
		if v.Max != maxInt {
			o["maximum"] = v.Max
		}
	}
	if v.List != nil {
		types = append(types, "array")
		o["items"] = w.ref(v.List)
	}
	if v.IsMapping() {
		types = append(types, "object")
		w.mapping(o, v)
	}
	if len(types) == 1 {
		o["type"] = types[0]
	} else {
		o["type"] = types
	}
	return o
}

func (w *writer) mapping(o object, v *Value) {
	patterns := object{}
	if v.Keys != nil {
		properties := object{}
		for _, group := range v.Keys {
			for _, k := range group {
				p := w.ref(k.Value)
				if k.Doc != "" {
					p["description"] = k.Doc
				}
				properties[k.Name] = p
			}
		}
		o["properties"] = properties
		if !v.Closed {
			patterns["^x-"] = object{}
		}
	}
	if v.Map != nil {
		patterns[[...]string{AnyName: "^.+$", Object: "^[a-zA-Z0-9._-]+$", Lower: "^[a-z]+$"}[v.Names]] = w.ref(v.Map)
	}
	if len(patterns) > 0 {
		o["patternProperties"] = patterns
	}
	o["additionalProperties"] = false
	if v.Required != nil {
		o["required"] = v.Required
	}
}
