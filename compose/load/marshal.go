package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"devstack/compose"

	"gopkg.in/yaml.v3"
)

// MarshalYAML writes the project in the canonical form of `config`.
func MarshalYAML(p *compose.Project) ([]byte, error) {
	return encodeYAML(canonical(p))
}

func encodeYAML(o object) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(o.yaml()); err != nil {
		return nil, fmt.Errorf("write the project as YAML: %w", err)
	}
	return b.Bytes(), enc.Close()
}

// MarshalJSON writes the project in the canonical form of `config --format
// json`. It differs from the JSON form of compose.Project, which is made for
// the way to the engine and keeps what is not for the eye: contents of secrets.
func MarshalJSON(p *compose.Project) ([]byte, error) {
	return encodeJSON(canonical(p))
}

func encodeJSON(o object) ([]byte, error) {
	var b, out bytes.Buffer
	if err := o.json(&b); err != nil {
		return nil, fmt.Errorf("write the project as JSON: %w", err)
	}
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("write the project as JSON: %w", err)
	}
	return out.Bytes(), nil
}

// MarshalService writes one service in canonical JSON; equal services have
// equal bytes.
func MarshalService(s *compose.Service) ([]byte, error) {
	var b bytes.Buffer
	err := value(reflect.ValueOf(*s)).json(&b)
	return b.Bytes(), err
}

// object is a mapping in the order in which it is printed.
type object []member

type member struct {
	key      string
	val      any  // object, []any or a scalar
	jsonOnly bool // printed as null or {} in JSON and left out of YAML
}

// canonical is the project as a tree to print.
func canonical(p *compose.Project) object {
	o := object{{key: "name", val: p.Name}}
	add := func(key string, n int, m any) {
		if n > 0 {
			o = append(o, member{key: key, val: convert(reflect.ValueOf(m))})
		}
	}
	o = append(o, member{key: "services", val: convert(reflect.ValueOf(p.Services))})
	add("networks", len(p.Networks), p.Networks)
	add("volumes", len(p.Volumes), p.Volumes)
	add("secrets", len(p.Secrets), hideContents(p.Secrets, true))
	add("configs", len(p.Configs), hideContents(p.Configs, false))
	add("models", len(p.Models), p.Models)
	return append(o, inline(p.Extensions)...)
}

// hideContents leaves out what came from the environment, and every content
// of a secret.
func hideContents(objects map[string]compose.FileObject, secret bool) map[string]compose.FileObject {
	out := maps.Clone(objects)
	for k, v := range out {
		if secret || v.Environment != "" {
			v.Content = ""
			out[k] = v
		}
	}
	return out
}

func inline(x compose.Extensions) object {
	var o object
	for _, k := range slices.Sorted(maps.Keys(x)) {
		o = append(o, member{key: k, val: convert(reflect.ValueOf(x[k]))})
	}
	return o
}

// value prints a struct field by field, by its JSON names.
func value(v reflect.Value) object {
	var o object
	t := v.Type()
	for i := range t.NumField() {
		f, fv := t.Field(i), v.Field(i)
		if f.Anonymous {
			o = append(o, value(fv)...)
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case name == "#extensions":
			o = append(o, inline(fv.Interface().(compose.Extensions))...)
			continue
		case name == "extra_hosts":
			if fv.Len() > 0 {
				o = append(o, member{key: name, val: hostList(fv.Interface().(map[string][]string))})
			}
			continue
		case name == "mem_swappiness" && !fv.IsNil():
			o = append(o, member{key: name, val: strconv.FormatInt(fv.Elem().Int(), 10)})
			continue
		case name == "create_host_path", name == "required" && t == reflect.TypeFor[compose.EnvFile]():
			if !fv.Bool() {
				o = append(o, member{key: name, val: false})
			}
			continue
		case name == "exec" && fv.IsNil():
			o = append(o, member{key: name, val: object{{key: "command"}}, jsonOnly: true})
			continue
		case opts == "omitempty" && isEmpty(fv):
			continue
		}
		m := member{key: name, val: convert(fv)}
		if inner, ok := m.val.(object); ok && fv.Kind() == reflect.Struct && len(inner.visible()) == 0 {
			m.jsonOnly = true
		}
		if name == "command" || name == "entrypoint" {
			m.jsonOnly = fv.IsNil()
		}
		o = append(o, m)
	}
	return o
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// convert makes a printable value.
func convert(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch x := v.Interface().(type) {
	case compose.Duration:
		return time.Duration(x).String()
	case compose.Bytes:
		return strconv.FormatInt(int64(x), 10)
	case compose.Ulimit:
		if x.Single != 0 {
			return x.Single
		}
		return append(object{{key: "soft", val: x.Soft}, {key: "hard", val: x.Hard}}, inline(x.Extensions)...)
	case compose.SSHKey:
		if x.Path == "" {
			return x.ID
		}
		return x.ID + "=" + x.Path
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return convert(v.Elem())
	case reflect.Struct:
		return value(v)
	case reflect.Map:
		keys := make([]string, 0, v.Len())
		for _, k := range v.MapKeys() {
			keys = append(keys, k.String())
		}
		slices.Sort(keys)
		o := make(object, 0, len(keys))
		for _, k := range keys {
			o = append(o, member{key: k, val: convert(v.MapIndex(reflect.ValueOf(k).Convert(v.Type().Key())))})
		}
		return o
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		l := make([]any, v.Len())
		for i := range l {
			l[i] = convert(v.Index(i))
		}
		return l
	}
	return v.Interface()
}

func hostList(hosts map[string][]string) []any {
	var l []string
	for host, ips := range hosts {
		for _, ip := range ips {
			l = append(l, host+"="+ip)
		}
	}
	slices.Sort(l)
	out := make([]any, len(l))
	for i, s := range l {
		out[i] = s
	}
	return out
}

// visible are the members that YAML shows.
func (o object) visible() object {
	var out object
	for _, m := range o {
		if !m.jsonOnly {
			out = append(out, m)
		}
	}
	return out
}

func (o object) json(b *bytes.Buffer) error {
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeJSON(b, m.key); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := writeJSON(b, m.val); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeJSON(b *bytes.Buffer, v any) error {
	switch x := v.(type) {
	case object:
		return x.json(b)
	case []any:
		b.WriteByte('[')
		for i, e := range x {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // Encode ends with a newline
	return nil
}

// yaml makes a YAML mapping.
func (o object) yaml() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, m := range o {
		if m.jsonOnly {
			continue
		}
		key := &yaml.Node{}
		key.SetString(m.key)
		if plainTag(m.key) != "!!str" {
			key.Style = yaml.DoubleQuotedStyle
		}
		n.Content = append(n.Content, key, yamlNode(m.val))
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

func yamlNode(v any) *yaml.Node {
	switch x := v.(type) {
	case object:
		return x.yaml()
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, e := range x {
			n.Content = append(n.Content, yamlNode(e))
		}
		if len(x) == 0 {
			n.Style = yaml.FlowStyle
		}
		return n
	}
	n := &yaml.Node{}
	switch x := v.(type) { // the usual ones: Encode runs an emitter and a parser for each
	case string:
		if digits := x != "" && strings.Trim(x, "0123456789") == ""; digits || plainWord(x) {
			n.SetString(x)
			if digits {
				n.Style = yaml.DoubleQuotedStyle
			}
			return n
		}
		if spoiltInBlock(x) {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: x, Style: yaml.DoubleQuotedStyle}
		}
	case uint32:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatUint(uint64(x), 10)}
	case int, int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(x)}
	}
	if err := n.Encode(v); err != nil {
		n.SetString(fmt.Sprint(v))
	}
	return n
}

// spoiltInBlock tells the texts of several lines that the encoder would write
// as a block and lose a line of, or break the document with.
func spoiltInBlock(s string) bool {
	return strings.Contains(s, "\n") && strings.ContainsAny(s[:1], " \t\n") || strings.ContainsAny(s, "\r\u0085\u2028\u2029")
}

// plainWord tells the texts that mean themselves in every version of YAML,
// from which it follows how they are written.
func plainWord(s string) bool {
	if len(s) < 3 || len(s) > 64 || plainTag(s) != "!!str" || strings.EqualFold(s, "yes") || strings.EqualFold(s, "off") {
		return false
	}
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (i == 0 || s[i] != '_') {
			return false
		}
	}
	return true
}
